#!/usr/bin/env python3
"""Compares our logits with an independent forward pass in PyTorch.

    reference_forward.py MODEL OURS.json [--tolerance 1e-3] [--dtype float64]

MODEL is a Hugging Face folder of family llama, qwen2, gpt2 or gpt_neo. OURS.json holds "ids" [T], "logits" [T][V] and
"losses" [T - 1], as `Forgetting.Benchmarks logits` writes them. Needs torch only: safetensors files are read here.
Prints the largest differences; exit code 1 above the tolerance.
"""

import argparse
import json
import math
import os
import struct
import sys

import torch
import torch.nn.functional as F

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(path, dtype):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in DTYPES:
            continue
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"]).to(dtype)
    return tensors


def read_model(folder, dtype):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            tensors.update(read_safetensors(os.path.join(folder, name), dtype))
    return config, tensors


class Weights:
    """Tensors by name, with or without the first part of the name."""

    def __init__(self, tensors, prefix):
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, name):
        full = self.prefix + name
        return self.tensors[full] if full in self.tensors else self.tensors[name]

    def find(self, name):
        return self.tensors.get(self.prefix + name, self.tensors.get(name))

    def linear(self, name, x):
        return F.linear(x, self[name + ".weight"], self.find(name + ".bias"))

    def conv1d(self, name, x):
        return x @ self[name + ".weight"] + self[name + ".bias"]

    def layer_norm(self, name, x, epsilon):
        return F.layer_norm(x, x.shape[-1:], self[name + ".weight"], self[name + ".bias"], epsilon)

    def rms_norm(self, name, x, epsilon):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * self[name + ".weight"]


def attend(q, k, v, scale, window):
    """q [H, T, D], k and v [H, T, D]; window 0 is full causal attention."""
    length = q.shape[1]
    row = torch.arange(length)[:, None]
    column = torch.arange(length)[None, :]
    seen = column <= row
    if window:
        seen &= row - column < window
    scores = (q @ k.transpose(1, 2) * scale).masked_fill(~seen, -math.inf)
    return scores.softmax(-1) @ v


def split(x, heads):
    return x.reshape(x.shape[0], heads, -1).transpose(0, 1)


def join(x):
    return x.transpose(0, 1).reshape(x.shape[1], -1)


def rope_frequencies(config, size):
    parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = (config.get("rope_parameters") or {}).get("rope_theta", config.get("rope_theta", 10000.0))
    frequencies = theta ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind == "default":
        return frequencies
    assert kind == "llama3", kind
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    turns = parameters["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * frequencies / parameters["factor"] + smooth * frequencies


def rotate(x, angles):
    first, second = x.chunk(2, -1)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def llama(config, tensors, ids):
    w = Weights(tensors, "model.")
    heads = config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or heads
    size = config.get("head_dim") or config["hidden_size"] // heads
    epsilon = config.get("rms_norm_eps", 1e-6)
    angles = torch.arange(len(ids), dtype=torch.float64)[:, None] * rope_frequencies(config, size)
    x = w["embed_tokens.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        p = f"layers.{i}."
        h = w.rms_norm(p + "input_layernorm", x, epsilon)
        q = rotate(split(w.linear(p + "self_attn.q_proj", h), heads), angles)
        k = rotate(split(w.linear(p + "self_attn.k_proj", h), groups), angles)
        v = split(w.linear(p + "self_attn.v_proj", h), groups)
        k, v = (t.repeat_interleave(heads // groups, 0) for t in (k, v))
        kinds = config.get("layer_types")
        slides = kinds[i] == "sliding_attention" if kinds else i >= config.get("max_window_layers", 28)
        windowed = config.get("use_sliding_window") and slides
        window = config["sliding_window"] if windowed else 0
        x = x + w.linear(p + "self_attn.o_proj", join(attend(q, k, v, size ** -0.5, window)))
        h = w.rms_norm(p + "post_attention_layernorm", x, epsilon)
        h = F.silu(w.linear(p + "mlp.gate_proj", h)) * w.linear(p + "mlp.up_proj", h)
        x = x + w.linear(p + "mlp.down_proj", h)
    return head(config, tensors, w["embed_tokens.weight"], w.rms_norm("norm", x, epsilon), tied=False)


def gpt(config, tensors, ids):
    w = Weights(tensors, "transformer.")
    neo = config["model_type"] == "gpt_neo"
    heads = config["num_heads" if neo else "n_head"]
    epsilon = config.get("layer_norm_epsilon", 1e-5)
    exact = config.get("activation_function", "gelu_new") == "gelu"
    kinds = [kind for group, times in config.get("attention_types", []) for _ in range(times) for kind in group]
    linear = w.linear if neo else w.conv1d
    x = w["wte.weight"][ids] + w["wpe.weight"][: len(ids)]
    for i in range(config["num_layers" if neo else "n_layer"]):
        p = f"h.{i}."
        h = w.layer_norm(p + "ln_1", x, epsilon)
        if neo:
            q, k, v = (split(w.linear(f"{p}attn.attention.{n}_proj", h), heads) for n in "qkv")
            window = config.get("window_size", 256) if kinds[i] == "local" else 0
            x = x + w.linear(p + "attn.attention.out_proj", join(attend(q, k, v, 1, window)))
        else:
            q, k, v = (split(t, heads) for t in w.conv1d(p + "attn.c_attn", h).chunk(3, -1))
            x = x + w.conv1d(p + "attn.c_proj", join(attend(q, k, v, q.shape[-1] ** -0.5, 0)))
        h = linear(p + "mlp.c_fc", w.layer_norm(p + "ln_2", x, epsilon))
        h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2))) if exact else gelu_tanh(h)
        x = x + linear(p + "mlp.c_proj", h)
    return head(config, tensors, w["wte.weight"], w.layer_norm("ln_f", x, epsilon), tied=True)


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def head(config, tensors, embedding, x, tied):
    return x @ (embedding if config.get("tie_word_embeddings", tied) else tensors["lm_head.weight"]).T


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("ours")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    options = parser.parse_args()

    with open(options.ours, encoding="utf-8") as file:
        ours = json.load(file)
    config, tensors = read_model(options.model, getattr(torch, options.dtype))
    forward = llama if config["model_type"] in ("llama", "qwen2") else gpt
    ids = torch.tensor(ours["ids"])
    with torch.no_grad():
        logits = forward(config, tensors, ids).to(torch.float64)
    losses = F.cross_entropy(logits[:-1], ids[1:], reduction="none")
    logit_difference = (logits - torch.tensor(ours["logits"], dtype=torch.float64)).abs().max().item()
    loss_difference = (losses - torch.tensor(ours["losses"], dtype=torch.float64)).abs().max().item()
    print(
        f"{config['model_type']:8} {len(ids)} tokens x {logits.shape[1]}: largest logit {logits.abs().max().item():.3g}, "
        f"largest difference of a logit {logit_difference:.2e}, of a loss {loss_difference:.2e}"
    )
    return 0 if max(logit_difference, loss_difference) <= options.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())

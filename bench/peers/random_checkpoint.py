#!/usr/bin/env python3
"""Writes a random checkpoint as a Hugging Face folder, with the standard library alone.

    random_checkpoint.py FAMILY OUT [--dtype F32|F16|BF16] [--hidden 64] [--layers 4] [--vocab 500] [--seed 0]
"""

import argparse
import json
import os
import random
import struct


def encode(values, dtype):
    if dtype == "F32":
        return struct.pack(f"<{len(values)}f", *values)
    if dtype == "F16":
        return struct.pack(f"<{len(values)}e", *values)
    # The upper half of a float32, cut off: any bfloat16 will do.
    packed = struct.pack(f"<{len(values)}f", *values)
    return b"".join(packed[i + 2 : i + 4] for i in range(0, len(packed), 4))


def llama_tensors(c):
    hidden, inner, size = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    queries, keys = c["num_attention_heads"] * size, c["num_key_value_heads"] * size
    yield "model.embed_tokens.weight", [c["vocab_size"], hidden]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        for name, rows in (("q", queries), ("k", keys), ("v", keys)):
            yield f"{p}self_attn.{name}_proj.weight", [rows, hidden]
            if c["model_type"] == "qwen2":
                yield f"{p}self_attn.{name}_proj.bias", [rows]
        yield p + "self_attn.o_proj.weight", [hidden, queries]
        yield p + "mlp.gate_proj.weight", [inner, hidden]
        yield p + "mlp.up_proj.weight", [inner, hidden]
        yield p + "mlp.down_proj.weight", [hidden, inner]
        yield p + "input_layernorm.weight", [hidden]
        yield p + "post_attention_layernorm.weight", [hidden]
    yield "model.norm.weight", [hidden]
    if not c["tie_word_embeddings"]:
        yield "lm_head.weight", [c["vocab_size"], hidden]


def gpt_tensors(c):
    neo = c["model_type"] == "gpt_neo"
    hidden = c["hidden_size" if neo else "n_embd"]

    def linear(name, inputs, outputs, bias=True):
        yield name + ".weight", [outputs, inputs] if neo else [inputs, outputs]
        if bias:
            yield name + ".bias", [outputs]

    def norm(name):
        yield name + ".weight", [hidden]
        yield name + ".bias", [hidden]

    yield "transformer.wte.weight", [c["vocab_size"], hidden]
    yield "transformer.wpe.weight", [c["max_position_embeddings" if neo else "n_positions"], hidden]
    for i in range(c["num_layers" if neo else "n_layer"]):
        p = f"transformer.h.{i}."
        yield from norm(p + "ln_1")
        if neo:
            for name in "qkv":
                yield from linear(f"{p}attn.attention.{name}_proj", hidden, hidden, bias=False)
            yield from linear(p + "attn.attention.out_proj", hidden, hidden)
        else:
            yield from linear(p + "attn.c_attn", hidden, 3 * hidden)
            yield from linear(p + "attn.c_proj", hidden, hidden)
        yield from norm(p + "ln_2")
        yield from linear(p + "mlp.c_fc", hidden, 4 * hidden)
        yield from linear(p + "mlp.c_proj", 4 * hidden, hidden)
    yield from norm("transformer.ln_f")


def configuration(o):
    common = {"model_type": o.family, "vocab_size": o.vocab, "bos_token_id": 1, "eos_token_id": 2}
    if o.family in ("llama", "qwen2"):
        common.update(
            hidden_size=o.hidden, intermediate_size=3 * o.hidden, num_hidden_layers=o.layers, num_attention_heads=8,
            num_key_value_heads=2, head_dim=o.hidden // 8 + 4, hidden_act="silu", max_position_embeddings=256,
            rms_norm_eps=1e-5, rope_theta=500.0, tie_word_embeddings=o.family == "qwen2")
        if o.family == "llama":
            common["rope_scaling"] = {
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64}
        else:
            common.update(use_sliding_window=True, sliding_window=16, max_window_layers=o.layers // 2)
    elif o.family == "gpt2":
        common.update(n_embd=o.hidden, n_layer=o.layers, n_head=4, n_positions=256, activation_function="gelu_new")
    else:
        common.update(
            hidden_size=o.hidden, num_layers=o.layers, num_heads=4, max_position_embeddings=256, window_size=16,
            activation_function="gelu_new", attention_types=[[["global", "local"], o.layers // 2]])
    return common


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=["llama", "qwen2", "gpt2", "gpt_neo"])
    parser.add_argument("out")
    parser.add_argument("--dtype", choices=["F32", "F16", "BF16"], default="F32")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = configuration(options)
    generator = random.Random(options.seed)
    header, data = {"__metadata__": {"format": "pt"}}, bytearray()
    for name, shape in (llama_tensors if options.family in ("llama", "qwen2") else gpt_tensors)(config):
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        gain = len(shape) == 1 and name.endswith(".weight")
        width = 0.2 if len(shape) == 1 else options.hidden ** -0.5
        begin = len(data)
        data += encode([generator.gauss(1.0 if gain else 0.0, width) for _ in range(count)], options.dtype)
        header[name] = {"dtype": options.dtype, "shape": shape, "data_offsets": [begin, len(data)]}
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
    text = json.dumps(header).encode()
    with open(os.path.join(options.out, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    main()

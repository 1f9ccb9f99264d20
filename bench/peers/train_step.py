#!/usr/bin/env python3
"""A training step of a Llama-shaped model in PyTorch: forward, backward and AdamW on the CPU in float32.

    train_step.py [--dim 288] [--layers 6] [--heads 6] [--mlp 768] [--vocab 32000] [--batch 4] [--length 256]
                  [--lora-rank 0] [--steps 10] [--warmup 3] [--threads 2] [--json]

The same work as `Forgetting.Benchmarks step`: tied head, no dropout, every token but each sequence's first is predicted, and only rows with a
target reach the head. PyTorch is as fast as the BLAS it finds, so that is looked up and measured first; with the reference BLAS the figures
would mean nothing and the script ends with exit code 2 (--any-blas to go on).
"""

import argparse
import json
import math
import os
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim, epsilon=1e-5):
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight


class LoraLinear(nn.Module):
    """A frozen linear layer with a trainable low-rank part; as in our program each projection has its own."""

    def __init__(self, inputs, outputs, rank, alpha=16):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        self.a = nn.Parameter(torch.empty(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = alpha / rank

    def forward(self, x):
        return F.linear(x, self.weight) + F.linear(F.linear(x, self.a) * self.scale, self.b)


def linear(inputs, outputs, rank):
    return LoraLinear(inputs, outputs, rank) if rank else nn.Linear(inputs, outputs, bias=False)


class Attention(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.heads = o.heads
        # One product for query, key and value; adapters are separate, so there the products are too.
        parts = [o.dim] * 3 if o.lora_rank else [3 * o.dim]
        self.qkv = nn.ModuleList(linear(o.dim, part, o.lora_rank) for part in parts)
        self.out = linear(o.dim, o.dim, o.lora_rank)

    def forward(self, x, cosine, sine, mask):
        batch, length, dim = x.shape
        parts = [layer(x) for layer in self.qkv] if len(self.qkv) == 3 else self.qkv[0](x).split(dim, -1)
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        q, k = rotate(q, cosine, sine), rotate(k, cosine, sine)
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = torch.baddbmm(
                mask, q.reshape(-1, length, q.shape[-1]), k.reshape(-1, length, k.shape[-1]).transpose(1, 2), alpha=q.shape[-1] ** -0.5)
            y = torch.bmm(scores.softmax(-1), v.reshape(-1, length, v.shape[-1])).view(batch, self.heads, length, -1)
        return self.out(y.transpose(1, 2).reshape(batch, length, dim))


def rotate(x, cosine, sine):
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.attention_norm, self.mlp_norm = RMSNorm(o.dim), RMSNorm(o.dim)
        self.attention = Attention(o)
        self.gate, self.up = linear(o.dim, o.mlp, o.lora_rank), linear(o.dim, o.mlp, o.lora_rank)
        self.down = linear(o.mlp, o.dim, o.lora_rank)

    def forward(self, x, *rest):
        x = x + self.attention(self.attention_norm(x), *rest)
        h = self.mlp_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.embedding = nn.Embedding(o.vocab, o.dim)
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.layers))
        self.norm = RMSNorm(o.dim)
        size = o.dim // o.heads
        angles = torch.arange(o.length)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)
        self.cosine, self.sine = angles.cos(), angles.sin()
        self.mask = torch.full((1, o.length, o.length), -math.inf).triu(1)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2 and not name.endswith(".b"):
                nn.init.normal_(parameter, std=0.02)
            if o.lora_rank:
                parameter.requires_grad_(name.endswith((".a", ".b")))

    def forward(self, ids):
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine, self.mask)
        # The last position predicts nothing.
        logits = F.linear(self.norm(x[:, :-1]), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def operations(o):
    """As StepSettings.Operations counts them."""
    tokens = o.batch * o.length
    blocks = o.layers * (4 * o.dim ** 2 + 3 * o.dim * o.mlp) * tokens
    head = o.vocab * o.dim * o.batch * (o.length - 1)
    adapter = o.lora_rank * o.layers * (8 * o.dim + 3 * (o.dim + o.mlp)) * tokens
    attention = 2 * o.layers * o.batch * o.dim * o.length * (o.length + 1)
    return (4 if o.lora_rank else 6) * (blocks + head) + 6 * adapter + 3.5 * attention


def loaded_blas():
    """What this process has mapped; torch.__config__ only knows what it was compiled against."""
    try:
        with open("/proc/self/maps", encoding="utf-8") as maps:
            files = {line.split()[-1] for line in maps if "/" in line}
    except OSError:
        return "unknown"
    found = [os.path.realpath(f) for f in files if any(n in os.path.basename(f) for n in ("blas", "mkl_", "libmkl", "blis"))]
    if not found and "mkl" in torch.__config__.show().lower().replace("mkl-dnn", ""):
        return "MKL (built in)"
    return ", ".join(sorted(found)) or "unknown"


def is_reference(blas):
    return blas.endswith("/blas/libblas.so.3") or "/blas/libblas.so.3." in blas


def gemm_rate():
    a, b, times = torch.rand(1024, 1024), torch.rand(1024, 1024), []
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * 1024 ** 3 / min(times[1:]) / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = dict(dim=288, layers=6, heads=6, mlp=768, vocab=32000, batch=4, length=256, lora_rank=0, steps=10, warmup=3, threads=os.cpu_count())
    for name, value in defaults.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--any-blas", action="store_true")
    o = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(o.threads)

    blas, rate = loaded_blas(), gemm_rate()
    print(torch.__config__.show(), f"BLAS: {blas}; product of 1024: {rate:.1f} GFLOP/s on {torch.get_num_threads()} threads", sep="\n", file=sys.stderr)
    if is_reference(blas) and not o.any_blas:
        print("error: PyTorch runs on the reference BLAS; install OpenBLAS (bench/README.md)", file=sys.stderr)
        return 2

    model = Llama(o)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0, foreach=True)
    ids = torch.randint(o.vocab, (o.batch, o.length))
    times, processor = [], []
    for step in range(o.warmup + o.steps):
        start, used = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss = model(ids)
        loss.backward()
        optimizer.step()
        if step >= o.warmup:
            times.append((time.perf_counter() - start) * 1e3)
            processor.append((time.process_time() - used) * 1e3)
    times.sort()
    processor.sort()
    median = times[len(times) // 2]
    result = {
        "program": "pytorch",
        "work": f"{o.dim}x{o.layers} {o.batch}x{o.length} {f'LoRA {o.lora_rank}' if o.lora_rank else 'full'}",
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "products": f"torch {torch.__version__}, {blas}",
        "gemm_gflops": rate,
        "steps": o.steps,
        "ms": median,
        "best_ms": times[0],
        "processor_ms": processor[len(processor) // 2],
        "tokens_per_second": o.batch * o.length / median * 1e3,
        "gflops": operations(o) / median / 1e6,
        "loss": loss.item(),
    }
    if o.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['work']}: median {median:.1f} ms (best {times[0]:.1f}; {result['processor_ms']:.0f} ms of processor), {result['tokens_per_second']:.0f} tokens/s, "
            f"{result['gflops']:.1f} GFLOP/s, loss {result['loss']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

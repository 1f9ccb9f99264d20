#!/usr/bin/env python3
"""The exact diagonal Fisher information of a random model of Llama-3.2-1B's shape on a card, in the two ways that PyTorch offers:

    loop    backward with batch size 1, squares added up: no more memory than a gradient, but one small pass for each example
    func    torch.func: vmap over grad, some examples at a time (--chunk), which stores a gradient of the whole model for each of them

    gpu_fisher.py [--way loop|func] [--batch 16] [--length 256] [--chunk 2] [--layers 16] [--steps 3] [--warmup 1] [--json]

`Forgetting.Benchmarks fisher` does the same work: F += (∂ Σ log P / ∂θ)² for each of the batch's examples. "backward_ms" is one ordinary
forward and backward pass over the whole batch, which is what ours is measured against.
"""

import argparse
import json
import sys

import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel

import llama_1b


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=["loop", "func"], default="loop")
    for name, value in (("batch", 16), ("length", 256), ("chunk", 2), ("layers", 16), ("steps", 3), ("warmup", 1)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()

    model = llama_1b.model(o.length, layers=o.layers).eval()
    ids = llama_1b.tokens(o.batch, o.length)
    parameters = dict(model.named_parameters())
    fisher = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in parameters.items()}

    def log_probability(logits, targets):
        return -torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets[:, 1:].flatten(), reduction="sum")

    def loop():
        for i in range(o.batch):
            sequence = ids[i : i + 1]
            gradients = torch.autograd.grad(log_probability(model(input_ids=sequence).logits, sequence), list(parameters.values()))
            for name, gradient in zip(parameters, gradients):
                fisher[name].addcmul_(gradient.float(), gradient.float())

    def of_one(values, example):
        logits = torch.func.functional_call(model, values, (), {"input_ids": example[None]}).logits
        return log_probability(logits, example[None])

    per_example = torch.func.vmap(torch.func.grad(of_one), in_dims=(None, 0))
    detached = {name: p.detach() for name, p in parameters.items()}

    def func():
        for chunk in ids.split(o.chunk):
            # Attention written out in plain operations, since vmap batches those in every version.
            with sdpa_kernel(SDPBackend.MATH):
                gradients = per_example(detached, chunk)
            for name, gradient in gradients.items():
                fisher[name].add_(gradient.float().square_().sum(0))

    def ordinary():
        torch.autograd.grad(log_probability(model(input_ids=ids).logits, ids), list(parameters.values()))

    backward, _, _ = llama_1b.time(ordinary, o.steps, o.warmup)
    try:
        median, best, peak = llama_1b.time(loop if o.way == "loop" else func, o.steps, o.warmup)
    except torch.cuda.OutOfMemoryError:
        print(f"error: out of memory; --chunk is {o.chunk}", file=sys.stderr)
        return 1
    result = {
        "program": "pytorch",
        "work": f"2048x{o.layers} {o.batch}x{o.length} Fisher",
        "way": "batch size 1" if o.way == "loop" else f"torch.func, {o.chunk} at a time",
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "card": torch.cuda.get_device_name(),
        "steps": o.steps,
        "ms": median,
        "best_ms": best,
        "backward_ms": backward,
        "tokens_per_second": o.batch * o.length / median * 1e3,
        "peak_bytes": peak,
        "trace": sum(f.double().sum().item() for f in fisher.values()) / (o.steps + o.warmup) / o.batch,
    }
    if o.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['work']}, {result['way']}: median {median:.1f} ms (best {best:.1f}), an ordinary pass {backward:.1f} ms, "
            f"peak {peak / 2**30:.2f} GiB, trace {result['trace']:.6g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

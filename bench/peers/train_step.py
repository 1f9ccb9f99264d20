#!/usr/bin/env python3
"""A training step in PyTorch: forward, backward and AdamW on the CPU, of a Llama-shaped or GPT-2-shaped model.

    train_step.py [--family llama|gpt2] [--dim 288] [--layers 6] [--heads 6] [--mlp 768] [--vocab 32000] [--batch 4] [--length 256]
                  [--lora-rank 0] [--dtype fp32|bf16] [--steps 10] [--warmup 3] [--threads N] [--json]

The same work as `Forgetting.Benchmarks step`: tied head, no dropout, every token but each sequence's first is predicted, and only rows with
a target reach the head. bf16 is torch.autocast: weights and optimiser stay float32. PyTorch is as fast as the BLAS it finds, so that is
looked up and measured first; with the reference BLAS the figures would mean nothing and the script ends with exit code 2 (--any-blas to go
on).
"""

import common
import torch
from models import Decoder, attention_operations, describe, weights


def operations(o):
    """As StepSettings.Operations counts them."""
    tokens = o.batch * o.length
    blocks, head = weights(o)
    qkv = 4 if o.family == "gpt2" else 6
    mlp = (2 if o.family == "gpt2" else 3) * (o.dim + o.mlp)
    adapter = o.lora_rank * o.layers * ((qkv + 2) * o.dim + mlp) * tokens
    products = blocks * tokens + head * o.batch * (o.length - 1)
    return (4 if o.lora_rank else 6) * products + 6 * adapter + 3.5 * o.batch * attention_operations(o, o.length)


def main():
    o = common.parse(__doc__, 10, 3, lambda parser: parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32"))
    if o.dtype == "bf16":
        o.gemm_gflops = common.gemm_rate(torch.bfloat16)
    model = Decoder(o)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0, foreach=True)
    ids = torch.randint(o.vocab, (o.batch, o.length))
    losses = []

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=o.dtype == "bf16"):
            loss = model.loss(ids)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    timing = common.measure(step, o.steps, o.warmup)
    what = f"LoRA {o.lora_rank}" if o.lora_rank else "full"
    common.report(
        o, f"{describe(o)} {o.batch}x{o.length} {what}", o.batch * o.length, timing, operations(o), dtype=o.dtype, loss=losses[-1])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A training step of a random model of Llama-3.2-1B's shape on a card: forward, backward and AdamW in bf16, as one would write it with
transformers and PEFT at their fastest: torch.compile, fused AdamW, the fused attention of PyTorch.

    gpu_step.py [--lora-rank 0] [--batch 1] [--length 2048] [--steps 20] [--warmup 5] [--weights fp32|bf16] [--no-compile] [--json]

`Forgetting.Benchmarks step` of that shape with `--device cuda --dtype bf16` does the same work. Ours keeps Float32 master weights and
moments; so does --weights fp32 (the default: Float32 parameters under bf16 autocast), while bf16 trains bf16 weights with bf16 moments,
which is less work and less memory but not the same optimiser. With LoRA the frozen weights are bf16 and the adapter Float32, as PEFT does
it.
"""

import argparse
import json

import torch
import transformers

import llama_1b


def adapted(model, rank):
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=16, lora_dropout=0.0, target_modules=llama_1b.LORA_TARGETS, task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("lora-rank", 0), ("batch", 1), ("length", 2048), ("layers", 16), ("steps", 20), ("warmup", 5)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--weights", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()

    model = llama_1b.model(o.length, layers=o.layers)
    if o.lora_rank:
        model = adapted(model, o.lora_rank)
    elif o.weights == "fp32":
        model = model.float()
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, weight_decay=0.0, fused=True)
    ids = llama_1b.tokens(o.batch, o.length)
    mixed = torch.autocast("cuda", dtype=torch.bfloat16, enabled=bool(o.lora_rank) or o.weights == "fp32")
    forward = model if o.no_compile else torch.compile(model)
    losses = []

    def step():
        optimizer.zero_grad(set_to_none=True)
        with mixed:
            loss = forward(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())

    median, best, peak = llama_1b.time(step, o.steps, o.warmup)
    result = {
        "program": "pytorch",
        "work": f"2048x{o.layers} {o.batch}x{o.length} {f'LoRA {o.lora_rank}' if o.lora_rank else 'full'}",
        "way": ("transformers, " if o.no_compile else "torch.compile, ") + f"weights {'bf16 + adapter fp32' if o.lora_rank else o.weights}",
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "card": torch.cuda.get_device_name(),
        "steps": o.steps,
        "ms": median,
        "best_ms": best,
        "tokens_per_second": o.batch * o.length / median * 1e3,
        "peak_bytes": peak,
        "loss": losses[-1].item(),
    }
    if o.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['work']}, {result['way']}: median {median:.1f} ms (best {best:.1f}), {result['tokens_per_second']:.0f} tokens/s, "
            f"peak {peak / 2**30:.2f} GiB, loss {result['loss']:.4f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Diagonal Fisher information and forgetting confidence in PyTorch on the CPU: a loop with batch size 1, beside one ordinary backward pass.

    fisher.py [shape of train_step.py] [--steps 5] [--warmup 2] [--json]

The same work as `Forgetting.Benchmarks fisher`: F += g² over the batch's examples ("ms"); <FΔ, g> and <F, g²> of each ("confidence_ms");
and a plain forward and backward pass over the whole batch ("backward_ms").
"""

import common
import torch
from models import Decoder, describe


def main():
    o = common.parse(__doc__, 5, 2)
    model = Decoder(o)
    ids = torch.randint(o.vocab, (o.batch, o.length))
    parameters = list(model.parameters())
    fisher = [torch.zeros_like(p) for p in parameters]
    moved = [torch.rand_like(p) for p in parameters]

    def gradients(some):
        return torch.autograd.grad(model.loss(some, "sum"), parameters)

    def information():
        for i in range(o.batch):
            for total, gradient in zip(fisher, gradients(ids[i : i + 1])):
                total.addcmul_(gradient, gradient)

    def confidence():
        found = []
        for i in range(o.batch):
            first, second = 0.0, 0.0
            for weighted, total, gradient in zip(moved, fisher, gradients(ids[i : i + 1])):
                flat = gradient.flatten()
                first += torch.dot(weighted.flatten(), flat).item()
                second += torch.dot(total.flatten(), flat * flat).item()
            found.append((first, second))
        return found

    backward = common.measure(lambda: gradients(ids), o.steps, o.warmup)
    timing = common.measure(information, o.steps, o.warmup)
    confident = common.measure(confidence, o.steps, o.warmup)
    common.report(
        o, f"{describe(o)} {o.batch}x{o.length} Fisher, batch size 1", o.batch * o.length, timing,
        backward_ms=backward[0], confidence_ms=confident[0])


if __name__ == "__main__":
    main()

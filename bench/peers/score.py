#!/usr/bin/env python3
"""Losses of the response tokens of many examples under two models, as the usual loop without gradients computes them.

    score.py [--examples 1000] [--shortest 16] [--longest 96] [--batch 16] [--head all|response] [shape of train_step.py] [--json]

The same work as `Forgetting.Benchmarks score`: the second half of each example is its response. Examples are sorted by length and padded to
the longest of their batch. With --head all every position's logits are computed, as models of the transformers library do; with --head
response only those before a response token.
"""

import common
import torch
import torch.nn.functional as F
from models import Decoder, attention_operations, describe, weights


def lengths(o):
    """As ScoreWorkload.Lengths gives them."""
    return [o.shortest + 37 * i % (o.longest - o.shortest + 1) for i in range(o.examples)]


def operations(o):
    """Of both models, as ScoreWorkload.Operations counts them: what is needed, whatever is computed."""
    blocks, head = weights(o)
    return 2 * sum(2 * blocks * n + 2 * head * (n - n // 2) + attention_operations(o, n) for n in lengths(o))


def losses(model, batches, head):
    results = []
    for ids, response in batches:
        hidden = model(ids)[:, :-1]
        if head == "all":
            loss = F.cross_entropy(model.logits(hidden).flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
            loss = loss.view(ids.shape[0], -1)[response]
        else:
            loss = F.cross_entropy(model.logits(hidden[response]), ids[:, 1:][response], reduction="none")
        results.append(loss)
    return torch.cat(results)


def main():
    def add(parser):
        for name, value in (("examples", 1000), ("shortest", 16), ("longest", 96)):
            parser.add_argument("--" + name, type=int, default=value)
        parser.add_argument("--head", choices=["all", "response"], default="all")
        parser.set_defaults(batch=16)

    o = common.parse(__doc__, 1, 0, add)
    o.length = o.longest
    base, reference = Decoder(o), Decoder(o)
    examples = sorted((torch.randint(o.vocab, (n,)) for n in lengths(o)), key=len, reverse=True)
    batches = []
    for first in range(0, len(examples), o.batch):
        some = examples[first : first + o.batch]
        ids = torch.nn.utils.rnn.pad_sequence(some, batch_first=True)
        # Place t predicts token t + 1.
        place = torch.arange(1, ids.shape[1])
        response = torch.stack([(place >= len(e) // 2) & (place < len(e)) for e in some])
        batches.append((ids, response))

    found = []

    def score():
        with torch.inference_mode():
            found.append((losses(base, batches, o.head) - losses(reference, batches, o.head)).abs().mean().item())

    timing = common.measure(score, o.steps, o.warmup)
    common.report(
        o, f"{describe(o)} score {o.examples} of {o.shortest}-{o.longest}, head {o.head}", 2 * sum(lengths(o)), timing, operations(o),
        influence=found[-1])


if __name__ == "__main__":
    main()

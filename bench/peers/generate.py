#!/usr/bin/env python3
"""Greedy generation with a key-value cache in PyTorch: all prompts in one pass, then a token for each sequence per pass.

    generate.py [--batch 1] [--prompt 32] [--new 128] [shape of train_step.py] [--json]

The same work as `Forgetting.Benchmarks generate`. The cache is allocated once and written in place.
"""

import common
import torch
from models import Decoder, describe


def main():
    def add(parser):
        for name, value in (("prompt", 32), ("new", 128)):
            parser.add_argument("--" + name, type=int, default=value)
        parser.set_defaults(batch=1)

    o = common.parse(__doc__, 5, 1, add)
    o.length = o.prompt + o.new
    model = Decoder(o)
    prompts = torch.randint(o.vocab, (o.batch, o.prompt))

    def generate():
        with torch.inference_mode():
            caches = model.caches(o.batch, o.length)
            ids, place, tokens = prompts, 0, []
            for _ in range(o.new):
                hidden = model(ids, place, caches)[:, -1:]
                place += ids.shape[1]
                ids = model.logits(hidden).argmax(-1)
                tokens.append(ids)
            return torch.cat(tokens, 1)

    timing = common.measure(generate, o.steps, o.warmup)
    common.report(o, f"{describe(o)} generate {o.batch}x({o.prompt}+{o.new})", o.batch * o.new, timing, token_ms=timing[0] / o.new)


if __name__ == "__main__":
    main()

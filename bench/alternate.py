#!/usr/bin/env python3
"""Runs the pairs of pairs.txt, our program and its peer in turn, and compares the medians. See run.sh."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = ["dotnet", os.path.join(HERE, "Forgetting.Benchmarks/bin/Release/net10.0/Forgetting.Benchmarks.dll")]


def read_pairs(steps):
    with open(os.path.join(HERE, "pairs.txt"), encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    pairs = {}
    for line in lines:
        name, ours, peer = (part.strip().format(steps=steps) for part in line.split("|"))
        pairs[name] = ours.split(), peer.split()
    return pairs


def run(command):
    """The last line of standard output, which is JSON."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def spread(values):
    """Half the range over the median, in percent."""
    return 50 * (max(values) - min(values)) / statistics.median(values)


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def summarise(name, rounds):
    ours, peer = ([r[side]["ms"] for r in rounds] for side in ("ours", "peer"))
    # Neighbours in time share the machine's state, so the ratio is taken round by round.
    ratios = [b / a for a, b in zip(ours, peer)]
    return {
        "pair": name,
        "ours_ms": statistics.median(ours),
        "ours_spread": spread(ours),
        "ours_gflops": statistics.median(r["ours"].get("gflops", 0) for r in rounds),
        "peer_ms": statistics.median(peer),
        "peer_spread": spread(peer),
        "peer_gflops": statistics.median(r["peer"].get("gflops", 0) for r in rounds),
        "ratio": statistics.median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
    }


def table(summaries):
    yield "| pair | ours, ms | ± | GFLOP/s | PyTorch, ms | ± | GFLOP/s | ratio | least – most |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for s in summaries:
        yield (
            f"| {s['pair']} | {s['ours_ms']:.1f} | {s['ours_spread']:.0f} % | {s['ours_gflops'] or 0:.1f} | {s['peer_ms']:.1f} | {s['peer_spread']:.0f} % "
            f"| {s['peer_gflops'] or 0:.1f} | **{s['ratio']:.2f}** | {s['ratio_least']:.2f} – {s['ratio_most']:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--python", default="python3", help="interpreter with torch")
    parser.add_argument("--save", metavar="NAME")
    parser.add_argument("pairs", nargs="*")
    o = parser.parse_args()
    pairs = read_pairs(o.steps)
    unknown = [name for name in o.pairs if name not in pairs]
    if unknown:
        sys.exit(f"error: no pair {unknown[0]}; expected some of {', '.join(pairs)}")

    results = {name: [] for name in o.pairs or pairs}
    for i in range(o.rounds):
        for name, rounds in results.items():
            ours, peer = pairs[name]
            # Whoever comes first changes, so that neither has the warmer machine.
            work = [("ours", OURS + ours), ("peer", [o.python, os.path.join(HERE, "peers", peer[0])] + peer[1:])]
            rounds.append({side: run(command) for side, command in (work if i % 2 == 0 else work[::-1])})
            print(f"round {i + 1} {name}: {rounds[-1]['ours']['ms']:.1f} ms, {rounds[-1]['peer']['ms']:.1f} ms, load {os.getloadavg()[0]:.1f}", file=sys.stderr)

    summaries = [summarise(name, rounds) for name, rounds in results.items()]
    first = next(iter(results.values()))[0]
    head = [
        f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} processors, median of {o.rounds} rounds of {o.steps} steps, ± half the range, "
        "ratio of each round's two sides.",
        f"Ours: {first['ours'].get('products')}, {first['ours'].get('threads')} threads. Peer: {first['peer'].get('products')}, "
        f"{first['peer'].get('threads')} threads, product of 1024 at {first['peer'].get('gemm_gflops', 0):.0f} GFLOP/s.",
    ]
    text = "\n".join(head + [""] + list(table(summaries))) + "\n"
    print(text, end="")
    if o.save:
        path = os.path.join(HERE, "results", o.save)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".json", "w", encoding="utf-8") as file:
            json.dump({"head": head, "summaries": summaries, "rounds": results}, file, indent=1)
            file.write("\n")
        with open(path + ".md", "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

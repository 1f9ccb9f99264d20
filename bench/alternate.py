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
PEERS = os.path.join(HERE, "peers/torchsharp/bin/Release/net10.0/linux-x64")

# What PyTorch's threads are told; which is fastest differs by machine and by shape.
SETTINGS = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}

# Its own mounts, so that nothing of this is left behind: the peer's folder, and /proc, which .NET reads.
IN_ROOT = (
    'mount --bind "$1" "$0/mnt" && mount -t proc proc "$0/proc" && folder=$0 && shift && '
    'exec chroot "$folder" /mnt/Forgetting.Peers "$@"')


def read_pairs(steps):
    """name: (our arguments, the peer's, figure)."""
    with open(os.path.join(HERE, "pairs.txt"), encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    definitions, pairs = {"steps": steps}, {}
    for line in lines:
        if "|" not in line:
            name, text = line.split("=", 1)
            definitions[name.strip()] = text.strip()
            continue
        name, both, ours, peer, *figure = (part.strip().format(**definitions) for part in line.split("|"))
        pairs[name] = tuple(f"{both} {ours}".split()), tuple(f"{both} {peer}".split()), (figure[0] if figure else "") or "ms"
    return pairs


def build():
    for project in ["Forgetting.Benchmarks", "peers/torchsharp"]:
        done = subprocess.run(
            ["dotnet", "build", "-c", "Release", "-v", "q", "-nologo", os.path.join(HERE, project)], stdout=sys.stderr, check=False)
        if done.returncode != 0:
            sys.exit(f"error: {project} does not build")


def peer_command(root):
    """PyTorch's native library wants a newer C++ library than Debian 12 has; `root` is a folder with a system that has one."""
    command = ["unshare", "--mount", "sh", "-c", IN_ROOT, root, PEERS] if root else [os.path.join(PEERS, "Forgetting.Peers")]
    done = subprocess.run([*command, "generate", "--new", "1", "--steps", "1", "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        sys.exit(
            f"error: PyTorch does not run here: {next((line for line in said if 'GLIBC' in line), said[0]).strip()}; "
            "expected GLIBCXX_3.4.32, or a folder with a system that has it (--root, bench/README.md)")
    return command


def run(command, variables):
    """The last line of standard output, which is JSON."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def processor(what="model name"):
    """A line of /proc/cpuinfo."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith(what))
    except (OSError, StopIteration):
        return platform.processor()


def default_pairs(pairs):
    """
    All of them; those of bf16 only where the processor multiplies it, since elsewhere it is emulated.
    """
    if {"avx512_bf16", "amx_bf16"} & set(processor("flags").split()):
        return list(pairs)
    left_out = [name for name, (ours, peer, _) in pairs.items() if "bf16" in ours + peer]
    print(f"no bf16 instructions here; left out: {', '.join(left_out)}", file=sys.stderr)
    return [name for name in pairs if name not in left_out]


def middle(values):
    """Median of those there are, and half their range over it in percent."""
    known = [value for value in values if value is not None]
    return (statistics.median(known), 50 * (max(known) - min(known)) / statistics.median(known)) if known else (None, None)


def peaks(rounds):
    """By type, the best median rate of a product of 1024³ that either side reached anywhere in the run."""
    rates = {}
    for name, results in rounds.items():
        for side in results[0]:
            sample = [r[side].get("gemm_gflops") for r in results]
            if all(sample):
                rates.setdefault(results[0][side]["dtype"], []).append(statistics.median(sample))
    return {kind: max(values) for kind, values in rates.items()}


def summarise(name, figure, rounds, peak):
    """One row for each setting of the peer. Neighbours in time share the machine's state, so ratios are taken round by round."""
    ours, ours_spread = middle(r["ours"][figure] for r in rounds)
    for setting in (side for side in rounds[0] if side != "ours"):
        peer, peer_spread = middle(r[setting][figure] for r in rounds)
        ratios = [r[setting][figure] / r["ours"][figure] for r in rounds]
        row = {
            "pair": name, "setting": setting, "ours_ms": ours, "ours_spread": ours_spread, "peer_ms": peer, "peer_spread": peer_spread,
            "ratio": statistics.median(ratios), "ratio_least": min(ratios), "ratio_most": max(ratios),
        }
        for side, key in (("ours", "ours"), (setting, "peer")):
            # Rates belong to the whole command's own figure.
            rate = middle(r[side].get("gflops") for r in rounds)[0] if figure == "ms" else None
            row[key + "_gflops"] = rate
            row[key + "_share"] = rate and 100 * rate / peak[rounds[0][side]["dtype"]]
            row[key + "_tokens"] = middle(r[side]["tokens_per_second"] for r in rounds)[0] if figure == "ms" else None
        yield row


def number(value, form="{:.1f}"):
    return "" if value is None else form.format(value)


def table(summaries):
    side = "± | tokens/s | GFLOP/s | of peak"
    yield f"| pair | threads | ours, ms | {side} | PyTorch, ms | {side} | ratio | least – most |"
    yield "|---|---|" + "---:|" * 12
    for s in summaries:
        sides = [
            f"{number(s[side + '_ms'])} | {number(s[side + '_spread'], '{:.0f} %')} | {number(s[side + '_tokens'], '{:,.0f}')} | "
            f"{number(s[side + '_gflops'])} | {number(s[side + '_share'], '{:.0f} %')}"
            for side in ("ours", "peer")
        ]
        ratio = f"**{s['ratio']:.2f}** | {s['ratio_least']:.2f} – {s['ratio_most']:.2f}"
        yield f"| {s['pair']} | {s['setting']} | {sides[0]} | {sides[1]} | {ratio} |"


def sinks_table(rounds):
    """Fisher information and forgetting confidence over an ordinary backward pass, each side by itself."""
    found = next((results for results in rounds.values() if "confidence_ms" in results[0]["ours"]), None)
    if not found:
        return
    yield ""
    yield "| times an ordinary forward and backward pass | Fisher information | forgetting confidence |"
    yield "|---|---:|---:|"
    for side in found[0]:
        ratios = [statistics.median(r[side][figure] / r[side]["backward_ms"] for r in found) for figure in ("ms", "confidence_ms")]
        yield f"| {'ours' if side == 'ours' else f'PyTorch, one example at a time, {side}'} | {ratios[0]:.2f} | {ratios[1]:.2f} |"


def heading(o, rounds, peak):
    results = next(iter(rounds.values()))
    ours = results[0]["ours"]
    yield (
        f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} processors, "
        f"median of {o.rounds} rounds of {o.steps} steps, ± half the range, "
        "ratio of each round's two sides.")
    yield f"Ours: {ours.get('products')}, {ours.get('threads')} threads."
    for setting in (side for side in results[0] if side != "ours"):
        peer = results[0][setting]
        rate = statistics.median(r[setting]["gemm_gflops"] for r in results)
        yield f"Peer, {setting}: {peer.get('products')}, {peer.get('threads')} threads, product of 1024 at {rate:.0f} GFLOP/s."
    rates = ", ".join(f"{kind} {rate:.0f} GFLOP/s" for kind, rate in sorted(peak.items()))
    yield f"Peak, the best product of 1024 that either side measured: {rates}."


def measure(commands, settings, command, rounds):
    """Runs every distinct pair of commands `rounds` times: {commands: [{"ours": result, setting: result, …}, …]}."""
    results = {pair: [] for pair in commands}
    for i in range(rounds):
        for (ours, peer), found in results.items():
            work = [("ours", OURS + list(ours), {})] + [(s, [*command, *peer], SETTINGS[s]) for s in settings]
            # Whoever comes first changes, so that neither has the warmer machine.
            found.append({side: run(line, variables) for side, line, variables in (work if i % 2 == 0 else work[::-1])})
            times = ", ".join(f"{side} {found[-1][side]['ms']:.1f} ms" for side in ["ours", *settings])
            print(f"round {i + 1} {' '.join(ours)}: {times}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--root", metavar="FOLDER", help="run PyTorch on the system in this folder (bench/README.md); needs root")
    parser.add_argument("--settings", default="default", help=f"PyTorch's threading, some of {','.join(SETTINGS)}, or all")
    parser.add_argument("--save", metavar="NAME", help="write bench/results/NAME.json and NAME.md")
    parser.add_argument("pairs", nargs="*")
    o = parser.parse_args()
    pairs = read_pairs(o.steps)
    for what, found, known in [("pair", o.pairs, pairs), ("setting", o.settings.split(","), [*SETTINGS, "all"])]:
        unknown = [name for name in found if name not in known]
        if unknown:
            sys.exit(f"error: no {what} {unknown[0]}; expected some of {', '.join(known)}")
    settings = list(SETTINGS) if o.settings == "all" else o.settings.split(",")
    chosen = {name: pairs[name] for name in o.pairs or default_pairs(pairs)}
    build()
    command = peer_command(o.root)
    results = measure(dict.fromkeys((ours, peer) for ours, peer, _ in chosen.values()), settings, command, o.rounds)
    peak = peaks(results)
    summaries = [row for name, (ours, peer, figure) in chosen.items() for row in summarise(name, figure, results[ours, peer], peak)]
    head = list(heading(o, results, peak))
    text = "\n".join(head + [""] + list(table(summaries)) + list(sinks_table(results))) + "\n"
    print(text, end="")
    if o.save:
        path = os.path.join(HERE, "results", o.save)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".json", "w", encoding="utf-8") as file:
            rounds = {" | ".join(" ".join(side) for side in pair): found for pair, found in results.items()}
            json.dump({"head": head, "peak_gflops": peak, "summaries": summaries, "rounds": rounds}, file, indent=1)
            file.write("\n")
        with open(path + ".md", "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

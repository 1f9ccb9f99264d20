#!/usr/bin/env python3
"""Turns what check-gpu.sh collected into one readable page and one JSON file, with the standard library alone.

    gpu_report.py LOGS [--card NAME] [--markdown results.md] [--json results.json]

LOGS holds stages.tsv (stage, seconds, outcome) and the JSON files of the stages that got that far; what is absent is left out.
"""

import argparse
import json
import os
import sys


def read(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".json"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                try:
                    found[name[: -len(".json")]] = json.load(file)
                except json.JSONDecodeError as error:
                    print(f"{name}: not JSON ({error})", file=sys.stderr)
    return found


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "|".join("---" if i == 0 else "---:" for i in range(len(header))) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def number(value, format_="{:.3g}"):
    return "" if value is None else format_.format(value)


def doctor(title, report):
    """Each operation beside what this card can do: its copy (the first entry) and its product (the second)."""
    kernels = report.get("kernels", [])
    copy = next((k.get("gb_per_s") for k in kernels if k["operation"] == "Copy"), None)
    product = next((k.get("tflop_per_s") for k in kernels if k["operation"] == "Gemm forward"), None)
    yield f"## Operations, {title}"
    yield ""
    yield f"Copy: {number(copy, '{:.0f}')} GB/s; product: {number(product, '{:.1f}')} TFLOP/s. The share is of the one or the other."
    yield ""
    rows = []
    for kernel in kernels:
        bandwidth, rate = kernel.get("gb_per_s"), kernel.get("tflop_per_s")
        share = bandwidth / copy if bandwidth and copy else rate / product if rate and product else None
        rows.append([
            kernel["operation"], number(kernel["error"], "{:.1e}"), "ok" if kernel["ok"] else "**wrong**",
            number(kernel.get("ms"), "{:.3f}"),
            number(bandwidth, "{:.0f}"), number(rate, "{:.1f}"), number(share, "{:.0%}")])
    yield from table(["operation", "error", "", "ms", "GB/s", "TFLOP/s", "share"], rows)


def training(results):
    rows = [
        [r["run"], str(r["steps"]), number(r["largest_relative_difference"]), number(r["tolerance"]), "ok" if r["ok"] else "**too far**"]
        for name, r in results.items() if name.startswith("training-")]
    if rows:
        yield "## Training against the CPU"
        yield ""
        yield from table(["run", "steps", "largest relative difference of a loss", "tolerance", ""], rows)


def benchmark(title, prefix, results):
    """Ours first; a ratio above 1 says that ours is faster."""
    runs = [dict(r, way="launch by launch") if "-launches-" in name else r for name, r in results.items() if name.startswith(prefix)]
    ours = {r["work"]: r["ms"] for r in runs if r["program"] == "forgetting" and "way" not in r}
    rows = []
    for r in sorted(runs, key=lambda r: (r["work"], r["program"] != "forgetting", "way" in r)):
        ratio = r["ms"] / ours[r["work"]] if r["work"] in ours and (r["program"] != "forgetting" or "way" in r) else None
        peak = r.get("peak_bytes")
        rows.append([
            r["work"], r["program"] + (f", {r['way']}" if "way" in r else ""), number(r["ms"], "{:.1f}"),
            number(r.get("tokens_per_second"), "{:.0f}"),
            number(peak / 2**30 if peak else None, "{:.2f}"), number(ratio, "{:.2f}"), number(r.get("backward_ms"), "{:.1f}")])
    if rows:
        yield f"## {title}"
        yield ""
        yield (
            "Peak memory: ours is what the card has less while the work is there; "
            "PyTorch's is the most its allocator had handed out, without its caches.")
        yield ""
        yield from table(["work", "program", "ms", "tokens/s", "peak GiB", "ours is faster by", "ms of an ordinary pass"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs")
    parser.add_argument("--card", default="unknown card")
    parser.add_argument("--markdown", default="results.md")
    parser.add_argument("--json", default="results.json")
    options = parser.parse_args()

    with open(os.path.join(options.logs, "stages.tsv"), encoding="utf-8") as file:
        stages = [line.rstrip("\n").split("\t") for line in file]
    results = read(options.logs)
    lines = [f"# {options.card}", ""]
    lines += table(["stage", "seconds", "outcome"], stages)
    for dtype in ("fp32", "bf16"):
        if f"doctor-{dtype}" in results:
            lines += doctor(dtype, results[f"doctor-{dtype}"])
    lines += training(results)
    lines += benchmark("Training step", "step-", results)
    lines += benchmark("Diagonal Fisher information", "fisher-", results)
    with open(options.markdown, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    with open(options.json, "w", encoding="utf-8") as file:
        named = [dict(zip(("stage", "seconds", "outcome"), s)) for s in stages]
        json.dump({"card": options.card, "stages": named, **results}, file, indent=1)


if __name__ == "__main__":
    main()

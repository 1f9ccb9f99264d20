#!/usr/bin/env python3
"""Changes one place of a kernel at a time and asks whether the operation cases notice.

    tools/mutate-kernels.py [--each N] [--out FILE] [KERNEL...]

Needs ./build.sh emulation and the built tests. Of every kernel file (or of those that are named, as rope) N places, 2 unless given, are
changed for each kind of mutant below; each mutant is compiled into a copy of the emulation's kernels, with every access checked, and the
cases of the operations that use the file run on it in three orders of threads and in both types. A mutant is caught where a case fails, a
check reports it, the process dies, or nothing has come back after ten minutes. What survives is listed, with the reason where
kernels/emulation/survivors.txt has one. FILE (build/mutants/results.tsv) keeps what is known: an interrupted run goes on where it was.
"""
import argparse
import collections
import os
import random
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "emulation")
OBJECTS = os.path.join(BUILD, "kernels", "emulation", "CMakeFiles", "forgetting_kernels.dir")
TESTS = os.path.join(ROOT, "tests", "Forgetting.Cuda.Tests", "bin", "Release", "net10.0", "Forgetting.Cuda.Tests.dll")
REASONS = os.path.join(ROOT, "kernels", "emulation", "survivors.txt")
SECONDS = 600

# The operations that launch a file's kernels.
OPERATIONS = {
    "activation": "Gelu GeluBackward SwiGlu SwiGluBackward GeGlu GeGluBackward SoftCap SoftCapBackward",
    "adamw": "AdamW",
    "attention": "Attention AttentionWithCache",
    "attention_backward": "AttentionBackward",
    "attention_cache": "AttentionWithCache",
    "attention_f32": "Attention AttentionBackward AttentionWithCache",
    "columns": "AccumulateColumns SquareAccumulateColumns ProjectColumns SegmentMean LoraDownGradient",
    "elementwise": "AddBias Axpy Copy Fill Multiply Scale",
    "embedding": "AccumulateRows SquareAccumulateRows ProjectRows",
    "fisher": "SquareAccumulateMatrix ProjectMatrix",
    "fisher_f32": "SquareAccumulateMatrix ProjectMatrix",
    "gather": "GatherRows ScatterRows CopyColumns",
    "head_rows": "HeadRows",
    "kl_divergence": "KlDivergence",
    "layer_norm": "LayerNorm LayerNormBackward",
    "lora": "LoraDown LoraDownGradient LoraDownInput",
    "lora_f32": "LoraDown LoraDownGradient LoraDownInput",
    "rms_norm": "RmsNorm RmsNormBackward",
    "rope": "Rope",
    "sample": "Sample",
    "signed_loss": "SignedLoss",
    "sums": "Dot SumOfSquares ProjectColumns ProjectMatrix ProjectRows",
}

SIZES = r"(?:C|V|D|T|R|K|N|HD|F|stride|kvStride|kStride|heads|kvHeads|columns|outputs|inputs|sequences|kColumns|kTile)"
KINDS = {
    # pattern, replacement; the code has spaces around comparisons and none around template arguments
    "barrier": [(r"__sync(threads|warp)\(\);", ";"), (r"cp_async_wait<(\w+)>", r"cp_async_wait<\1 + 1>")],
    "comparison": [(r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "), (r" == ", " != ")],
    "index": [(r"\[([a-z]\w*)\]", r"[\1 + 1]"), (r" \+ 1\b(?!\d|\.)", " + 2"), (r" - 1\b(?!\d|\.)", " - 2")],
    "mask": [(r" & (\d+)\b", r" & (\1 >> 1)"), (r" && ", " || "), (r"\bmin\(", "max("), (r"\bmax\(", "min("),
             (r" \? (\w+(?:\[\w+\])?) : (\w+(?:\.\w+)?)", r" ? \2 : \1")],
    "factor": [(r" \* \(?[a-zA-Z]\w*(?:\.\w+|\[\w+\])?(?=[;,)])", ""), (r" / [a-zA-Z]\w*(?=[;,)])", "")],
    "stride": [(rf" \* ({SIZES})\b", r" * (\1 + 1)"), (r"\+= (blockDim\.x|kThreads)\b", r"+= (\1 + 1)")],
}


def mutants(name, text, each):
    """(kind, line number, changed line, changed text) of so many places of each kind, the same ones every time."""
    lines = text.split("\n")
    for kind, rules in KINDS.items():
        places = []
        for number, line in enumerate(lines):
            code = line.split("//")[0]
            if code.lstrip().startswith(("#", "KERNEL", "template", "constexpr", "static_assert")) or "operator" in code:
                continue
            for pattern, replacement in rules:
                for match in re.finditer(pattern, code):
                    changed = match.expand(replacement)
                    if changed.count("(") != changed.count(")") and match.group().count("(") != match.group().count(")"):
                        continue  # a factor in brackets of its own
                    places.append((number, line[: match.start()] + changed + line[match.end():]))
        random.Random(f"{name} {kind}").shuffle(places)
        for number, changed in places[:each]:
            yield kind, number + 1, changed, "\n".join(lines[:number] + [changed] + lines[number + 1:])


def run(command, seconds, **options):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, **options)
    except subprocess.TimeoutExpired:
        return None


def outcome(name, text, folder, flags):
    source = os.path.join(folder, name + ".cu")
    with open(source, "w") as file:
        file.write(text)
    compiled = os.path.join(folder, name + ".o")
    include = ["-I", os.path.join(ROOT, "kernels"), "-I", os.path.join(ROOT, "kernels", "include")]
    result = run(["c++", *flags, *include, "-c", source, "-o", compiled], 600)
    if result is None or result.returncode != 0:
        return "not compiled"
    others = [os.path.join(path, file) for path, _, files in os.walk(OBJECTS) for file in files
              if file.endswith(".cu.o") and file != name + ".cu.o"]
    library = os.path.join(folder, "libforgetting_kernels.so")
    result = run(["c++", "-shared", "-o", library, compiled, *others, os.path.join(BUILD, "libforgetting_emulation.so"),
                  "-Wl,-rpath," + BUILD], 600)
    if result is None or result.returncode != 0:
        return "not compiled"
    tested = run(["dotnet", TESTS, "mutant", *OPERATIONS[name].split()], SECONDS, env={**os.environ, "FORGETTING_NATIVE": folder})
    if tested is None:
        return "caught: nothing came back"
    if tested.returncode == 0:
        return "survived"
    if tested.returncode not in (3, 134, 139):
        sys.exit(f"error: the cases of {name} did not run:\n{tested.stdout.decode(errors='replace')}")
    last = (tested.stdout.decode(errors="replace").strip().split("\n") or [""])[0]
    return "caught: " + (last[:160] if tested.returncode == 3 else f"exit code {tested.returncode}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=2)
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "mutants", "results.tsv"))
    parser.add_argument("kernels", nargs="*")
    options = parser.parse_args()
    here = {file[:-3] for file in os.listdir(os.path.join(ROOT, "kernels")) if file.endswith(".cu")}
    if here != set(OPERATIONS):
        sys.exit(f"error: {sys.argv[0]} does not say which operations use {', '.join(sorted(here ^ set(OPERATIONS)))}")
    wrong = [name for name in options.kernels if name not in here]
    if wrong:
        sys.exit(f"error: no kernel file {', '.join(wrong)}; there are {', '.join(sorted(here))}")
    if not os.path.exists(TESTS) or not os.path.isdir(OBJECTS):
        sys.exit("error: ./build.sh emulation and dotnet build -c Release come first")

    with open(os.path.join(OBJECTS, "flags.make")) as file:
        flags = shlex.split(next(line for line in file if line.startswith("CXX_FLAGS")).split("=", 1)[1])
    flags = [flag for flag in flags if flag not in ("-Werror", "-O2")] + ["-O1", "-w"]
    folder = os.path.join(ROOT, "build", "mutants")
    os.makedirs(folder, exist_ok=True)
    emulation = os.path.join(folder, "libforgetting_emulation.so")
    if not os.path.lexists(emulation):
        os.symlink(os.path.join(BUILD, "libforgetting_emulation.so"), emulation)

    known = {}
    if os.path.exists(options.out):
        with open(options.out) as file:
            known = {tuple(line.rstrip("\n").split("\t")[:3]): line.rstrip("\n").split("\t")[3] for line in file}
    reasons = {}
    with open(REASONS) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                key, reason = line.rstrip("\n").split("  --  ")
                reasons[key.strip()] = reason.strip()

    work = []
    for name in sorted(options.kernels or here):
        with open(os.path.join(ROOT, "kernels", name + ".cu")) as file:
            text = file.read()
        work += [(name, *mutant) for mutant in mutants(name, text, options.each)]
    # In turns over the files, so that an interrupted run has seen something of each.
    order = collections.Counter()
    keyed = []
    for mutant in work:
        order[mutant[0]] += 1
        keyed.append((order[mutant[0]], mutant))
    found = []
    for _, (name, kind, number, changed, text) in sorted(keyed, key=lambda each: each[0]):
        key = (name, kind, changed.strip())
        if key not in known:
            known[key] = outcome(name, text, folder, flags)
            with open(options.out, "a") as file:
                file.write("\t".join((*key, known[key])) + "\n")
            print(f"{name}.cu:{number} {kind}: {changed.strip()}  {known[key]}", flush=True)
        found.append((name, kind, number, changed.strip(), known[key]))

    print(f"\n{'kernel file':<20} {'mutants':>8} {'caught':>8}")
    counted = [each for each in found if each[4] != "not compiled"]
    for name in sorted({each[0] for each in counted}):
        own = [each for each in counted if each[0] == name]
        print(f"{name:<20} {len(own):>8} {sum(each[4] != 'survived' for each in own):>8}")
    survivors = [each for each in counted if each[4] == "survived"]
    equivalent = [each for each in survivors if f"{each[0]} {each[3]}" in reasons]
    caught = len(counted) - len(survivors)
    print(f"{'all':<20} {len(counted):>8} {caught:>8}   {100 * caught / max(1, len(counted)):.1f} %")
    for name, kind, number, changed, _ in survivors:
        print(f"survived: {name}.cu:{number} {kind}: {changed}  --  {reasons.get(f'{name} {changed}', 'no reason is known')}")
    return 0 if len(equivalent) == len(survivors) else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Changes one place of a kernel at a time and asks whether the operation cases notice.

    tools/mutate-kernels.py [--each N] [--out FILE] [--table PAGE] [--known] [KERNEL...]

Needs ./build.sh emulation and the built tests. Of every kernel file (or of those that are named, as rope) N places, 2 unless given, are
changed for each kind of mutant below; each mutant is compiled into a copy of the emulation's kernels, and the cases of the operations that
use the file run on it in three orders of threads and in both types: first without checks, and where none of them fails again with every
access checked. A mutant is caught where a case fails, a check reports it, the process dies, or nothing has come back after a minute of
processor time (five with checks), which is five times what the slowest file takes. What survives is listed, with the reason where
kernels/emulation/survivors.txt has one. FILE (build/mutants/results.tsv) keeps what is known: an interrupted run goes on where it was.
PAGE gets the table and the survivors; with --known nothing is run, and it tells what FILE knows.
"""
import argparse
import collections
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "emulation")
FOLDER = os.path.join(ROOT, "build", "mutants")
TESTS = os.path.join(ROOT, "tests", "Forgetting.Cuda.Tests", "bin", "Release", "net10.0", "Forgetting.Cuda.Tests.dll")
REASONS = os.path.join(ROOT, "kernels", "emulation", "survivors.txt")

class Mutant(collections.namedtuple("Mutant", "file kind line changed outcome")):
    @property
    def key(self):
        """How survivors.txt names it."""
        return f"{self.file} {self.changed}"


# The operations that launch a file's kernels.
OPERATIONS = {
    "activation": "Gelu GeluBackward SwiGlu SwiGluBackward GeGlu GeGluBackward SoftCap SoftCapBackward",
    "adamw": "AdamW AdamW8Bit",
    "attention": "Attention AttentionWithCache",
    "attention_backward": "AttentionBackward",
    "attention_cache": "AttentionWithCache",
    "attention_f32": "Attention AttentionBackward AttentionWithCache",
    "columns": "AccumulateColumns SquareAccumulateColumns ProjectColumns SegmentMean SegmentMeanBackward LoraDownGradient",
    "dequantize": "Copy Gemm",
    "elementwise": "AddBias Axpy Copy Fill Multiply Scale",
    "embedding": "AccumulateRows SquareAccumulateRows ProjectRows HeadRows",
    "fisher": "SquareAccumulateMatrix ProjectMatrix",
    "fisher_f32": "SquareAccumulateMatrix ProjectMatrix",
    "gather": "GatherRows ScatterRows CopyColumns",
    "head_rows": "HeadRows",
    "kl_divergence": "KlDivergence",
    "layer_norm": "LayerNorm LayerNormBackward",
    "lora": "LoraDown LoraDownGradient LoraDownInput",
    "lora_f32": "LoraDown LoraDownGradient LoraDownInput",
    "magnitude": "MagnitudeFactors Magnitude MagnitudeBackward",
    "rms_norm": "RmsNorm RmsNormBackward",
    "rope": "Rope",
    "rounding": "StochasticRound",
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


class Library:
    """A build of the emulation's kernels, of which one file at a time is exchanged."""

    def __init__(self, name, folder, seconds):
        self.name, self.folder, self.seconds = name, folder, seconds
        self.objects = os.path.join(BUILD, "kernels", "emulation", "CMakeFiles", name + ".dir")
        if not os.path.isdir(self.objects):
            sys.exit("error: ./build.sh emulation comes first")
        with open(os.path.join(self.objects, "flags.make")) as file:
            flags = shlex.split(next(line for line in file if line.startswith("CXX_FLAGS")).split("=", 1)[1])
        self.flags = [flag for flag in flags if flag not in ("-Werror", "-O2", "-g1")] + ["-O1", "-w"]

    def build(self, name, text):
        """Whether the kernels compile with this text in a file's place."""
        source, compiled = os.path.join(self.folder, name + ".cu"), os.path.join(self.folder, name + ".o")
        with open(source, "w") as file:
            file.write(text)
        include = ["-I", os.path.join(ROOT, "kernels"), "-I", os.path.join(ROOT, "kernels", "include")]
        others = [os.path.join(path, file) for path, _, files in os.walk(self.objects) for file in files
                  if file.endswith(".cu.o") and file != name + ".cu.o"]
        library = os.path.join(self.folder, f"lib{self.name}.so")
        commands = [
            ["c++", *self.flags, *include, "-c", source, "-o", compiled],
            ["c++", "-shared", "-o", library, compiled, *others, os.path.join(BUILD, "libforgetting_emulation.so"), "-Wl,-rpath," + BUILD]]
        return all(subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0 for command in commands)

    def check(self, name):
        """Runs the cases of a file: None where all pass, else what caught it."""
        def limited():
            resource.setrlimit(resource.RLIMIT_CPU, (self.seconds, self.seconds + 1))

        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                ["dotnet", TESTS, "mutant", self.name, *OPERATIONS[name].split()], stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, "FORGETTING_NATIVE": self.folder}, preexec_fn=limited)
            code = process.wait()
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        if code == 0:
            return None
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return "nothing came back"
        if code == 3:
            return text.split("\n")[-1][:160]
        if code in (134, 139, -signal.SIGABRT, -signal.SIGSEGV):
            return f"signal {code - 128 if code > 0 else -code}"
        sys.exit(f"error: the cases of {name} did not run:\n{text}")

    def outcome(self, name, text):
        if not self.build(name, text):
            return "not compiled"
        fault = self.check(name)
        return f"caught: {fault}" if fault else "survived"


def table(found, reasons):
    """What became of the mutants, as a page."""
    waiting = collections.Counter(each.file for each in found if each.outcome is None)
    found = [each for each in found if each.outcome is not None]
    counted = [each for each in found if each.outcome != "not compiled"]
    survivors = [each for each in counted if each.outcome == "survived"]

    def row(name, own, not_run):
        left = [each for each in own if each.outcome == "survived"]
        equivalent = sum(reasons.get(each.key, "").startswith("equivalent") for each in left)
        return f"| {name} | {len(own)} | {len(own) - len(left)} | {equivalent} | {len(left) - equivalent} | {not_run} |"

    files = sorted({each.file for each in counted} | set(waiting))
    lines = ["# Mutants of the kernels", "",
             "Written by `tools/mutate-kernels.py --table kernels/emulation/mutants.md`, which says what is changed and what a",
             "mutant faces. An equivalent mutant computes the same as the kernel, so nothing can catch it. Reasons are from",
             "`survivors.txt`.", "",
             "| Kernel file | Mutants run | Caught | Equivalent | Survived otherwise | Not run yet |", "|---|---|---|---|---|---|"]
    lines += [row(f"`{name}.cu`", [each for each in counted if each.file == name], waiting[name]) for name in files]
    caught, equivalent = len(counted) - len(survivors), sum(reasons.get(each.key, "").startswith("equivalent") for each in survivors)
    lines += [row("all", counted, waiting.total()), "",
              f"Caught: {caught} of {len(counted)}, {100 * caught / max(1, len(counted)):.1f} %; of those that are not equivalent "
              f"{100 * caught / max(1, len(counted) - equivalent):.1f} %.", ""]
    lines += [f"- `{each.file}.cu`:{each.line}, {each.kind}: `{each.changed}`: {reasons.get(each.key, 'no reason is known')}"
              for each in sorted(survivors, key=lambda each: (each.file, each.line))]
    return "\n".join(lines).rstrip("\n") + "\n"


def known_outcomes(path):
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        return {tuple(fields[:4]): fields[4] for fields in (line.rstrip("\n").split("\t") for line in file)}


def known_reasons():
    reasons = {}
    with open(REASONS) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                key, reason = line.rstrip("\n").split("  --  ")
                reasons[key.strip()] = reason.strip()
    return reasons


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=2)
    parser.add_argument("--out", default=os.path.join(FOLDER, "results.tsv"))
    parser.add_argument("--table")
    parser.add_argument("--known", action="store_true")
    parser.add_argument("kernels", nargs="*")
    options = parser.parse_args()
    here = {file[:-3] for file in os.listdir(os.path.join(ROOT, "kernels")) if file.endswith(".cu")}
    if here != set(OPERATIONS):
        sys.exit(f"error: {sys.argv[0]} does not say which operations use {', '.join(sorted(here ^ set(OPERATIONS)))}")
    wrong = [name for name in options.kernels if name not in here]
    if wrong:
        sys.exit(f"error: no kernel file {', '.join(wrong)}; there are {', '.join(sorted(here))}")
    if not os.path.exists(TESTS):
        sys.exit("error: dotnet build -c Release comes first")

    os.makedirs(FOLDER, exist_ok=True)
    emulation = os.path.join(FOLDER, "libforgetting_emulation.so")
    if not os.path.lexists(emulation):
        os.symlink(os.path.join(BUILD, "libforgetting_emulation.so"), emulation)
    # Most are caught by a wrong result, which takes a fraction of the time without checks.
    libraries = [Library("forgetting_kernels_fast", FOLDER, 60), Library("forgetting_kernels", FOLDER, 300)]

    known, reasons, found = known_outcomes(options.out), known_reasons(), []
    for name in sorted(options.kernels or here):
        with open(os.path.join(ROOT, "kernels", name + ".cu")) as file:
            text = file.read()
        for kind, line, changed, mutant in mutants(name, text, options.each):
            key = (name, kind, str(line), changed.strip())
            if key not in known and not options.known:
                outcome = "survived"
                for library in libraries:
                    if outcome == "survived":
                        outcome = library.outcome(name, mutant)
                known[key] = outcome
                with open(options.out, "a") as file:
                    file.write("\t".join((*key, outcome)) + "\n")
                print(f"{name}.cu:{line} {kind}: {changed.strip()}  {outcome}", flush=True)
            found.append(Mutant(name, kind, line, changed.strip(), known.get(key)))

    written = table(found, reasons)
    print(written)
    if options.table:
        with open(options.table, "w") as file:
            file.write(written)
    return 0 if all(each.outcome != "survived" or each.key in reasons for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())

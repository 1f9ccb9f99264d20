#!/usr/bin/env python3
"""Measures what several processes of this machine take, and holds it against what was predicted.

    tools/measure-ranks.py --program Forgetting.Cli --model MODEL --data DATA.jsonl --out FOLDER [--rounds 5] [--only memory,time]

MODEL gives the tokenizer and the family; measured is a wider one of new weights (--width), so that products take most of a step.

memory  device memory of a rank for full, forget and lwf with 1, 2 and 4 ranks and each --shard, against the prediction of the run itself
time    a step of one rank with one thread and with two, of two ranks with a thread each, and of four ranks on two threads, in turns; of
        each the fastest step counts. `forgetting plan` gets the speed of one rank and the ranks' link as `doctor` measures it, and must
        predict the others.

Other work on the machine disturbs times and not memory; the load is printed. Exit code 1 where a prediction of memory is off by more than
10 %, or one of time by more than 15 %.
"""
import argparse
import json
import os
import shutil
import subprocess

SHARDS = ("none", "optimizer", "gradients")


def run(command, cores=None):
    if cores is not None:
        command = ["taskset", "-c", cores] + command
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def widened(options):
    """A model of the given one's family with random weights."""
    folder, shape = os.path.join(options.out, "shape"), os.path.join(options.out, "model")
    os.makedirs(folder)
    for name in os.listdir(options.model):
        if not name.endswith(".safetensors"):
            shutil.copy(os.path.join(options.model, name), folder)
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    config.update(hidden_size=options.width, intermediate_size=3 * options.width, num_attention_heads=8, num_key_value_heads=8,
                  num_hidden_layers=4)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    text = os.path.join(options.out, "text.txt")
    with open(text, "w") as file:
        file.write("Once upon a time there was a small model that had read nothing yet. " * 400)
    run([options.program, "pretrain", "--config", folder, "--data", text, "--out", shape, "--steps", "1", "--batch-size", "1",
         "--max-length", "32", "--device", "cpu"])
    return os.path.join(shape, "model")


def tune(options, model, name, ranks, more, cores=None):
    out = os.path.join(options.out, name)
    run([options.program, "tune", "--model", model, "--device", "cpu", "--out", out, "--ranks", str(ranks)] + more, cores)
    with open(os.path.join(out, "summary.json")) as file:
        summary = json.load(file)
    with open(os.path.join(out, "metrics.jsonl")) as file:
        ends = [json.loads(line)["elapsed_seconds"] for line in file]
    shutil.rmtree(out)
    return summary, [after - before for before, after in zip(ends, ends[1:])]


def memory(options, model, examples):
    print("\nMemory of a rank, MB: predicted / measured\n")
    print("| method | ranks | none | optimizer | gradients |\n|---|---:|---:|---:|---:|")
    worst = 0
    prompts = os.path.join(options.out, "prompts.jsonl")
    with open(options.data) as data, open(prompts, "w") as file:
        file.writelines(data.readlines()[-12:])
    for method in ("full", "forget", "lwf"):
        for ranks in (1, 2, 4):
            cells = []
            for shard in SHARDS if ranks > 1 else SHARDS[:1]:
                more = examples + ["--method", method, "--steps", "3", "--batch-size", "8", "--micro-batch-tokens", "1024"]
                more += ["--shard", shard]
                if method == "lwf":
                    more += ["--forget-prompts", prompts, "--max-new-tokens", "16", "--forget-interval", "2"]
                summary, _ = tune(options, model, f"{method}-{ranks}-{shard}", ranks, more)
                predicted, measured = summary["predicted_memory_bytes"], summary["device_memory_bytes"]
                worst = max(worst, abs(predicted / measured - 1))
                cells.append(f"{predicted / 1e6:.1f} / {measured / 1e6:.1f}")
            print(f"| {method} | {ranks} | {' | '.join(cells + [''] * (3 - len(cells)))} |", flush=True)
    print(f"\nPredictions of memory are off by {worst:.1%} at most.")
    return worst <= 0.10


def link(options, ranks):
    """Microseconds and GB/s of each collective that a step has, at the doctor's largest message; the best of some rounds."""
    best = {}
    for _ in range(options.rounds):
        report = json.loads(run([options.program, "doctor", "--ranks", str(ranks), "--device", "cpu", "--json"]))
        for check in report["collectives"]:
            key = check["collective"], check["bytes"]
            best[key] = min(best.get(key, 1e9), check["milliseconds"] / 1e3)
    name = "all-reduce, host"
    size = max(bytes for collective, bytes in best if collective == name)
    small = min(bytes for collective, bytes in best if collective == name)
    # Twice n − 1 turns of a part of the bytes each.
    turns = 2 * (ranks - 1)
    latency = best[name, small] / turns
    return latency * 1e6, size / ranks / max(1e-9, best[name, size] / turns - latency) / 1e9


def plan(options, model, ranks, more, rate, connection):
    return json.loads(run(
        [options.program, "plan", "--model", model, "--cards", str(ranks), "--per-machine", str(ranks), "--tflops", str(rate),
         "--bandwidth", str(options.bandwidth), "--link", f"{connection[0]}:{connection[1]}", "--dtype", "fp32", "--json"]
        + more))[0]["seconds"]


def speed(options, model, more):
    """TFLOP/s at which the plan of one card takes as long as one rank did."""
    low, high = 1e-4, 10.0
    for _ in range(24):
        middle = (low * high) ** 0.5
        if plan(options, model, 1, more, middle, (1, 1)) > options.one:
            low = middle
        else:
            high = middle
    return middle


def time(options, model, examples):
    length = 256
    step = ["--lora-rank", "0", "--batch-size", "8", "--max-length", str(length), "--micro-batch-tokens", "1024"]
    more = examples + ["--method", "full", "--steps", str(options.steps)] + step
    arms = {"1 rank, 1 thread": (1, "0"), "1 rank, 2 threads": (1, "0,1"), "2 ranks, 1 thread each": (2, "0,1"),
            "4 ranks on 2 threads": (4, "0,1")}
    best = dict.fromkeys(arms, float("inf"))
    loads = []
    for round in range(options.rounds):
        for name, (ranks, cores) in arms.items():
            loads.append(os.getloadavg()[0])
            _, steps = tune(options, model, f"time-{round}-{ranks}-{len(cores)}", ranks, more, cores)
            best[name] = min(best[name], min(steps))
    options.one = best["1 rank, 1 thread"]
    rate = speed(options, model, step)
    rows = [("1 rank, 1 thread", None), ("1 rank, 2 threads", None)]
    for ranks, share in ((2, 1), (4, 0.5)):
        name = next(arm for arm in arms if arm.startswith(f"{ranks} ranks"))
        saved, options.bandwidth = options.bandwidth, options.bandwidth * share
        rows.append((name, plan(options, model, ranks, step, rate * share, link(options, ranks))))
        options.bandwidth = saved
    print(f"\nA step of 8 sequences of {length} tokens, fp32, the fastest of {options.rounds} rounds of {options.steps - 1} steps; "
          f"load before the runs {min(loads):.1f} to {max(loads):.1f}\n")
    print("| | step ms | times one thread | predicted ms | off by |\n|---|---:|---:|---:|---:|")
    good = True
    for name, predicted in rows:
        off = None if predicted is None else predicted / best[name] - 1
        good = good and (off is None or abs(off) <= 0.15)
        print(f"| {name} | {best[name] * 1e3:.0f} | {options.one / best[name]:.2f} | "
              + ("| |" if predicted is None else f"{predicted * 1e3:.0f} | {off:+.0%} |"))
    print(f"\nOne thread does {rate * 1e3:.0f} GFLOP/s.")
    return good


def main():
    parser = argparse.ArgumentParser()
    for name in ("--program", "--model", "--data", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of a run that is timed")
    parser.add_argument("--width", type=int, default=256, help="hidden size of the model that is measured")
    parser.add_argument("--bandwidth", type=float, default=0.01, help="of a thread to memory, TB/s")
    parser.add_argument("--only", default="memory,time")
    options = parser.parse_args()
    os.makedirs(options.out)
    model = widened(options)
    fields = ["--prompt-field", "question", "--completion-field", "answer"]

    # As long as the step of the plan: every example fills its length.
    long = os.path.join(options.out, "long.jsonl")
    with open(options.data) as data, open(long, "w") as file:
        for line in data.readlines()[:16]:
            record = json.loads(line)
            file.write(json.dumps({"question": record["question"], "answer": " ".join([record["answer"]] * 20)}) + "\n")
    short = os.path.join(options.out, "short.jsonl")
    with open(options.data) as data, open(short, "w") as file:
        file.writelines(data.readlines()[:24])
    parts = options.only.split(",")
    good = [memory(options, model, ["--data", short, "--lora-rank", "0"] + fields)] if "memory" in parts else []
    good += [time(options, model, ["--data", long, "--too-long", "cut"] + fields)] if "time" in parts else []
    raise SystemExit(0 if all(good) else 1)


main()

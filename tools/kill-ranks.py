#!/usr/bin/env python3
"""Kills a random rank of a run at random moments, and looks at what the others do.

    tools/kill-ranks.py --program Forgetting.Cli --model MODEL --data DATA.jsonl --out FOLDER [--count 30]

Each time a run of 2 to 4 ranks begins, by Open MPI, by MPICH or over TCP, and one of its ranks gets SIGKILL. The command must end within
--collective-timeout, with exit code 3 and one line, which names the rank unless that was killed in its first second, before it could say
its number. The run is then resumed with another number of ranks as it was left, and beside that from its newest checkpoint alone, in a
folder in which nothing else is left of the run that was killed: an uninterrupted run of so many ranks from that checkpoint. Weights and
metrics must be the same to the bit. --resume-every 3 does so with every third run.
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import time

DEADLINE = 30  # seconds
VARIABLES = {"openmpi": b"OMPI_COMM_WORLD_RANK", "mpich": b"PMI_RANK", "tcp": b"RANK"}


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def parent(process):
    fields = read(f"/proc/{process}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def descends(process, root):
    while process > 1:
        if process == root:
            return True
        process = parent(process)
    return False


def rank_of(root, launcher, rank):
    wanted = VARIABLES[launcher] + b"=%d" % rank
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != root and wanted in read(f"/proc/{name}/environ").split(b"\0"):
            # A launcher's own helper has the variable of the rank that it starts, too.
            if b"tune" in read(f"/proc/{name}/cmdline") and not b"mpirun" in read(f"/proc/{name}/cmdline") and descends(int(name), root):
                return int(name)
    return None


def environment(folder, launcher):
    path = os.path.join(folder, "path-" + launcher)
    if not os.path.isdir(path):
        os.makedirs(path)
        os.symlink(shutil.which("setsid"), os.path.join(path, "setsid"))
        if launcher != "tcp":
            script = os.path.join(path, "mpirun")
            with open(script, "w") as file:
                file.write(f'#!/bin/sh\nPATH={os.environ["PATH"]} exec /usr/bin/mpirun.{launcher} "$@"\n')
            os.chmod(script, 0o755)
    return dict(os.environ, PATH=path)


def command(options, out, ranks):
    return [options.program, "tune", "--model", options.model, "--data", options.data, "--prompt-field", "question",
            "--completion-field", "answer", "--method", "full", "--lora-rank", "0", "--device", "cpu", "--batch-size", "4",
            "--learning-rate", "1e-3", "--checkpoint-every", "5", "--steps", "60", "--collective-timeout", str(DEADLINE), "--out", out,
            "--ranks", str(ranks)]


def killed(options, number, draw):
    launcher, ranks = draw.choice(options.launchers.split(",")), draw.randint(2, 4)
    rank, out = draw.randrange(ranks), os.path.join(options.out, f"run-{number}")
    errors = os.path.join(options.out, f"run-{number}.txt")
    with open(errors, "wb") as said:
        process = subprocess.Popen(command(options, out, ranks), stdout=subprocess.DEVNULL, stderr=said,
                                   env=environment(options.out, launcher))
    while (victim := rank_of(process.pid, launcher, rank)) is None:
        time.sleep(0.02)
    moment = draw.uniform(0, options.most)
    time.sleep(moment)
    if process.poll() is not None:
        shutil.rmtree(out)
        return killed(options, number, draw)  # it was faster
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    try:
        code = process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        code = "hangs"
    took = time.monotonic() - began
    lines = [line for line in read(errors).decode().splitlines() if line.startswith("error")]
    named = len(lines) == 1 and f"rank {rank} " in lines[0]
    good = code == 3 and took <= DEADLINE and (named or (len(lines) == 1 and moment < 1))
    checkpoints = os.path.join(out, "checkpoints")
    names = os.listdir(checkpoints) if os.path.isdir(checkpoints) else []
    steps = max([int(name[5:]) for name in names if name.startswith("step-")] or [0])
    print(f"{number:2} {launcher:8} ranks {ranks} killed {rank} after {moment:5.2f} s: exit {code} in {took:5.2f} s, checkpoint {steps:4}, "
          f"{'ok' if good else 'WRONG'}{'' if named else ': ' + ' | '.join(lines)}", flush=True)
    return good, named, took, steps, (out, ranks, launcher)


def only_checkpoint(run, step, folder):
    """What an uninterrupted run begins with that goes on from a checkpoint of another."""
    kept = os.path.join("checkpoints", f"step-{step:06}")
    shutil.copytree(os.path.join(run, kept), os.path.join(folder, kept))
    shutil.copy(os.path.join(run, "run.yaml"), folder)
    with open(os.path.join(folder, kept, "state.json")) as file:
        length = json.load(file)["metrics_bytes"]
    with open(os.path.join(folder, "metrics.jsonl"), "wb") as file:
        file.write(read(os.path.join(run, "metrics.jsonl"))[:length])


def numbers(folder):
    """Of each step all but what took how long."""
    with open(os.path.join(folder, "metrics.jsonl")) as file:
        steps = [json.loads(line) for line in file]
    return [{key: value for key, value in step.items() if not key.endswith("seconds") and key != "tokens_per_second"} for step in steps]


def resumed(options, out, step, ranks, launcher, draw):
    other, results = draw.choice([n for n in (1, 2, 3, 4) if n != ranks]), []
    for copy in ("as it was left", "from the checkpoint alone"):
        folder = f"{out}-{len(results)}"
        if copy == "as it was left":
            shutil.copytree(out, folder)
        else:
            only_checkpoint(out, step, folder)
        line = command(options, folder, other)
        done = subprocess.run(line + ["--resume"], capture_output=True, text=True, env=environment(options.out, launcher))
        if done.returncode != 0:
            print(f"   {copy}, resumed with {other} ranks: exit {done.returncode}: {done.stderr.splitlines()[-1:]}", flush=True)
            return False
        results.append((read(os.path.join(folder, "model", "model.safetensors")), numbers(folder)))
        shutil.rmtree(folder)
    same = len(results[0][0]) > 0 and len(results[0][1]) == 60 and results[0] == results[1]
    print(f"   resumed with {other} ranks at step {step}, as it was left and from the checkpoint alone: "
          f"{'the same bits' if same else 'OTHER BITS'}", flush=True)
    return same


def main():
    parser = argparse.ArgumentParser()
    for name in ("--program", "--model", "--data", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--most", type=float, default=12, help="seconds after a rank's start, at most")
    parser.add_argument("--launchers", default="openmpi,mpich,tcp")
    parser.add_argument("--resume-every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.makedirs(options.out)
    draw, ends, names, wrong, resumes, times = random.Random(options.seed), 0, 0, 0, 0, []
    for number in range(options.count):
        good, named, took, steps, run = killed(options, number, draw)
        ends += good
        names += named
        times.append(took)
        if number % options.resume_every == options.resume_every - 1 and steps > 0:
            resumes += 1
            wrong += not resumed(options, run[0], steps, *run[1:], draw)
    times.sort()
    print(f"{ends} of {options.count} ended with exit code 3 and one line, {names} of them with the rank's number, "
          f"in {times[len(times) // 2]:.2f} s (median), {times[-1]:.2f} s (most); "
          f"{resumes - wrong} of {resumes} resumed to the bits of an uninterrupted run from the checkpoint")
    raise SystemExit(0 if ends == options.count and wrong == 0 else 1)


main()

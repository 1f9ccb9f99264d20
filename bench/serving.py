#!/usr/bin/env python3
"""Load on `forgetting serve`: minutes of many clients, then its throughput beside llama.cpp's server on the same model.

    bench/serving.py --model DIR [--llama-server FILE] [--minutes 10] [--clients 64] [--leave 0.02] [--rounds 3] [--seconds 12]
                     [--counts 1 8 32] [--save NAME]

DIR is a checkpoint whose tokenizer `forgetting export` takes. FILE is llama.cpp's llama-server; without it only ours is measured. The
clients (`load` of Forgetting.Benchmarks) run on the same machine as the server that they ask; the servers take turns. --save writes
bench/results/NAME.json and NAME.md.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from alternate import HERE, OURS, processor

ROOT = os.path.dirname(HERE)
FORGETTING = ["dotnet", os.path.join(ROOT, "src/Forgetting.Cli/bin/Release/net10.0/Forgetting.Cli.dll")]
SIDES = {"ours": "forgetting serve", "llama": "llama-server"}


def build():
    for project in ["src/Forgetting.Cli", "bench/Forgetting.Benchmarks"]:
        subprocess.run(
            ["dotnet", "build", "-c", "Release", "-v", "q", "-nologo", os.path.join(ROOT, project)], stdout=sys.stderr, check=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def health(url):
    with urllib.request.urlopen(url + "/health", timeout=5) as answer:
        return json.load(answer)


class Server:
    """A server that runs while the block does."""

    def __init__(self, command, log):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [*command, "--port", str(self.port)]
        self.log = log
        self.process = None

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as file:
            self.process = subprocess.Popen(self.command, stdout=file, stderr=subprocess.STDOUT)
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                health(self.url)
                return self
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
        self.process.kill()
        with open(self.log, encoding="utf-8") as file:
            sys.exit(f"error: {self.command[0]} does not answer: {file.read().strip().splitlines()[-1:]}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def load(self, **options):
        """A line of JSON of `load`."""
        arguments = [part for name, value in options.items() for part in ("--" + name, *str(value).split())]
        done = subprocess.run(
            [*OURS, "load", "--url", self.url, "--model", "model", "--pid", str(self.process.pid), "--json", *arguments],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"error: load ended with {done.returncode}: {done.stderr.strip().splitlines()[:1]}")
        return json.loads(done.stdout)


def slope(samples):
    """MiB a minute of the line through the samples behind the first fifth."""
    rest = samples[len(samples) // 5:]
    if len(rest) < 3:
        return 0.0
    seconds, memory = [s["second"] for s in rest], [s["mi_b"] for s in rest]
    return 60 * statistics.linear_regression(seconds, memory).slope


def endure(o, folder):
    with Server([*FORGETTING, "serve", "--model", o.model, "--name", "model"], os.path.join(folder, "endure.log")) as server:
        result = server.load(
            clients=o.clients, seconds=60 * o.minutes, words="4 120", leave=o.leave, temperature=1, sample=max(o.minutes, 1))
        time.sleep(1)
        after = health(server.url)
    samples = result["memory"]
    result["memory_slope"] = slope(samples)
    result["after"] = after
    print(describe(result), file=sys.stderr)
    return result


def describe(r):
    samples = [s["mi_b"] for s in r["memory"]]
    first, middle, last = samples[len(samples) // 5], samples[len(samples) // 2], samples[-1]
    return (
        f"{r['clients']} clients for {r['seconds'] / 60:g} minutes: {r['requests']:,} requests answered, {r['left']} left by their "
        f"clients, {r['errors']} errors; {r['tokens_per_second']:,.0f} tokens/s; first token {r['first_token']['median']:.0f} ms "
        f"(95 %: {r['first_token']['of95']:.0f}, 99 %: {r['first_token']['of99']:.0f}), "
        f"between tokens {r['between_tokens']['median']:.1f} ms (99 %: {r['between_tokens']['of99']:.1f}), "
        f"request {r['request']['median']:.0f} ms (99 %: {r['request']['of99']:.0f}); "
        f"tokens of a client {r['least_of_a_client']:,} to {r['most_of_a_client']:,}; memory {first:.0f} MiB after a fifth of the time, "
        f"{middle:.0f} in the middle, {last:.0f} at the end ({r['memory_slope']:+.2f} MiB a minute); afterwards {r['after']}")


def compare(o, folder):
    """{side: {clients: [result of each round]}}."""
    most = max(o.counts)
    commands = {"ours": [*FORGETTING, "serve", "--model", o.model, "--name", "model", "--sequences", str(most)]}
    if o.llama_server:
        gguf = os.path.join(folder, "model.gguf")
        subprocess.run(
            [*FORGETTING, "export", "--model", o.model, "--type", "f32", "--out", gguf], stdout=sys.stderr, check=True)
        threads = str(os.cpu_count())
        commands["llama"] = [
            o.llama_server, "--model", gguf, "--alias", "model", "--host", "127.0.0.1", "--threads", threads, "--threads-batch", threads,
            "--parallel", str(most), "--ctx-size", str(most * 256), "--cache-ram", "0"]
    results = {side: {count: [] for count in o.counts} for side in commands}
    for i in range(o.rounds):
        # Whoever comes first changes, so that neither has the warmer machine.
        for side in list(commands)[:: 1 if i % 2 == 0 else -1]:
            with Server(commands[side], os.path.join(folder, side + ".log")) as server:
                for count in o.counts:
                    result = server.load(clients=count, seconds=o.seconds, words=20, temperature=0, sample=o.seconds)
                    results[side][count].append(result)
                    print(
                        f"round {i + 1}, {SIDES[side]}, {count} clients: {result['tokens_per_second']:.0f} tokens/s, first token "
                        f"{result['first_token']['median']:.0f} ms, {result['errors']} errors, load {os.getloadavg()[0]:.1f}",
                        file=sys.stderr)
    return results


def table(results):
    """Medians over rounds; ratios of each round's two sides."""
    yield "| clients | server | tokens/s | ± | first token, ms | between tokens, ms (99 %) | MiB | errors |"
    yield "|---:|---|---:|---:|---:|---:|---:|---:|"
    for count in next(iter(results.values())):
        for side in results:
            rounds = results[side][count]
            rates = [r["tokens_per_second"] for r in rounds]

            def middle(figure):
                return statistics.median(figure(r) for r in rounds)

            spread = 50 * (max(rates) - min(rates)) / statistics.median(rates)
            yield (
                f"| {count} | {SIDES[side]} | {statistics.median(rates):,.0f} | {spread:.0f} % "
                f"| {middle(lambda r: r['first_token']['median']):.0f} | {middle(lambda r: r['between_tokens']['median']):.1f} "
                f"({middle(lambda r: r['between_tokens']['of99']):.1f}) | {middle(lambda r: r['memory'][-1]['mi_b']):.0f} "
                f"| {sum(r['errors'] for r in rounds)} |")
    if len(results) == 2:
        yield ""
        yield "Ours over llama.cpp's, median of the rounds: " + ", ".join(
            f"{count} clients {statistics.median(a['tokens_per_second'] / b['tokens_per_second'] for a, b in zip(*pair)):.2f} times"
            for count, pair in ((count, (results["ours"][count], results["llama"][count])) for count in results["ours"])) + "."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="DIR", required=True)
    parser.add_argument("--llama-server", metavar="FILE")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--leave", type=float, default=0.02, help="share of the requests whose client goes away")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--save", metavar="NAME")
    o = parser.parse_args()
    build()
    with open(os.path.join(o.model, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    keys = ["model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"]
    head = (
        f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} processors, load average before {os.getloadavg()[0]:.1f}; "
        + ", ".join(f"{key} {config.get(key)}" for key in keys))
    with tempfile.TemporaryDirectory() as folder:
        compared = compare(o, folder) if o.rounds else {}
        endured = endure(o, folder) if o.minutes else None
    rows = list(table(compared)) if compared else []
    text = "\n\n".join(part for part in [head, "\n".join(rows), describe(endured) if endured else ""] if part) + "\n"
    print(text, end="")
    if o.save:
        path = os.path.join(HERE, "results", o.save)
        with open(path + ".json", "w", encoding="utf-8") as file:
            json.dump({"head": head, "compared": compared, "endured": endured}, file, indent=1)
            file.write("\n")
        with open(path + ".md", "w", encoding="utf-8") as file:
            file.write(text)
    results = [r for counts in compared.values() for rounds in counts.values() for r in rounds] + ([endured] if endured else [])
    return 1 if any(r["errors"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())

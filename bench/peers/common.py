"""What the CPU peers share: the shape's options, which BLAS computes, timing, and the line of JSON that alternate.py reads."""

import argparse
import json
import os
import sys
import time

try:
    import torch
except ImportError:
    sys.exit(f"error: {sys.executable} has no torch, expected an interpreter with PyTorch (bench/README.md says how to install it)")

SHAPE = dict(dim=288, layers=6, heads=6, mlp=768, vocab=32000, batch=4, length=256, lora_rank=0)


def parse(doc, steps, warmup, add=lambda parser: None):
    """The options of every peer, and those that `add` adds. Ends the program where the figures would mean nothing."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=["llama", "gpt2"], default="llama")
    for name, value in {**SHAPE, "steps": steps, "warmup": warmup, "threads": os.cpu_count()}.items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--any-blas", action="store_true", help="go on with the reference BLAS")
    add(parser)
    o = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(o.threads)
    o.blas, o.gemm_gflops = loaded_blas(), gemm_rate()
    print(
        torch.__config__.show(), f"BLAS: {o.blas}; product of 1024: {o.gemm_gflops:.1f} GFLOP/s on {torch.get_num_threads()} threads",
        sep="\n", file=sys.stderr)
    if is_reference(o.blas) and not o.any_blas:
        print("error: PyTorch runs on the reference BLAS; install OpenBLAS (bench/README.md)", file=sys.stderr)
        sys.exit(2)
    return o


def loaded_blas():
    """What this process has mapped; torch.__config__ only knows what it was compiled against."""
    try:
        with open("/proc/self/maps", encoding="utf-8") as maps:
            files = {line.split()[-1] for line in maps if "/" in line}
    except OSError:
        return "unknown"
    found = [os.path.realpath(f) for f in files if any(n in os.path.basename(f) for n in ("blas", "mkl_", "libmkl", "blis"))]
    if not found and "mkl" in torch.__config__.show().lower().replace("mkl-dnn", ""):
        return "MKL (built in)"
    return ", ".join(sorted(found)) or "unknown"


def is_reference(blas):
    return blas.endswith("/blas/libblas.so.3") or "/blas/libblas.so.3." in blas


def gemm_rate(dtype=torch.float32):
    """Best of some products of 1024 × 1024 × 1024, GFLOP/s."""
    a, b, times = torch.rand(1024, 1024).to(dtype), torch.rand(1024, 1024).to(dtype), []
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * 1024 ** 3 / min(times[1:]) / 1e9


def measure(work, steps, warmup):
    """Milliseconds of `steps` calls after `warmup` others: median, best, and median of processor time."""
    times, processor = [], []
    for step in range(warmup + steps):
        start, used = time.perf_counter(), time.process_time()
        work()
        if step >= warmup:
            times.append((time.perf_counter() - start) * 1e3)
            processor.append((time.process_time() - used) * 1e3)
    times.sort()
    processor.sort()
    return times[len(times) // 2], times[0], processor[len(processor) // 2]


def report(o, work, tokens, timing, operations=None, **more):
    """Prints the result: `timing` as `measure` gives it, for `tokens` tokens and floating-point `operations`."""
    median, best, processor = timing
    result = {
        "program": "pytorch",
        "work": work,
        "dtype": "fp32",
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "products": f"torch {torch.__version__}, {o.blas}",
        "gemm_gflops": o.gemm_gflops,
        "steps": o.steps,
        "ms": median,
        "best_ms": best,
        "processor_ms": processor,
        "tokens_per_second": tokens / median * 1e3,
    }
    if operations:
        result["gflops"] = operations / median / 1e6
    result.update(more)
    if o.json:
        print(json.dumps(result))
        return
    rate = f", {result['gflops']:.1f} GFLOP/s" if operations else ""
    rest = "".join(
        f", {name.replace('_', ' ')} {value if isinstance(value, str) else format(value, '.4g')}" for name, value in more.items())
    print(
        f"{work}: median {median:.1f} ms (best {best:.1f}; {processor:.0f} ms of processor), "
        f"{result['tokens_per_second']:.0f} tokens/s{rate}{rest}")

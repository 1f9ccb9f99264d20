"""Products, attention, loss and optimiser of the benchmarks in bench/Forgetting.Benchmarks, in PyTorch.

    python3 bench/peers/products.py [threads]

Prints the median and best time of each. PyTorch is as fast as the BLAS it finds: with a reference BLAS its figures mean nothing,
so the first line says how it was built.
"""
import sys
import time

import torch
import torch.nn.functional as F


def measure(name, operations, work):
    work()
    times = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < 1 or len(times) < 5:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    times.sort()
    median = times[len(times) // 2]
    rate, best = operations / median / 1e9, operations / times[0] / 1e9
    print(f"{name:42} median {median * 1e3:9.3f} ms {rate:7.1f} G/s   best {best:7.1f} G/s", flush=True)


def products():
    for m, k, n, ta, tb in [
        (1024, 288, 768, 0, 1), (1024, 1024, 1024, 0, 1), (256, 768, 3072, 0, 1), (1024, 288, 32000, 0, 1),
        (1024, 768, 288, 0, 0), (768, 1024, 288, 1, 0), (1024, 32000, 288, 0, 0), (32000, 1024, 288, 1, 0),
        (1024, 288, 16, 0, 1), (1024, 16, 288, 0, 1), (1, 2048, 8192, 0, 1), (16, 2048, 8192, 0, 1),
    ]:
        a = torch.rand(k, m).t() if ta else torch.rand(m, k)
        b = torch.rand(n, k).t() if tb else torch.rand(k, n)
        c = torch.empty(m, n)
        measure(f"gemm {m}x{k}x{n} {'NT'[ta]}{'NT'[tb]}", 2 * m * n * k, lambda: torch.mm(a, b, out=c))


def causal_attention(q, k, v, mask):
    # What Hugging Face's eager attention does; one fused call where this PyTorch has it.
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask, dim=-1) @ v


def attention():
    for sequences, length, heads, kv_heads, size in [(4, 256, 6, 6, 48), (1, 1024, 12, 12, 64), (1, 1024, 32, 8, 64)]:
        q = torch.rand(sequences, heads, length, size, requires_grad=True)
        k = torch.rand(sequences, kv_heads, length, size, requires_grad=True)
        v = torch.rand(sequences, kv_heads, length, size, requires_grad=True)
        gradient = torch.rand(sequences, heads, length, size)
        mask = torch.full((length, length), float("-inf")).triu(1)
        group = heads // kv_heads
        # Half of the scores are seen.
        operations = 2 * sequences * heads * size * length * length
        name = f"{sequences}x{length} {heads}/{kv_heads}x{size}"

        def forward():
            return causal_attention(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), mask)

        with torch.no_grad():
            measure(f"attention {name}", operations, forward)
        measure(f"attention forward and backward {name}", 3.5 * operations, lambda: torch.autograd.grad(forward(), (q, k, v), gradient))


def loss():
    for rows, vocabulary in [(128, 32000), (128, 128256)]:
        logits = torch.rand(rows, vocabulary, requires_grad=True)
        targets = torch.arange(rows) * 7
        weights = torch.rand(rows) - 0.5
        with torch.no_grad():
            measure(f"losses {rows}x{vocabulary} (elements)", rows * vocabulary, lambda: F.cross_entropy(logits, targets, reduction="none"))
        measure(
            f"losses and gradient {rows}x{vocabulary} (elements)",
            rows * vocabulary,
            lambda: torch.autograd.grad((F.cross_entropy(logits, targets, reduction="none") * weights).sum(), logits),
        )


def optimizer():
    for millions in (1, 16):
        weights = torch.nn.Parameter(torch.rand(millions << 10, 1024))
        weights.grad = torch.rand_like(weights)
        adamw = torch.optim.AdamW([weights], lr=1e-4, weight_decay=0, foreach=True)
        measure(f"AdamW {millions} Mi weights (elements)", weights.numel(), adamw.step)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    blas = next((part for part in torch.__config__.show().replace("\n", ",").split(",") if "BLAS_INFO" in part), "BLAS_INFO unknown")
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {blas.strip()}")
    products()
    attention()
    loss()
    optimizer()

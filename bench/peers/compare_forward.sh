#!/usr/bin/env bash
# Our forward pass against PyTorch's on random checkpoints of every family and element type; prints the largest differences.
# Needs python3 with torch: compare_forward.sh [PYTHON]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ids=$("$python" -c 'import random; r = random.Random(1); print(",".join(str(r.randrange(500)) for _ in range(100)))')
dotnet build -c Release -v q -nologo "$here/../Forgetting.Benchmarks" > /dev/null
for family in llama qwen2 gpt2 gpt_neo; do
    for dtype in F32 F16 BF16; do
        "$python" "$here/random_checkpoint.py" "$family" "$work/$family-$dtype" --dtype "$dtype"
        dotnet run --no-build -c Release --project "$here/../Forgetting.Benchmarks" -- \
            logits "$work/$family-$dtype" "$ids" "$work/ours.json"
        printf '%-5s' "$dtype"
        "$python" "$here/reference_forward.py" "$work/$family-$dtype" "$work/ours.json"
    done
done

#!/usr/bin/env bash
# Measures everything that docs/performance.md shows, one after the other, and writes it under bench/results:
#
#   pairs.md, pairs.json      every pair of pairs.txt against PyTorch with each of its threading settings
#   profile-*.md              the time of one side by operation
#   growth.svg, growth.json   tokens per second over contexts and batches
#
#   bench/measure.sh [ROUNDS] [further arguments of run.sh]
#
# ROUNDS is 5 by default. It takes hours, and the machine should have nothing else to do.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=${1:-5}
load=$(cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo 0)
if [ "${load%.*}" -ge 1 ]; then
    echo "warning: the load average is $load: this machine has other work, and the figures will be those of a busy machine" >&2
fi
"$here/run.sh" --rounds "$rounds" --settings all --save pairs "${@:2}"

ours() { dotnet "$here/Forgetting.Benchmarks/bin/Release/net10.0/Forgetting.Benchmarks.dll" "$@"; }
profile() {
    echo "$2" >&2
    # shellcheck disable=SC2086 # several arguments
    ours $2 --profile > "$here/results/profile-$1.md"
}
gpt2=$(sed -n 's/^gpt2 = //p' "$here/pairs.txt")
profile step "step"
profile lora "step --lora-rank 64"
profile gpt2 "step $gpt2"
profile score "score"
profile generate-1 "generate --batch 1"
profile generate-16 "generate --batch 16"
ours growth --out "$here/results/growth"

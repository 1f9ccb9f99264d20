#!/usr/bin/env bash
# Runs our side and the PyTorch side of each pair alternately, A B A B …, and prints medians, spread and ratio.
#
#   bench/run.sh [--rounds 5] [--steps 10] [--python python3] [--save NAME] [PAIR…]
#
# PAIR is a name from bench/pairs.txt, all of them by default. --save writes bench/results/NAME.json and NAME.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dotnet build -c Release -v q -nologo "$here/Forgetting.Benchmarks" >&2
exec python3 "$here/alternate.py" "$@"

#!/usr/bin/env bash
# Runs our side and the PyTorch side of each pair alternately, A B A B …, and prints medians, spread, ratio and share of the machine's peak.
#
#   bench/run.sh [--rounds 5] [--steps 10] [--settings default|passive|all] [--root FOLDER] [--save NAME] [PAIR…]
#
# PAIR is a name from bench/pairs.txt, all of them by default. --save writes bench/results/NAME.json and NAME.md.
exec python3 "$(dirname "$0")/alternate.py" "$@"

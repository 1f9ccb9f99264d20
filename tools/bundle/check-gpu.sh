#!/usr/bin/env bash
# Checks and measures the NVIDIA card of this machine; every stage runs whatever became of the others. Leaves in a folder results.md to be
# read, results.json with all figures, and logs.tar.gz with what the stages printed and left.
#
#   ./check-gpu.sh [--out FOLDER] [--seconds N] [--limit STAGE=N]… [STAGE…]
#
#   machine        what is here
#   kernels        nvcc compiles the kernels for this card, into native/; without nvcc the fatbin there is taken
#   doctor-bf16, doctor-fp32
#                  each operation against the CPU, with GB/s or TFLOP/s beside the copy and the product, which come first
#   corpus-bf16, corpus-fp32
#                  every case that the tests have of every operation, small, odd and wide, against the plain versions in double precision
#   training       the same tuning run on cpu, cuda in fp32 and cuda in bf16: losses step by step
#   memcheck, racecheck
#                  the operations that copy asynchronously or share memory among warps under compute-sanitizer, where it is
#   step, step-launches, step-pytorch, fisher, fisher-pytorch
#                  a model of Llama-3.2-1B's shape in bf16 at 2048 tokens: ours, as CUDA graphs and launch by launch, and PyTorch
#                  where it is
#
# FOLDER is $OUT or ./results; --seconds is for everything together, 1800, --limit for one stage. What a stage has found is in FOLDER as
# soon as it ends, so that a run that is cut off loses only the stage it was in. Where a command may take only so long, give it some of the
# stages and a folder of its own, and --seconds a little below that time: the kernels compiled by an earlier command are still in native/.
# PYTHON names the Python that has torch, transformers and peft. Exit code: 0, 1 if a stage failed, 2 if nothing could be done.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$PWD/results}
budget=1800
python=${PYTHON:-python3}
stages=()
all=(machine kernels doctor-bf16 doctor-fp32 corpus-bf16 corpus-fp32 step step-launches training memcheck racecheck
    step-pytorch fisher fisher-pytorch)
declare -A limits=()

fail() {
    echo "error: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --out | --seconds | --limit)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
        --out) out=$2 ;;
        --seconds) budget=$2 ;;
        --limit)
            [[ $2 =~ ^([a-z0-9-]+)=([0-9]+)$ && " ${all[*]} " == *" ${BASH_REMATCH[1]} "* ]] ||
                fail "--limit: found '$2', expected STAGE=N with one of: ${all[*]}"
            limits[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
            ;;
        esac
        shift 2
        ;;
    -h | --help)
        sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3-
        exit 0
        ;;
    *)
        case " ${all[*]} " in *" $1 "*) ;; *) fail "'$1' is not a stage, expected some of: ${all[*]}" ;; esac
        stages+=("$1") && shift
        ;;
    esac
done
[ ${#stages[@]} -gt 0 ] || stages=("${all[@]}")
case $budget in '' | *[!0-9]*) fail "--seconds: found '$budget', expected a whole number" ;; esac

command -v nvidia-smi >/dev/null || fail "no NVIDIA GPU here: nvidia-smi was not found"
card=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>&1 | head -n 1) && [ -n "$card" ] && nvidia-smi -L >/dev/null 2>&1 ||
    fail "no NVIDIA GPU here: nvidia-smi says '$card'"
architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d ' .')
mkdir -p "$out" || fail "$out cannot be made"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
logs=$work/logs
mkdir "$logs"
trap 'rm -rf "$work"' EXIT

# cuBLAS often lies outside the loader's path: in the toolkit, or among Python's packages.
for folder in /usr/local/cuda/lib64 /usr/local/cuda-1[23]*/lib64 /usr/local/cuda/targets/*/lib \
    $("$python" -c 'import glob, sys; print(*(f for p in sys.path for f in sorted(glob.glob(p + "/nvidia/*/lib"))))' 2>/dev/null); do
    if compgen -G "$folder/libcublas.so.1[23]" >/dev/null || compgen -G "$folder/libnv*.so.1" >/dev/null; then
        LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
    fi
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
export FORGETTING_NATIVE=$here/native
benchmarks=$here/program/Forgetting.Benchmarks

find_tool() { # NAME: on the PATH or in the toolkit
    local candidate
    for candidate in "$(command -v "$1")" /usr/local/cuda/bin/"$1" /usr/local/cuda-1[23]*/bin/"$1"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

skip() { # REASON: ends a stage that cannot run here
    echo "skipped: $1"
    exit 3
}

need_torch() {
    "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null ||
        skip "no PyTorch with CUDA in $python; set PYTHON"
}

# Every stage is a function named after it, run in a shell of its own under `timeout`.
stage_machine() {
    nvidia-smi
    nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.mem,power.limit --format=csv
    nvcc=$(find_tool nvcc) && "$nvcc" --version
    "$python" -c 'import torch, sys; print("torch", torch.__version__, "CUDA", torch.version.cuda, "Python", sys.version.split()[0])'
    lscpu | head -n 20
    return 0
}

stage_kernels() {
    local nvcc
    nvcc=$(find_tool nvcc) || skip "nvcc not found; the fatbin in native/ is used"
    "$here/kernels/compile.sh" "$nvcc" "$work/kernels" "$architecture" || return 1
    mkdir -p "$here/native"
    cp "$work"/kernels/{forgetting.fatbin,kernels.txt} "$here/native/"
    cp "$work/kernels/kernels.txt" "$logs/"
    tail -n 1 "$work/kernels/kernels.txt"
}

# JSON that a killed program left half-written would spoil the report, so a stage writes aside and moves.
keep() { # NAME COMMAND…
    local name=$1 code
    shift
    "$@" >"$work/$name.partial"
    code=$?
    if [ -s "$work/$name.partial" ]; then mv "$work/$name.partial" "$logs/$name.json"; fi
    return $code
}

doctor() { keep "doctor-$1" "$here/forgetting" doctor --device cuda --dtype "$1" --json; }

stage_doctor_fp32() { doctor fp32; }

stage_doctor_bf16() { doctor bf16; }

corpus() { keep "corpus-$1" "$here/forgetting" doctor --device cuda --dtype "$1" --no-timings --all --json; }

stage_corpus_fp32() { corpus fp32; }

stage_corpus_bf16() { corpus bf16; }

# The demo's small model and data, tuned anew on each device from the same weights in the same order. In bf16 the CPU's scores decide which
# tokens are negative: a score close to the threshold would otherwise change sides, and the runs would no longer be the same.
stage_training() {
    local code=0 reference=$work/demo/misconception-0/reference-trusted/model
    "$here/forgetting" demo --quick --seeds 1 --device cpu --out "$work/demo" || return 1
    tune cpu --device cpu --reference "$reference" || return 1
    tune cuda-fp32 --device cuda --dtype fp32 --reference "$reference" && compare_losses cuda-fp32 1e-4 || code=1
    tune cuda-bf16 --device cuda --dtype bf16 --scores "$work/cpu/scores.jsonl" && compare_losses cuda-bf16 2e-2 || code=1
    return $code
}

tune() { # RUN OPTIONS…
    "$here/forgetting" tune --model "$work"/demo/base-*/model --data "$work/demo/misconception-0/train.jsonl" --method forget \
        --epochs 20 --batch-size 24 --max-length 64 --learning-rate 3e-4 --lora-rank 0 --seed 0 "${@:2}" --out "$work/$1" &&
        cp "$work/$1/metrics.jsonl" "$logs/training-$1.jsonl"
}

compare_losses() { # RUN TOLERANCE: largest relative difference from the CPU's losses on tokens to learn
    paste "$logs/training-cpu.jsonl" "$logs/training-$1.jsonl" | awk -v run="$1" -v tolerance="$2" -v file="$logs/training-$1.json" '
        function loss(text) {
            match(text, /"positive_loss":[-+.0-9eE]+/)
            return RSTART ? substr(text, RSTART + 16, RLENGTH - 16) + 0 : "none"
        }
        {
            split($0, side, "\t")
            a = loss(side[1]); b = loss(side[2])
            if (a == "none" || b == "none") { bad++; next }
            difference = (a > b ? a - b : b - a) / (a == 0 ? 1 : a)
            if (difference > largest) { largest = difference; at = NR }
        }
        END {
            ok = NR > 0 && bad == 0 && largest <= tolerance
            printf "%s: %d steps, largest relative difference of a loss %.3g (step %d), expected at most %g\n",
                run, NR, largest, at, tolerance
            printf "{\"run\": \"%s\", \"steps\": %d, \"largest_relative_difference\": %.6g, \"tolerance\": %g, \"ok\": %s}\n",
                run, NR, largest, tolerance, ok ? "true" : "false" >file
            exit !ok
        }'
}

sanitizer() { # TOOL
    local tool
    tool=$(find_tool compute-sanitizer) || skip "compute-sanitizer not found"
    local operations=Attention,AttentionBackward,AttentionWithCache,SquareAccumulateMatrix,ProjectMatrix
    operations+=,LoraDown,LoraDownGradient,SignedLoss,Sample
    "$tool" --tool "$1" --error-exitcode 9 --launch-timeout 0 "$here/program/Forgetting.Cli" doctor --device cuda --dtype bf16 \
        --no-timings --operations "$operations" --json
}

stage_memcheck() { sanitizer memcheck; }

stage_racecheck() { sanitizer racecheck; }

shape=(--dim 2048 --layers 16 --heads 32 --kv-heads 8 --mlp 8192 --vocab 128256)

step() { # NAME OPTIONS…
    local name=$1
    shift
    keep "step-$name" "$benchmarks" step --device cuda --dtype bf16 "${shape[@]}" --batch 1 --length 2048 "$@" --json
}

step_pytorch() { keep "step-${1:+lora-}pytorch" "$python" "$here/bench/peers/gpu_step.py" "$@" --json; }

stage_step() {
    local code=0
    step forgetting || code=1
    step lora-forgetting --lora-rank 16 || code=1
    return $code
}

stage_step_launches() {
    local code=0
    step launches-forgetting --no-cuda-graphs || code=1
    step launches-lora-forgetting --lora-rank 16 --no-cuda-graphs || code=1
    return $code
}

stage_step_pytorch() {
    local code=0
    need_torch
    step_pytorch || code=1
    step_pytorch --lora-rank 16 || code=1
    return $code
}

stage_fisher() { keep fisher-forgetting "$benchmarks" fisher --device cuda --dtype bf16 "${shape[@]}" --batch 16 --length 256 --json; }

stage_fisher_pytorch() {
    local code=0 way
    need_torch
    for way in loop func; do
        keep "fisher-$way-pytorch" "$python" "$here/bench/peers/gpu_fisher.py" --way "$way" --batch 16 --length 256 --json || code=1
    done
    return $code
}

limit_of() { # STAGE: seconds
    case $1 in
    machine) echo "${limits[$1]:-60}" ;;
    racecheck | memcheck | step-pytorch | fisher-pytorch) echo "${limits[$1]:-420}" ;;
    *) echo "${limits[$1]:-240}" ;;
    esac
}

# Python makes the tables; without it the report lists the stages, and the logs hold the rest.
report() {
    cp "$work/stages.tsv" "$logs/"
    tar -C "$work" -czf "$work/logs.tar.gz" logs && cp "$work/logs.tar.gz" "$out/"
    if "$python" "$here/bench/peers/gpu_report.py" "$logs" --card "$card" --markdown "$work/results.md" --json "$work/results.json"; then
        cp "$work/results.md" "$work/results.json" "$out/"
    else
        { echo "# $card" && echo && cat "$work/stages.tsv"; } >"$out/results.md"
    fi
}

export here out work logs python benchmarks architecture card
export LC_ALL=C DOTNET_NOLOGO=1 PYTHONUNBUFFERED=1
begin=$SECONDS
failed=0
for stage in "${stages[@]}"; do
    left=$((budget - (SECONDS - begin)))
    limit=$(limit_of "$stage")
    limit=$((limit < left ? limit : left))
    started=$SECONDS
    if [ "$limit" -le 0 ]; then
        outcome="not run: out of time"
        failed=1
    else
        # The functions travel to the shell under `timeout`, which ends everything that the stage started.
        timeout --kill-after 10 "$limit" bash -c "$(declare -f; declare -p shape); set -uo pipefail; stage_${stage//-/_}" \
            >"$logs/$stage.log" 2>&1
        case $? in
        0) outcome=ok ;;
        3) outcome=$(grep -m 1 '^skipped: ' "$logs/$stage.log") ;;
        124 | 137) outcome="failed: longer than $limit s" && failed=1 ;;
        *) outcome="failed: $(grep -v '^[[:space:]]*$' "$logs/$stage.log" | tail -n 1 | cut -c 1-200)" && failed=1 ;;
        esac
    fi
    printf '%s\t%s\t%s\n' "$stage" "$((SECONDS - started))" "${outcome//$'\t'/ }" >>"$work/stages.tsv"
    printf '%-15s %4d s  %s\n' "$stage" "$((SECONDS - started))" "$outcome"
    report
done
echo "results: $out/results.md"
exit $failed

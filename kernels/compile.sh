#!/usr/bin/env bash
# Compiles all kernels to FOLDER/forgetting.fatbin, with a table of what each uses in FOLDER/kernels.txt. Needs nvcc and a host compiler
# only.
#
#   kernels/compile.sh NVCC FOLDER [ARCHITECTURE…]
#
# The fatbin has sm_80, sm_90, sm_100 and sm_120 where nvcc knows them (from 12.8 on), PTX of compute_80 for every other card, and code for
# further architectures named as digits (86, 89).
# All sources are one translation unit, since one module holds one image for each architecture; each has a namespace of its own, so that
# their constants and helpers may share names.
set -euo pipefail
nvcc=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
shift 2
cd "$(dirname "$0")"

targets=(-gencode "arch=compute_80,code=[sm_80,compute_80]" -gencode arch=compute_90,code=sm_90)
known=$("$nvcc" --list-gpu-code)
for architecture in 100 120; do
    if grep -qx "sm_$architecture" <<<"$known"; then targets+=(-gencode "arch=compute_$architecture,code=sm_$architecture"); fi
done
for architecture; do
    case " ${targets[*]} " in
    *sm_"$architecture"[],\ ]*) ;;
    *) targets+=(-gencode "arch=compute_$architecture,code=sm_$architecture") ;;
    esac
done

{
    echo "// Written by compile.sh."
    for header in "$PWD"/include/*.cuh; do echo "#include \"$header\""; done
    for kernel in "$PWD"/*.cu; do printf 'namespace unit_%s {\n#include "%s"\n}\n' "$(basename "$kernel" .cu)" "$kernel"; done
} >"$folder/forgetting.cu"

# ptxas reports what each kernel uses on the error stream, with the errors: it is shown as it is only if the compilation fails.
"$nvcc" -std=c++17 -O3 -lineinfo -Werror all-warnings -Xptxas -v --threads 0 "${targets[@]}" \
    -fatbin -o "$folder/forgetting.fatbin" "$folder/forgetting.cu" >"$folder/ptxas.log" 2>&1 || {
    cat "$folder/ptxas.log" >&2
    exit 1
}
awk -f resources.awk "$folder/ptxas.log" >"$folder/kernels.txt"

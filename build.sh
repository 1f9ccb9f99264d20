#!/usr/bin/env bash
# Builds and tests everything.
#
#   ./build.sh              all of the below but the tests; the kernels only where nvcc is found
#   ./build.sh dotnet       the libraries and the command `forgetting`
#   ./build.sh emulation    build/emulation: the CUDA kernels and a driver that runs them on this machine's processor
#   ./build.sh kernels      build/kernels/forgetting.fatbin, with a table of what each kernel uses
#   ./build.sh bundle       build/forgetting-bundle.tar.xz: everything to run, check and measure on another machine, with what is built of the above
#   ./build.sh test         builds the emulation and the program, then runs all tests; needs no GPU and no nvcc
#
# nvcc is $NVCC, or the one on the PATH, in /usr/local/cuda or in build/nvcc (tools/install-nvcc.sh).
set -euo pipefail
cd "$(dirname "$0")"

find_nvcc() {
    local candidate
    for candidate in "${NVCC:-}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc "$PWD/build/nvcc/bin/nvcc"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

need() {
    command -v "$1" >/dev/null || { echo "error: $1 not found; $2 needs it" >&2; exit 2; }
}

build_dotnet() {
    need dotnet "the program"
    dotnet build Forgetting.sln -c Release -v q -nologo
}

build_emulation() {
    need cmake "the emulation"
    need g++ "the emulation"
    cmake -S . -B build/emulation >/dev/null
    cmake --build build/emulation --parallel "$(nproc)"
}

build_kernels() {
    local nvcc
    nvcc=$(find_nvcc) || { echo "error: nvcc not found; set NVCC or run tools/install-nvcc.sh" >&2; exit 2; }
    need cmake "the kernels"
    cmake -S . -B build/kernels -DFORGETTING_NVCC="$nvcc" >/dev/null
    cmake --build build/kernels --parallel "$(nproc)"
    cat build/kernels/kernels.txt
}

case "${1:-all}" in
all)
    build_dotnet
    build_emulation
    if find_nvcc >/dev/null; then build_kernels; else echo "nvcc not found: the kernels for the card are not built"; fi
    ;;
dotnet) build_dotnet ;;
emulation) build_emulation ;;
kernels) build_kernels ;;
bundle)
    need dotnet "the bundle"
    need xz "the bundle"
    if find_nvcc >/dev/null; then build_kernels; fi
    tools/bundle/make.sh
    ;;
test)
    build_emulation
    build_dotnet
    dotnet test Forgetting.sln -c Release --no-build -nologo
    ;;
*)
    sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3- >&2
    exit 2
    ;;
esac

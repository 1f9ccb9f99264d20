#!/usr/bin/env bash
# Builds and tests everything.
#
#   ./build.sh              all of the below but the tests; the kernels only where nvcc is found
#   ./build.sh dotnet       the libraries and the command `forgetting`
#   ./build.sh emulation    build/emulation: the CUDA kernels and a driver that runs them on this machine's processor
#   ./build.sh kernels      build/kernels/forgetting.fatbin, with a table of what each kernel uses
#   ./build.sh bundle       build/forgetting-bundle.tar.xz: everything to run, check and measure on another machine
#   ./build.sh test         builds the emulation and the program, then runs all tests; needs no GPU and no nvcc
#
# What is missing of g++, cmake and make is installed as root on Debian and its kin; elsewhere the command that installs it is printed.
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

# CMake drives make, unless CMAKE_GENERATOR names another program.
need_cmake() {
    if [ -n "${CMAKE_GENERATOR:-}" ]; then tools/need.sh "$@" cmake; else tools/need.sh "$@" cmake make; fi
}

need_dotnet() {
    command -v dotnet >/dev/null || { echo "error: dotnet not found; install the .NET SDK 10 (https://dot.net)" >&2; exit 2; }
}

build_dotnet() {
    need_dotnet
    dotnet build Forgetting.sln -c Release -v q -nologo
}

build_emulation() {
    need_cmake "the emulation" g++
    cmake -S . -B build/emulation >/dev/null
    cmake --build build/emulation --parallel "$(nproc)"
}

build_kernels() {
    local nvcc
    nvcc=$(find_nvcc) || { echo "error: nvcc not found; set NVCC or run tools/install-nvcc.sh" >&2; exit 2; }
    need_cmake "compiling the kernels" g++
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
    need_dotnet
    tools/need.sh "the bundle" xz
    if find_nvcc >/dev/null; then build_kernels; fi
    tools/bundle/make.sh
    ;;
test)
    need_dotnet
    build_emulation
    build_dotnet
    dotnet test Forgetting.sln -c Release --no-build -nologo
    ;;
*)
    sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3- >&2
    exit 2
    ;;
esac

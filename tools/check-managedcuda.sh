#!/usr/bin/env bash
# Builds the command on ManagedCuda's own assemblies and checks every operation with it, on the emulation in the driver's place.
#
#   tools/check-managedcuda.sh DIR      DIR holds the assemblies of ManagedCuda and its CudaBlas
#
# Needs ./build.sh emulation. The build is made of a copy of the committed sources, so that this checkout's stays on the built-in bindings.
# ManagedCuda is GPL-3.0 or commercial from version 12 on: nothing of it belongs into this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] && ls "$1"/*.dll >/dev/null || { sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3- >&2; exit 2; }
assemblies=$(cd "$1" && pwd)
emulation=$PWD/build/emulation
[ -f "$emulation/libforgetting_emulation.so" ] || { echo "error: no emulation; ./build.sh emulation makes it" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

git archive HEAD | tar x -C "$work"
dotnet build "$work/src/Forgetting.Cli" -c Release -nologo -v q -p:CudaBindings=ManagedCuda -p:ManagedCudaFolder="$assemblies"

mkdir "$work/libraries"
for name in libcuda.so libcuda.so.1 libcublas.so libcublas.so.12 libforgetting_emulation.so; do
    ln -s "$emulation/libforgetting_emulation.so" "$work/libraries/$name"
done
ln -s "$emulation/libforgetting_kernels_fast.so" "$work/libraries/forgetting.fatbin"
for dtype in fp32 bf16; do
    LD_LIBRARY_PATH=$work/libraries FORGETTING_NATIVE=$work/libraries FORGETTING_EMU_DEVICES=1 \
        dotnet "$work/src/Forgetting.Cli/bin/Release/net10.0/Forgetting.Cli.dll" doctor --device cuda --dtype "$dtype" --no-timings
done

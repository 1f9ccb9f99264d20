#!/usr/bin/env bash
# Builds everything on ManagedCuda in the built-in bindings' place and runs tests on it, with the emulation in the driver's place.
#
#   tools/check-managedcuda.sh [--all] [DIR]
#
# Without DIR it is built on tests/ManagedCuda.StandIn, the part of ManagedCuda's public surface that is used. With DIR, which holds the
# assemblies of ManagedCuda and its CudaBlas, it is built on them, and the stand-in is held against them. The tests are those of the
# bindings and of training, with --all every test of tests/Forgetting.Cuda.Tests; then doctor checks the operations in both types.
# The build lies in build/managedcuda, apart from the usual one. ManagedCuda is GPL-3.0 or commercial from version 12 on: nothing of it
# belongs into this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
filter="FullyQualifiedName!~PtxMutationTests&FullyQualifiedName!~OperationTests&FullyQualifiedName!~PtxCountTests\
&FullyQualifiedName!~LearningWithForgettingTests&FullyQualifiedName!~KernelDoctorTests"
if [ "${1:-}" = --all ]; then
    filter=
    shift
fi
case $# in
0)
    bindings=(-p:CudaBindings=StandIn)
    out=build/managedcuda/stand-in
    ;;
1)
    ls "$1"/*.dll >/dev/null
    MANAGEDCUDA=$(cd "$1" && pwd)
    export MANAGEDCUDA
    bindings=(-p:CudaBindings=ManagedCuda "-p:ManagedCudaFolder=$MANAGEDCUDA")
    out=build/managedcuda/given
    ;;
*)
    sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3- >&2
    exit 2
    ;;
esac
./build.sh emulation

# The analyzers have seen the sources in the usual build, and public types of the bindings are not the library's.
dotnet build Forgetting.sln -c Release -nologo -v q -p:RunAnalyzers=false --artifacts-path "$out" "${bindings[@]}"
dotnet test "$out/bin/Forgetting.Cuda.Tests/release/Forgetting.Cuda.Tests.dll" ${filter:+--filter "$filter"}
for dtype in fp32 bf16; do
    dotnet "$out/bin/Forgetting.Cli/release/Forgetting.Cli.dll" doctor --device cuda-emu --dtype "$dtype" --no-timings
done

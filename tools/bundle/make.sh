#!/usr/bin/env bash
# Makes build/bundle, a folder to carry to a machine with a card, and packs it to build/forgetting-bundle.tar.xz; called by ./build.sh
# bundle.
#
#   forgetting       the command, with its own .NET            check-gpu.sh     checks and measures the card that is there
#   program/         its files, and the benchmarks             bench/peers/     the same work in PyTorch
#   native/          forgetting.fatbin if nvcc built it here   kernels/         the sources, and compile.sh
#   README.md        with docs/ and recipes/, which it names
set -euo pipefail
cd "$(dirname "$0")/../.."
bundle=build/bundle
packed=build/forgetting-bundle.tar.xz
limit=60000000

rm -rf "$bundle" "$packed"
mkdir -p "$bundle/native" "$bundle/kernels" "$bundle/bench"
for project in src/Forgetting.Cli bench/Forgetting.Benchmarks; do
    dotnet publish "$project" -c Release -r linux-x64 --self-contained -p:DebugType=none -p:Fatbin= -p:GenerateDocumentationFile=false \
        -o "$bundle/program" -v q -nologo
done
# Publishing copies references' documentation and symbols, which a run does not need.
rm -f "$bundle"/program/*.pdb "$bundle"/program/*.xml

cp kernels/*.cu kernels/compile.sh kernels/resources.awk "$bundle/kernels/"
cp -r kernels/include "$bundle/kernels/"
cp -r bench/peers "$bundle/bench/"
rm -rf "$bundle/bench/peers/__pycache__" "$bundle/bench/peers/torchsharp"
cp tools/bundle/forgetting tools/bundle/check-gpu.sh README.md LICENSE "$bundle/"
cp -r docs recipes "$bundle/"
fatbin=build/kernels/forgetting.fatbin
if [ -f "$fatbin" ] && [ -z "$(find kernels/*.cu kernels/include -newer "$fatbin" -name '*.cu*')" ]; then
    cp "$fatbin" build/kernels/kernels.txt "$bundle/native/"
else
    echo "without an up-to-date fatbin: check-gpu.sh compiles the kernels on the machine with the card"
fi
for library in build/emulation/libforgetting_{emulation,kernels,kernels_fast}.so; do
    if [ -f "$library" ]; then cp "$library" "$bundle/native/"; fi
done

tar -C build --transform 's,^bundle,forgetting-bundle,' --owner 0 --group 0 -c bundle | xz -6 -T 0 >"$packed.partial"
bytes=$(stat -c %s "$packed.partial")
if [ "$bytes" -gt "$limit" ]; then
    echo "error: $packed would be $bytes bytes, expected at most $limit" >&2
    rm "$packed.partial"
    exit 1
fi
mv "$packed.partial" "$packed"
echo "$packed: $bytes bytes"

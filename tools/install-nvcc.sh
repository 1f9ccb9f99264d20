#!/usr/bin/env bash
# Installs nvcc 12.4 into a folder, without root and without touching the system: Debian trixie's non-free packages are
# downloaded from the mirror this machine already uses and unpacked, not installed. Needs apt, g++ (12 or 13; as root it
# is installed where it is missing) and 1.2 GB free while it runs.
#
#   tools/install-nvcc.sh [FOLDER]      default: $NVCC_HOME, else build/nvcc
#
# Afterwards FOLDER/bin/nvcc works by itself; build.sh finds build/nvcc, or set NVCC=FOLDER/bin/nvcc.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-${NVCC_HOME:-build/nvcc}}
packages=(nvidia-cuda-toolkit nvidia-cuda-dev libnvvm4 libcu++-dev)

check() { # compiles a kernel for Hopper that needs the CUDA headers, libdevice and the assembler
    local work result=1
    work=$(mktemp -d)
    cat >"$work/check.cu" <<'CU'
#include <cuda_bf16.h>
extern "C" __global__ void check(const __nv_bfloat16* x, float* y) { y[threadIdx.x] = expf(__bfloat162float(x[threadIdx.x])); }
CU
    if "$1" -arch=sm_90a -cubin -o "$work/check.cubin" "$work/check.cu" && [ -s "$work/check.cubin" ]; then result=0; fi
    rm -rf "$work"
    return $result
}

tools/need.sh "nvcc" g++
if [ -x "$folder/bin/nvcc" ] && check "$folder/bin/nvcc"; then
    echo "nvcc is already in $folder"
    exit 0
fi

command -v apt-get >/dev/null || { echo "error: apt-get not found; this script needs Debian or a system derived from it" >&2; exit 2; }
# What an update would fetch into empty lists: that names every source, whether or not this machine's own lists were ever fetched, and needs
# no rights.
lists=$(mktemp -d)
mkdir "$lists/partial"
mirror=$(apt-get update --print-uris -o "Dir::State::Lists=$lists" |
    awk -F "'" '$2 ~ /\/debian\/dists\/[^\/]+\/InRelease$/ && !mirror { mirror = $2; sub(/dists\/.*/, "", mirror); print mirror }')
rm -rf "$lists"
[ -n "$mirror" ] || { echo "error: no Debian mirror among this machine's apt sources" >&2; exit 2; }

if [ -n "$(ls -A "$folder" 2>/dev/null)" ] && [ ! -e "$folder/bin/nvcc.profile" ]; then
    echo "error: $folder exists and holds something other than nvcc" >&2
    exit 2
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$folder.partial
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/tree"
trap 'rm -rf "$work"' EXIT
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main non-free" >"$work/sources.list"
apt=(apt-get -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$work" && "${apt[@]}" download "${packages[@]}")

# Only what compiling to a fatbin needs: the static libraries of nvidia-cuda-dev alone would be 2 GB.
for package in "${packages[@]}"; do
    dpkg-deb --fsys-tarfile "$work/$package"_*.deb |
        tar -x -C "$work/tree" --wildcards --exclude '*.a' --exclude '*/share/*' --exclude '*/compute-sanitizer' './usr/*'
    rm "$work/$package"_*.deb
done

# NVIDIA's own layout, which nvcc expects: bin, include, nvvm/{bin,lib64,libdevice}.
root=$work/root
mkdir -p "$root/bin" "$root/nvvm/bin" "$root/nvvm/lib64"
usr=$work/tree/usr
for tool in bin2c cu++filt cudafe++ cuobjdump fatbinary nvdisasm nvlink nvprune ptxas; do mv "$usr/bin/$tool" "$root/bin/"; done
mv "$usr/lib/nvidia-cuda-toolkit/bin/nvcc" "$usr/lib/nvidia-cuda-toolkit/bin/crt" "$root/bin/"
mv "$usr/lib/nvidia-cuda-toolkit/bin/cicc" "$root/nvvm/bin/"
mv "$usr/lib/nvidia-cuda-toolkit/libdevice" "$root/nvvm/"
mv "$usr"/lib/*/libnvvm.so.4* "$root/nvvm/lib64/"
mv "$usr/include" "$root/include"
cat >"$root/bin/nvcc.profile" <<'PROFILE'
TOP              = $(_HERE_)/..
CICC_PATH        = $(TOP)/nvvm/bin
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
LD_LIBRARY_PATH += $(TOP)/nvvm/lib64:
PATH            += $(CICC_PATH):$(_HERE_):
INCLUDES        += "-I$(TOP)/include" $(_SPACE_)
PROFILE
check "$root/bin/nvcc" || { echo "error: the unpacked nvcc does not compile a kernel" >&2; exit 1; }
rm -rf "$folder"
mv "$root" "$folder"
"$folder/bin/nvcc" --version | tail -2
echo "nvcc is in $folder/bin"

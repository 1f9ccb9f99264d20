#!/usr/bin/env bash
# Sees to it that programs are there: as root with apt it installs those that are missing, elsewhere it prints the command that does and
# ends with 2.
#
#   tools/need.sh WHAT PROGRAM…      WHAT needs them, for the message; programs are g++, cmake, make, xz,
#                                    mpirun.openmpi or mpirun.mpich (Debian's names)
set -euo pipefail
what=$1
shift
missing=()
for program in "$@"; do
    command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -gt 0 ] || exit 0

package() { # PROGRAM MANAGER
    case $1/$2 in
    g++/dnf | g++/zypper) echo gcc-c++ ;;
    g++/pacman) echo gcc ;;
    xz/apt-get) echo xz-utils ;;
    mpirun.openmpi/*) echo openmpi-bin ;;
    mpirun.mpich/*) echo mpich ;;
    *) echo "$1" ;;
    esac
}

found=$(printf ', %s' "${missing[@]}")
found="not found: ${found:2} (for $what)"
for manager in apt-get dnf zypper pacman apk ""; do
    if [ -z "$manager" ] || command -v "$manager" >/dev/null; then break; fi
done
packages=()
for program in "${missing[@]}"; do packages+=("$(package "$program" "$manager")"); done
case $manager in
"") echo "error: $found" >&2 && exit 2 ;;
apt-get) install="apt-get install -y --no-install-recommends" ;;
dnf) install="dnf install -y" ;;
zypper) install="zypper install -y" ;;
pacman) install="pacman -S --needed" ;;
apk) install="apk add" ;;
esac
install="$install ${packages[*]}"
if [ "$(id -u)" != 0 ]; then
    if [ "$manager" = apt-get ]; then install="sudo apt-get update && sudo $install"; else install="sudo $install"; fi
elif [ "$manager" = apt-get ]; then
    echo "$found; now running: apt-get update && $install" >&2
    # A machine whose lists were never fetched finds no package, and old lists may name packages that are gone.
    apt-get -q update >&2 && DEBIAN_FRONTEND=noninteractive $install >&2 && exit 0
    install="apt-get update && $install"
fi
echo "error: $found; this installs it: $install" >&2
exit 2

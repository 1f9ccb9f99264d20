#!/usr/bin/env bash
# Writes anew what each package's PublicAPI.Unshipped.txt says of its public members, which the build holds the code against; the diff shows
# what a change adds to the packages and takes from them. With names, those projects only: tools/update-public-api.sh Forgetting
set -euo pipefail
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_UI_LANGUAGE=en
[ $# -gt 0 ] || set -- Forgetting.Cuda Forgetting Forgetting.Extensions.AI
for name in "$@"; do
    file=src/$name/PublicAPI.Unshipped.txt
    before=$(cat "$file")
    printf '#nullable enable\n' >"$file"
    # The compiler names every member that no file declares.
    if ! found=$(dotnet build "src/$name" -c Release --no-incremental -v q -p:RunAnalyzers=true -p:TreatWarningsAsErrors=false \
        -p:BuildProjectReferences="${built:-true}"); then
        printf '%s\n' "$before" >"$file"
        printf '%s\n' "$found" >&2
        exit 1
    fi
    built=false
    sed -n "s/.*RS0016: Symbol '\(.*\)' is not part of the declared public API.*\[.*$name.csproj]$/\1/p" <<<"$found" |
        LC_ALL=C sort -u >>"$file"
    echo "$file: $(grep -vc '^#' "$file") members"
done

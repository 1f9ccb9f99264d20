#!/usr/bin/env bash
# Packs what is built (Release) into build/packages, and checks that a stranger can use it: in an empty folder, with no other source than
# those packages and what the build itself has restored, the command installs, and a program with the FineTune sample's source builds
# against the packages and runs.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
packages=$PWD/build/packages
names=(Forgetting.Cuda Forgetting Forgetting.Extensions.AI Forgetting.Cli)
rm -rf "$packages"
for name in "${names[@]}"; do
    dotnet pack "src/$name" -c Release --no-build -v q -nologo -o "$packages"
done

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
restored=$(dotnet nuget locals global-packages --list | sed 's/^global-packages: //')
version=$(basename "$packages"/Forgetting.Cuda.*.nupkg .nupkg)
version=${version#Forgetting.Cuda.}
model=$PWD/../shared/data/stories260K/hf

mkdir "$place/app"
cp samples/FineTune/Program.cs "$place/app/"
cat >"$place/app/App.csproj" <<END
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <Nullable>enable</Nullable>
    <ImplicitUsings>enable</ImplicitUsings>
    <RestoreFallbackFolders>$restored</RestoreFallbackFolders>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Forgetting.Extensions.AI" Version="$version" />
  </ItemGroup>
</Project>
END
cat >"$place/nuget.config" <<END
<configuration>
  <packageSources><clear /><add key="local" value="$packages" /></packageSources>
</configuration>
END
export NUGET_PACKAGES=$place/packages # so that a package of the same version that was there before is not taken for this one
cd "$place/app"
dotnet build -c Release -v q -nologo -o "$place/out"
for name in "${names[@]}"; do
    test -f "$packages/$name.$version.nupkg" || { echo "error: $packages has no $name" >&2; exit 1; }
    test -f "$packages/$name.$version.snupkg" || { echo "error: $packages has no symbols of $name" >&2; exit 1; }
done
for name in Forgetting.Cuda Forgetting Forgetting.Extensions.AI; do
    package=$place/packages/${name,,}/$version
    for file in README.md "lib/net10.0/$name.dll" "lib/net10.0/$name.xml"; do
        test -f "$package/$file" || { echo "error: the package $name has no $file" >&2; exit 1; }
    done
    for entry in '<license type="expression">Apache-2.0</license>' '<readme>README.md</readme>' '<tags>' '<repository type="git"'; do
        grep -qF "$entry" "$package/${name,,}.nuspec" || { echo "error: the package $name has no $entry" >&2; exit 1; }
    done
done

dotnet tool install Forgetting.Cli --version "$version" --tool-path "$place/tool" >/dev/null
if [ -f "$OLDPWD/build/kernels/forgetting.fatbin" ]; then
    for folder in "$place/out/runtimes/any/native" "$place/tool/.store"; do
        find "$folder" -name forgetting.fatbin | grep -q . || { echo "error: $folder has no kernels for a card" >&2; exit 1; }
    done
else
    echo "packages: without kernels for a card, which are not built here"
fi
if [ -d "$model" ]; then
    dotnet "$place/out/App.dll" "$model" "$place/tuned" | tail -n 2
    "$place/tool/forgetting" inspect --model "$place/tuned/model" | head -n 3
else
    echo "packages: skipped running them: ../shared/data is not beside the repository"
    "$place/tool/forgetting" --help >/dev/null
fi
echo "packages: ${names[*]} $version install and run"

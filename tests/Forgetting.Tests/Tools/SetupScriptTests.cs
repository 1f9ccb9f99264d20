using System.Diagnostics;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Tools;

/// <summary>The scripts that set a machine up, on machines made of stand-ins for the commands they call.</summary>
public sealed class SetupScriptTests
{
    private const string Sources = """
        'http://security.example/debian-security/dists/bookworm-security/InRelease' security.example_InRelease 0
        'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_debian_dists_bookworm_InRelease 0
        'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' mirror.example_Packages 0
        """;

    [UnixTheory]
    [InlineData("apt-get", "sudo apt-get update && sudo apt-get install -y --no-install-recommends g++ cmake make")]
    [InlineData("dnf", "sudo dnf install -y gcc-c++ cmake make")]
    [InlineData("pacman", "sudo pacman -S --needed gcc cmake make")]
    public void Who_may_not_install_is_told_the_command(string manager, string command)
    {
        using var machine = new Machine();
        machine.Add("id", "echo 1000");
        machine.Add(manager, "echo 'must not run' >&2; exit 1");
        (int code, _, string error) =
            machine.Run(onlyStandIns: true, Repository.Path("tools", "need.sh"), "the emulation", "g++", "cmake", "make");
        Assert.Equal((2, $"error: not found: g++, cmake, make (for the emulation); this installs it: {command}\n"), (code, error));
    }

    [UnixFact]
    public void Root_on_Debian_gets_what_is_missing_and_nothing_else()
    {
        using var machine = new Machine();
        machine.Add("id", "echo 0");
        machine.Add("cmake", "");
        machine.Add("apt-get", $"echo \"$*\" >>'{machine.Folder}/calls'");
        (int code, _, _) = machine.Run(onlyStandIns: true, Repository.Path("tools", "need.sh"), "the emulation", "g++", "cmake", "make");
        Assert.Equal(0, code);
        Assert.Equal(["-q update", "install -y --no-install-recommends g++ make"], File.ReadLines(Path.Combine(machine.Folder, "calls")));
    }

    [UnixFact]
    public void Nothing_is_asked_of_the_package_manager_where_all_is_there()
    {
        using var machine = new Machine();
        machine.Add("g++", "");
        machine.Add("apt-get", "exit 1");
        Assert.Equal((0, "", ""), machine.Run(onlyStandIns: true, Repository.Path("tools", "need.sh"), "the emulation", "g++"));
    }

    /// <summary>apt as it is before the first update: <c>indextargets</c> lists nothing, <c>update --print-uris</c> every source.</summary>
    [UnixFact]
    public void The_mirror_is_found_before_apt_has_any_lists()
    {
        using var machine = new Machine();
        machine.Add("g++", "");
        machine.Add("apt-get", $"""
            case "$*" in
            *--print-uris*)
                case "$*" in
                *Dir::State::Lists=/var/lib/apt*) exit 100 ;;
                *Dir::State::Lists=*) cat '{machine.Folder}/uris' ;;
                *) exit 100 ;;
                esac ;;
            *indextargets*) ;;
            *) cat '{machine.Folder}/nvcc.partial/sources.list'; exit 7 ;;
            esac
            """);
        File.WriteAllText(Path.Combine(machine.Folder, "uris"), Sources + "\n");
        (int code, string output, string error) =
            machine.Run(onlyStandIns: false, Repository.Path("tools", "install-nvcc.sh"), Path.Combine(machine.Folder, "nvcc"));
        Assert.True(code == 7, error);
        Assert.Equal(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian/ trixie main non-free\n", output);
    }

    /// <summary>A folder of commands.</summary>
    private sealed class Machine : IDisposable
    {
        private readonly TemporaryFolder _folder = new();

        public string Folder => _folder.Path;

        public void Add(string command, string script)
        {
            string path = Path.Combine(Folder, command);
            File.WriteAllText(path, $"#!/bin/sh\n{script}\n");
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        public (int Code, string Output, string Error) Run(bool onlyStandIns, params string[] command)
        {
            var start = new ProcessStartInfo("/bin/bash", command) { RedirectStandardOutput = true, RedirectStandardError = true };
            start.Environment["PATH"] = onlyStandIns ? Folder : $"{Folder}:{Environment.GetEnvironmentVariable("PATH")}";
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output, error.Result);
        }

        public void Dispose() => _folder.Dispose();
    }
}

/// <summary>A test that runs shell scripts.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class UnixFactAttribute : FactAttribute
{
    public UnixFactAttribute() => Skip = OperatingSystem.IsWindows() ? "needs a shell" : Skip;
}

/// <summary>A theory that runs shell scripts.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class UnixTheoryAttribute : TheoryAttribute
{
    public UnixTheoryAttribute() => Skip = OperatingSystem.IsWindows() ? "needs a shell" : Skip;
}

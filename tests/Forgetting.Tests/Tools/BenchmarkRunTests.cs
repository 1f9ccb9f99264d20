using System.Diagnostics;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Tools;

/// <summary>The benchmarks' exit code says whether they ran.</summary>
public sealed class BenchmarkRunTests
{
    [Fact]
    public void Nothing_chosen_is_a_failure() => Assert.Equal((1, "error: no benchmark ran"), Run("--filter", "*NoSuchBenchmark*"));

    /// <summary>As after a build that took too long: the stand-in for dotnet ends without having built anything.</summary>
    [UnixFact]
    public void A_build_that_fails_is_a_failure()
    {
        using var folder = new TemporaryFolder();
        string dotnet = folder.Write("dotnet", "#!/bin/sh\nexit 1\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(dotnet, UnixFileMode.UserRead | UnixFileMode.UserExecute);

        (int code, string error) = Run("--filter", "*SignedLossBenchmark*", "--cli", dotnet, "--artifacts", folder["artifacts"]);
        Assert.Equal(1, code);
        Assert.Matches("^error: ([0-9]+) of \\1 benchmarks did not run", error);
    }

    [Fact]
    public void A_list_is_none() => Assert.Equal((0, ""), Run("--list", "flat"));

    /// <summary>The counts are the same on every machine.</summary>
    [EmulationFact]
    public void Launches_are_counted_as_in_the_results()
    {
        using var folder = new TemporaryFolder();
        Assert.Equal((0, ""), Run("launches", "--out", folder["launches.json"]));
        Assert.Equal(File.ReadAllText(Repository.Path("bench/results/launches.json")), File.ReadAllText(folder["launches.json"]));
    }

    private static (int Code, string Error) Run(params string[] arguments)
    {
        // Built with this project, in the same configuration.
        string[] output = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar).Split(Path.DirectorySeparatorChar)[^2..];
        string program = Repository.Path(["bench", "Forgetting.Benchmarks", "bin", .. output, "Forgetting.Benchmarks.dll"]);
        using Process process = Process.Start(
            new ProcessStartInfo("dotnet", [program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, error.Result.Trim());
    }
}

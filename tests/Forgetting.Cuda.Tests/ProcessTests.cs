using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// What is decided once in a process: which library is used, and what is left when the last context goes. Each runs in one of its own.
/// </summary>
public sealed class ProcessTests
{
    [EmulationFact]
    public void MemoryThatIsNotFreedIsReportedWhenTheContextGoes()
    {
        string output = Run("leak");
        Assert.StartsWith(
            "CudaException: a call of the driver: CUDA_ERROR_UNKNOWN (999), the context was released with 1 allocations not freed: 0x",
            output, StringComparison.Ordinal);
        Assert.Contains("(40 bytes, allocation 1)", output, StringComparison.Ordinal);
    }

    [Fact]
    public void NoDriverIsASentence()
    {
        string output = Run("no-driver");
        bool present = NativeLibrary.TryLoad(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", out _);
        Assert.StartsWith(present ? "True" : "False", output, StringComparison.Ordinal);
        if (present)
            return;

        // ManagedCuda leaves it to .NET to say so.
        Assert.Matches(
            @"CudaLibraryException: the CUDA driver \(.*\) was not found: is an NVIDIA driver installed\?|DllNotFoundException: .*nvcuda",
            output);
    }

    [Fact]
    public void NoEmulationIsASentence() => Assert.Equal(
        "CudaLibraryException: the CUDA emulation library /no/such/library.so does not exist; ./build.sh emulation builds it",
        Run("no-emulation").TrimEnd());

    [EmulationFact]
    public void TheLibraryCannotBeChangedOnceChosen() => Assert.StartsWith(
        "InvalidOperationException: cannot use the CUDA emulation", Run("too-late"), StringComparison.Ordinal);

    /// <summary>Of four warps three have something to do.</summary>
    [PtxFact]
    public void Instructions_are_counted()
    {
        using var folder = new TemporaryFolder();
        Run("count", folder["counts.txt"]);
        string[] lines = File.ReadAllLines(folder["counts.txt"]);
        Assert.Equal(["axpy", "1 launches"], lines[0].Split('\t')[..2]);
        Assert.Contains("\t3\tfma.rn.f32", lines);
        Assert.Contains("\t6\tld.global.f32", lines);
        Assert.Contains("\t4\tret", lines);
        Assert.Equal(
            $"{lines[1..].Sum(line => int.Parse(line.Split('\t')[1], CultureInfo.InvariantCulture))} instructions",
            lines[0].Split('\t')[2]);
    }

    private static string Run(string scenario, string? counts = null)
    {
        var start =
            new ProcessStartInfo(Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal) ? Environment.ProcessPath : "dotnet")
            {
                ArgumentList = { "exec", typeof(ProcessTests).Assembly.Location, scenario },
                RedirectStandardOutput = true,
            };
        start.Environment["FORGETTING_PTX_COUNTS"] = counts;
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        return output;
    }
}

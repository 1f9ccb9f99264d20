using System.Diagnostics;
using System.Runtime.InteropServices;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>What is decided once in a process: which library is used, and what is left when the last context goes. Each runs in one of its own.</summary>
public sealed class ProcessTests
{
    [EmulationFact]
    public void MemoryThatIsNotFreedIsReportedWhenTheContextGoes()
    {
        string output = Run("leak");
        Assert.StartsWith("CudaException: cuDevicePrimaryCtxRelease: CUDA_ERROR_UNKNOWN (999), the context was released with 1 allocations not freed: 0x", output, StringComparison.Ordinal);
        Assert.Contains("(40 bytes, allocation 1)", output, StringComparison.Ordinal);
    }

    [Fact]
    public void NoDriverIsASentence()
    {
        string output = Run("no-driver");
        bool present = NativeLibrary.TryLoad(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", out _);
        Assert.StartsWith(present ? "True" : "False", output, StringComparison.Ordinal);
        Assert.True(present || output.Contains("CudaLibraryException: the CUDA driver (", StringComparison.Ordinal), output);
        Assert.True(present || output.Contains(") was not found: is an NVIDIA driver installed?", StringComparison.Ordinal), output);
    }

    [Fact]
    public void NoEmulationIsASentence() => Assert.Equal(
        "CudaLibraryException: the CUDA emulation library /no/such/library.so does not exist; ./build.sh emulation builds it", Run("no-emulation").TrimEnd());

    [EmulationFact]
    public void TheLibraryCannotBeChangedOnceChosen() => Assert.StartsWith(
        "InvalidOperationException: cannot use the CUDA emulation", Run("too-late"), StringComparison.Ordinal);

    private static string Run(string scenario)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal) ? Environment.ProcessPath : "dotnet")
        {
            ArgumentList = { "exec", typeof(ProcessTests).Assembly.Location, scenario },
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        return output;
    }
}

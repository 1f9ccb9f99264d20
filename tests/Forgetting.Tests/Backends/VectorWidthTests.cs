using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Tests.Cli;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>
/// Every operation with each kind of vectors that processors have, as far as this one can stand in for them;
/// the choice is made once in a process.
/// </summary>
[Collection(CommandCollection.Name)]
public sealed class VectorWidthTests
{
    [Theory]
    [InlineData("DOTNET_EnableAVX512", 256, "256 bits (AVX2 with FMA)", "managed (256-bit)")]
    [InlineData("DOTNET_EnableAVX2", 256, "256 bits (AVX)", "managed (256-bit)")]
    [InlineData("DOTNET_EnableAVX", 128, "128 bits (SSE)", "managed (128-bit)")]
    [InlineData("DOTNET_EnableHWIntrinsic", 0, "none (scalar)", "managed (scalar)")]
    public void Operations_agree_with_the_plain_versions_without(string instructions, int bits, string vectors, string products)
    {
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64 || VectorWidth.Bits < bits)
            return;

        var start =
            new ProcessStartInfo(Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal) ? Environment.ProcessPath : "dotnet")
            {
                ArgumentList = { "exec", typeof(VectorWidthTests).Assembly.Location, "operations" },
                RedirectStandardOutput = true,
            };
        foreach (string name in start.Environment.Keys.Where(key => key.StartsWith("DOTNET_Enable", StringComparison.Ordinal)).ToArray())
        {
            start.Environment.Remove(name);
        }

        start.Environment[instructions] = "0";
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        Assert.Equal([vectors, products], output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public void Doctor_names_the_width_that_products_use()
    {
        CommandResult result = CommandResult.Of("doctor", "--device", "cpu", "--products", "managed", "--json");
        JsonElement facts = JsonDocument.Parse(result.Output).RootElement;
        Assert.Equal(VectorWidth.Description, facts.GetProperty("vector_width").GetString());
        Assert.Equal(
            VectorWidth.Bits == 0 ? "managed (scalar)" : $"managed ({VectorWidth.Bits}-bit)", facts.GetProperty("products").GetString());
    }
}

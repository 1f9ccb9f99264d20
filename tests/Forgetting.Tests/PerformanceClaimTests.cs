using System.Globalization;
using System.Text.Json;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests;

/// <summary>What the README says of speed is what <c>bench/run.sh</c> printed.</summary>
public sealed class PerformanceClaimTests
{
    [Fact]
    public void The_readme_s_ratios_are_those_of_the_results()
    {
        using var results = JsonDocument.Parse(File.ReadAllText(Repository.Path("bench/results/pairs.json")));
        string readme = File.ReadAllText(Repository.Path("README.md"));
        string full = Ratio("step-full"), lora = Ratio("step-lora");
        Assert.Contains($"is {full} times as fast as PyTorch", readme, StringComparison.Ordinal);
        Assert.Contains($"a step with LoRA {lora} times", readme, StringComparison.Ordinal);

        string Ratio(string pair) =>
            results.RootElement.GetProperty("summaries").EnumerateArray()
                .First(row => row.GetProperty("pair").GetString() == pair && row.GetProperty("setting").GetString() == "default")
                .GetProperty("ratio").GetDouble().ToString("F2", CultureInfo.InvariantCulture);
    }
}

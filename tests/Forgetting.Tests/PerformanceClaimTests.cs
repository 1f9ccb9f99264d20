using System.Globalization;
using System.Text.Json;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests;

/// <summary>What README and docs say of speed is what commands under <c>bench</c> wrote.</summary>
public sealed class PerformanceClaimTests
{
    [Fact]
    public void The_docs_counts_of_launches_are_those_of_the_results()
    {
        using var results = JsonDocument.Parse(File.ReadAllText(Repository.Path("bench/results/launches.json")));
        string docs = File.ReadAllText(Repository.Path("docs/performance.md"));
        foreach ((string row, string key) in new[]
        {
            ("after 12 such steps", "ragged_steps_full"), ("the same with LoRA of rank 4", "ragged_steps_lora_4"), ("5 blocks", "token"),
        })
        {
            JsonElement counts = results.RootElement.GetProperty(key);
            Assert.Contains($"{row} | {Count(counts, "one_by_one")} | {Count(counts, "graphs")} |", docs, StringComparison.Ordinal);
        }

        foreach ((string row, string total, string key) in new[]
        {
            ("1 × 2,048, all weights", "1x2048 full", "step_1x2048_full"), ("1 × 2,048, LoRA 16", "1x2048 LoRA 16", "step_1x2048_lora_16"),
            ("8 × 2,048, all weights", "8x2048 full", "step_8x2048_full"), ("8 × 2,048, LoRA 16", "8x2048 LoRA 16", "step_8x2048_lora_16"),
        })
        {
            Assert.Matches($@"\| {row} \| [\d,]+ \| {Count(results.RootElement, key)} \|", docs);
            Assert.Contains($"| **2048x16 {total}** |  | {results.RootElement.GetProperty(key)} |", docs, StringComparison.Ordinal);
        }

        static string Count(JsonElement counts, string key) =>
            counts.GetProperty(key).GetInt64().ToString("N0", CultureInfo.InvariantCulture);
    }

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

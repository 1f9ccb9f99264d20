using System.Text.Json;
using Forgetting.Cli.Commands;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>forgetting inspect --ranks.</summary>
[Collection(CommandCollection.Name)]
public sealed class InspectRanksTests
{
    [SharedDataTheory]
    [InlineData("1")]
    [InlineData("4")]
    public void Inspect_says_what_a_rank_takes_by_what_they_divide(string ranks)
    {
        string[] command = ["inspect", "--model", SharedData.Path("stories260K", "hf"), "--device", "cuda", "--ranks", ranks, "--json"];
        (int code, string output, string error) = CommandResult.Of(command);
        Assert.True(code == 0, error);
        using JsonDocument document = JsonDocument.Parse(output);
        JsonElement full = document.RootElement.GetProperty("memory").EnumerateArray()
            .Single(m => m.GetProperty("lora_rank").GetInt32() == 0 && m.GetProperty("method").GetString() == "full");
        if (ranks == "1")
        {
            Assert.False(full.TryGetProperty("rank_bytes", out _));
            Assert.StartsWith(
                "error: shard is optimizer with one process", CommandResult.Of([.. command, "--shard", "optimizer"]).Error,
                StringComparison.Ordinal);
            return;
        }

        // A quarter is left of masters and moments, 12 bytes a weight, and of gradients, 4, but for a block's.
        JsonElement bytes = full.GetProperty("rank_bytes");
        long none = bytes.GetProperty("none").GetInt64(), optimizer = bytes.GetProperty("optimizer").GetInt64(),
            gradients = bytes.GetProperty("gradients").GetInt64(),
            weights = full.GetProperty("memory").GetProperty("weights").GetInt64() / 2; // of 2 bytes
        Assert.Equal(none, full.GetProperty("memory").GetProperty("peak").GetInt64());
        Assert.Equal(none - (9 * weights), optimizer, 0.5 * weights);
        Assert.InRange(optimizer - gradients, 2 * weights, 3 * weights);

        (code, output, error) = CommandResult.Of([.. command[..^1], "--shard", "gradients"]);
        Assert.True(code == 0, error);
        Assert.Contains("The most that one of 4 ranks takes, by what they divide (--shard).", output, StringComparison.Ordinal);
    }

    // What a card's table would pass over is refused by its name.
    [SharedDataTheory]
    [InlineData("error: --card is given with --ranks, of which", "--ranks", "2")]
    [InlineData("error: --card is given with --batch-size, of which", "--batch-size", "3")]
    [InlineData("error: --card is given with --optimizer, of which", "--lora-rank", "4", "--optimizer", "adamw8bit")]
    [InlineData("error: dtype is \"fp8\", expected", "--dtype", "fp8")]
    [InlineData("", "--dtype", "bf16", "--recompute", "--lora-rank", "4")]
    public void What_a_cards_table_makes_no_use_of_is_refused(string expected, params string[] options)
    {
        (int code, string output, string error) =
            CommandResult.Of(["inspect", "--model", SharedData.Path("stories260K", "hf"), "--card", "1", .. options]);
        Assert.StartsWith(expected, error, StringComparison.Ordinal);
        Assert.Equal(expected.Length > 0 ? 2 : 0, code);
        if (code == 0)
            Assert.Contains("the same, bf16 alone", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(30, "all", "32 / 24 / 16 GB")]
    [InlineData(20, "optimizer, gradients", "32 / 24 / 16 GB")]
    [InlineData(1, "none of them", "32 / 24 / 16 GB")]
    public void What_fits_is_said(int most, string fitting, string cards)
    {
        var bytes = new Dictionary<string, long> { ["none"] = 25L << 30, ["optimizer"] = 20L << 30, ["gradients"] = 12L << 30 };
        Assert.Equal(fitting, RankMemory.Fitting(bytes, (long)most << 30));
        Assert.Equal(cards, RankMemory.Cards(bytes));
        bytes["none"] = 1L << 40;
        Assert.Equal("more / 24 / 16 GB", RankMemory.Cards(bytes));
    }
}

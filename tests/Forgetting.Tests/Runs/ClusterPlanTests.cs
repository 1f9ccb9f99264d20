using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Runs;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Runs;

/// <summary>Times and memory of steps on many cards, against formulas by hand.</summary>
public class ClusterPlanTests
{
    private static readonly ModelConfig s_model = new()
    {
        Family = ModelFamilies.Llama, VocabularySize = 32_000, HiddenSize = 1024, IntermediateSize = 2816, Layers = 8, Heads = 16,
        KeyValueHeads = 16, HeadSize = 64, ContextLength = 2048, NormEpsilon = 1e-5, AttentionScale = 0.125,
        Windows = [0, 0, 0, 0, 0, 0, 0, 0],
    };

    private static readonly CardSpeed s_card = new(1e14, 1e15, 80e9); // bytes cost nothing: products alone are counted

    [Fact]
    public void Rings_and_trees_take_what_their_steps_take()
    {
        var link = new LinkSpeed("test", 1e-3, 1e9);
        var four = new ClusterShape(4, 8, link, link);

        // Three turns of a quarter of 4 GB each, a millisecond and a second a turn.
        Assert.Equal(3 * (1e-3 + 1), four.Scatter(4e9), 9);
        Assert.Equal(6 * (1e-3 + 1), four.AllReduce(4e9), 9);

        // With few bytes a tree is faster: twice up and down of two levels.
        Assert.Equal(2 * ((2 * 1e-3) + 1e-9), four.AllReduce(1), 12);

        // Two machines of four: the ring within, and between them a quarter of the bytes for each card.
        var outer = new LinkSpeed("slow", 2e-3, 1e8);
        Assert.Equal((3 * (1e-3 + 1)) + 2e-3 + (0.5 * 1e9 / 1e8), new ClusterShape(8, 4, link, outer).Scatter(4e9), 9);
    }

    [Theory]
    [InlineData("ib", 5e-6, 40e9)]
    [InlineData("5:40", 5e-6, 40e9)]
    [InlineData("0:0.5", 0, 5e8)]
    public void Links_have_names_or_numbers(string text, double latency, double bandwidth)
    {
        LinkSpeed found = LinkSpeed.Parse(text);
        Assert.Equal(latency, found.Latency, 1e-15);
        Assert.Equal(bandwidth, found.Bandwidth, 1);
    }

    [Theory]
    [InlineData("token-ring")]
    [InlineData("5:0")]
    [InlineData("-1:3")]
    [InlineData("nan:3")]
    public void Other_links_are_refused(string text) =>
        Assert.StartsWith(
            $"--link: \"{text}\"", Assert.Throws<UserException>(() => LinkSpeed.Parse(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void Work_is_that_of_the_products_and_memory_is_divided()
    {
        TrainingOptions options = new()
        {
            Lora = new() { Rank = 0 }, Schedule = new() { BatchSize = 16 }, Data = new() { MaxLength = 512 },
            Compute = new() { MicroBatchTokens = 1024 },
        };
        var link = new LinkSpeed("test", 0, 1e9);
        IReadOnlyList<PlannedStep> one = ClusterPlan.Steps(
            s_model, options with { Schedule = options.Schedule with { BatchSize = 4 } }, s_card, new ClusterShape(1, 8, link, link));
        IReadOnlyList<PlannedStep> four = ClusterPlan.Steps(s_model, options, s_card, new ClusterShape(4, 8, link, link));

        // Six operations for each weight of a matrix and token; attention: four of a row for each pair forward, ten backward.
        double block = (4 * 1024 * 1024) + (3 * 1024 * 2816), head = 1024 * 32_000.0, tokens = 4 * 512, pairs = 4 * 512 * 513 / 2;
        double operations = (6 * tokens * 8 * block) + (6 * (tokens - 4) * head) + (8 * 14 * 1024 * pairs);
        Assert.Equal(1, one[0].Compute * 1e14 / operations, 0.02);
        Assert.Equal(0, one[0].Network);
        Assert.Equal(one[0].Compute, four[0].Compute, 1e-9);

        double trained = 4 * ((8 * (block + (2 * 1024))) + 1024 + (2 * head)); // bytes of the gradients: two tables, norms
        Assert.Equal(1, four[0].Network / (2 * 0.75 * trained / 1e9), 1e-6);
        Assert.Equal(1, four[1].Network / ((0.75 * trained / 1e9) + (0.75 * trained / 2 / 1e9)), 1e-6);
        Assert.Equal(1, four[2].Network / ((2 * 0.75 * trained / 1e9) + (0.75 * trained / 2 / 1e9)), 1e-6); // two micro-batches
        Assert.Equal(1, four[3].Network / (2 * 0.75 * (trained + trained) / 1e9), 1e-6);

        // In fp32 weights are as large as gradients, and there are no masters beside them.
        IReadOnlyList<PlannedStep> wide = ClusterPlan.Steps(
            s_model, options with { Compute = options.Compute with { Dtype = "fp32" } }, s_card, new ClusterShape(4, 8, link, link));
        Assert.Equal(1, wide[1].Network / (2 * 0.75 * trained / 1e9), 1e-6);
        Assert.Equal(1, (wide[0].Memory - wide[1].Memory) / (2 * trained * 0.75), 1e-6);

        double biggest = 2 * 1024 * 32_000.0; // a table in bf16
        Assert.Equal(one[0].Memory, four[0].Memory, 1.0);
        Assert.Equal(1, (four[0].Memory - four[1].Memory) / (3 * trained * 0.75), 1e-6);
        Assert.Equal(1, (four[1].Memory - four[2].Memory) / ((trained * 0.75) - (4 * biggest)), 1e-6);
        Assert.Equal(1, (four[2].Memory - four[3].Memory) / ((trained / 2 * 0.75) - (2 * biggest)), 1e-6);
    }
}

using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Testing.Reference;
using Forgetting.Tests.Models;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

public class ScorerTests
{
    private static readonly EncodedExample[] s_examples =
    [
        new() { Index = 3, Ids = [1, 2, 3, 4, 5, 6], Response = [false, false, true, true, false, false] },
        new() { Index = 5, Ids = [7], Response = [false] },
        new() { Index = 8, Ids = [8, 9, 10], Response = [false, false, false] },
        new() { Index = 9, Ids = [4, 11, 12, 13, 14, 15, 16, 17], Response = [false, true, true, true, true, true, true, true] },
        new() { Index = 11, Ids = [2, 5], Response = [false, true] },
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(9)]
    [InlineData(100)]
    public void One_pass_over_the_data_gives_each_model_its_own_losses_bit_by_bit(int tokens)
    {
        using var first = new TestModel(ReferenceConfigs.All["llama"], seed: 1);
        using var second = new TestModel(ReferenceConfigs.All["llama"], seed: 2);
        IReadOnlyList<IReadOnlyList<float[]>> together =
            Scorer.Losses([first.Decoder, second.Decoder], s_examples, tokens, allTokens: false);
        Assert.Equal(Scorer.Losses(first.Decoder, s_examples, tokens, allTokens: false), together[0]);
        Assert.Equal(Scorer.Losses(second.Decoder, s_examples, tokens, allTokens: false), together[1]);
        Assert.NotEqual(together[0][3], together[1][3]);
    }

    [Fact]
    public void Losses_are_the_reference_s_and_those_outside_the_response_cost_nothing()
    {
        using var model = new TestModel(ReferenceConfigs.All["gpt2"]);
        IReadOnlyList<float[]> all = Scorer.Losses(model.Decoder, s_examples, 9, allTokens: true);
        IReadOnlyList<float[]> response = Scorer.Losses(model.Decoder, s_examples, 9, allTokens: false);
        for (int i = 0; i < s_examples.Length; i++)
        {
            int[] ids = s_examples[i].Ids;
            double[][] logits = model.Reference.Logits(ids);
            Assert.Equal(0, all[i][0]);
            for (int t = 1; t < ids.Length; t++)
            {
                double[] before = logits[t - 1];
                Assert.Equal(Math.Log(before.Sum(Math.Exp)) - before[ids[t]], all[i][t], 1e-4);
                Assert.Equal(s_examples[i].Response[t] ? all[i][t] : 0, response[i][t]);
            }
        }
    }

    [Fact]
    public void Progress_counts_the_tokens_of_every_model_once()
    {
        using var model = new TestModel(ReferenceConfigs.All["llama"]);
        var seen = new Progress();
        Scorer.Losses([model.Decoder, model.Decoder], s_examples, 8, allTokens: false, seen);
        Assert.Equal([(8, 32), (16, 32), (24, 32), (32, 32)], seen.Reported);
    }

    private sealed class Progress : ITrainingObserver
    {
        public List<(long Done, long Total)> Reported { get; } = [];

        public void Progressed(long done, long total) => Reported.Add((done, total));

        public void StageBegan(string what) => Assert.Fail(what);

        public void StepDone(StepMetrics metrics, int steps) => Assert.Fail("no step is done");

        public void CheckpointWritten(string path) => Assert.Fail(path);
    }
}

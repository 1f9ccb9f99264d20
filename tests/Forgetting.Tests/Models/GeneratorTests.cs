using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Operations.Reference;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>Generation against the reference's own loop without a cache, and its independence of the batch.</summary>
public class GeneratorTests
{
    private static readonly int[][] s_prompts = [[3, 4, 5], [6], [1, 2, 3, 4, 5, 6, 7], [8, 8]];
    private static readonly GenerationOptions s_endless = new() { MaxNewTokens = 12, StopIds = [] };

    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public void Greedy_text_is_the_reference_s(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name]);
        IReadOnlyList<int[]> found = new Generator(model.Decoder).Generate(s_prompts, s_endless);
        for (int i = 0; i < s_prompts.Length; i++)
        {
            List<int> ids = [.. s_prompts[i]];
            for (int step = 0; step < s_endless.MaxNewTokens; step++)
            {
                ids.Add(ReferenceLoss.ArgMax(model.Reference.Logits([.. ids])[^1]));
            }

            Assert.Equal(ids.Skip(s_prompts[i].Length), found[i]);
        }
    }

    [Fact]
    public void A_repetition_penalty_changes_the_logits_of_tokens_seen()
    {
        using var model = new TestModel(ReferenceConfigs.All["llama"]);
        const double Penalty = 1.5;
        IReadOnlyList<int[]> found = new Generator(model.Decoder).Generate(s_prompts, s_endless with { RepetitionPenalty = Penalty });
        for (int i = 0; i < s_prompts.Length; i++)
        {
            List<int> ids = [.. s_prompts[i]];
            for (int step = 0; step < s_endless.MaxNewTokens; step++)
            {
                double[] logits = model.Reference.Logits([.. ids])[^1];
                foreach (int id in ids.Distinct())
                {
                    logits[id] = logits[id] > 0 ? logits[id] / Penalty : logits[id] * Penalty;
                }

                ids.Add(ReferenceLoss.ArgMax(logits));
            }

            Assert.Equal(ids.Skip(s_prompts[i].Length), found[i]);
        }
    }

    [Fact]
    public void Sampled_text_depends_on_seed_and_key_and_not_on_the_batch()
    {
        using var model = new TestModel(ReferenceConfigs.All["qwen2"]);
        var generator = new Generator(model.Decoder);
        GenerationOptions options = s_endless with { Temperature = 1.3, TopK = 15, TopP = 0.95, Seed = 5 };
        IReadOnlyList<int[]> together = generator.Generate(s_prompts, options);
        Assert.Equal(together, generator.Generate(s_prompts, options));
        for (int i = 0; i < s_prompts.Length; i++)
        {
            Assert.Equal(together[i], generator.Generate([s_prompts[i]], options, keys: [i])[0]);
        }

        Assert.NotEqual(together, generator.Generate(s_prompts, options with { Seed = 6 }));
        Assert.NotEqual(together[0], generator.Generate([s_prompts[0]], options, keys: [100])[0]);
    }

    [Fact]
    public void Sequences_end_at_stop_ids_at_the_context_and_when_told_to()
    {
        using var model = new TestModel(ReferenceConfigs.All["llama"]);
        var generator = new Generator(model.Decoder);
        int[][] full = [.. generator.Generate(s_prompts, s_endless with { MaxNewTokens = 100 })];
        Assert.Equal(s_prompts.Select(p => 32 - p.Length), full.Select(tokens => tokens.Length));

        int stop = full[0][3];
        int[][] stopped = [.. generator.Generate(s_prompts, s_endless with { StopIds = [stop], MaxNewTokens = 100 })];
        Assert.Equal(full.Select(tokens => tokens.TakeWhile(id => id != stop)), stopped);

        List<(int, int)> seen = [];
        int[][] told = [.. generator.Generate(s_prompts, s_endless, (sequence, token) =>
        {
            seen.Add((sequence, token));
            return sequence != 2 || seen.Count(pair => pair.Item1 == 2) < 4;
        })];
        Assert.Equal(full[2][..4], told[2]);
        Assert.Equal(full[1][..12], told[1]);
        Assert.Equal(told[2], seen.Where(pair => pair.Item1 == 2).Select(pair => pair.Item2));
    }

    [Fact]
    public void Bad_prompts_and_options_are_named()
    {
        using var model = new TestModel(ReferenceConfigs.All["llama"]);
        var generator = new Generator(model.Decoder);
        Assert.Equal("prompt 1: 0 tokens, expected 1 to 31 (the context length is 32)", Error([[1], []], s_endless));
        Assert.Equal("prompt 0: token id 23, expected 0 to 22", Error([[23]], s_endless));
        Assert.Equal("top-p 0: expected 0 < p ≤ 1", Error([[1]], s_endless with { TopP = 0 }));
        Assert.Equal("temperature -1: expected 0 or more", Error([[1]], s_endless with { Temperature = -1 }));

        string Error(int[][] prompts, GenerationOptions options) =>
            Assert.Throws<UserException>(() => generator.Generate(prompts, options)).Message;
    }
}

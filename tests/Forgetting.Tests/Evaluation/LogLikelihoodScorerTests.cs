using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.Operations.Reference;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Forgetting.Tests.Models;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>Contexts that are shared, cut or empty, and windows of long texts.</summary>
public class LogLikelihoodScorerTests
{
    private static string ModelPath => SharedData.Path("stories260K", "hf");

    [SharedDataFact]
    public void Continuations_of_one_context_score_as_they_do_by_themselves()
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        int[] one = model.Tokenizer.Encode("Once upon a time, Lily"), two = model.Tokenizer.Encode("The dog was");
        int[][] continuations = [[300], [300, 301], [300, 301, 302, 303], [300, 305, 302], [5, 6, 7, 8, 9, 10], [300, 301], [301]];
        LogLikelihoodRequest[] requests = [.. continuations.SelectMany(c => new LogLikelihoodRequest[] { new(one, c), new(two, c) }),
            new(model.Tokenizer.Encode("A"), [300, 301])];
        var scorer = new LogLikelihoodScorer(model.Decoder, 4096);
        IReadOnlyList<LogLikelihood> together = scorer.Score(requests);
        for (int i = 0; i < requests.Length; i++)
        {
            LogLikelihood alone = scorer.Score([requests[i]])[0];
            Assert.Equal(alone.Sum, together[i].Sum, 1e-4);
            Assert.Equal((alone.IsGreedy, requests[i].Continuation.Length), (together[i].IsGreedy, together[i].Tokens));
        }

        // What was computed: each context once, and behind it the tokens of each different input: 300 · 301 · 302,
        // 300 · 305, 5 · 6 · 7 · 8 · 9, 300.
        SharedContext shared = Assert.Single(
            SharedContext.Group([.. continuations.Select(c => new LogLikelihoodRequest(one, c))], 512, int.MaxValue));
        Assert.Equal(one, shared.Shared.Ids);
        Assert.Equal(one.Length + 3 + 2 + 5 + 1, shared.Tokens);
    }

    // One context within LongRoPE's first context and continuations that end within and beyond it, where all of an input turns otherwise.
    [Fact]
    public void Inputs_beyond_the_original_context_are_scored_as_a_whole()
    {
        using var model = new TestModel(ReferenceConfigs.All["phi3-longrope"]);
        int[] context = [3, 4, 5, 6, 7];
        int[][] continuations = [[1], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 9, 9, 9]];
        IReadOnlyList<LogLikelihood> found = new LogLikelihoodScorer(model.Decoder, 64).Score(
            [.. continuations.Select(continuation => new LogLikelihoodRequest(context, continuation))]);
        for (int i = 0; i < continuations.Length; i++)
        {
            int[] ids = [.. context, .. continuations[i]];
            double[][] logits = model.Reference.Logits(ids.AsSpan(..^1));
            double expected = -Enumerable.Range(context.Length, continuations[i].Length)
                .Sum(t => ReferenceLoss.CrossEntropy(logits[t - 1], ids[t]));
            Assert.Equal(expected, found[i].Sum, 2e-5);
        }
    }

    [SharedDataFact]
    public void A_long_context_is_cut_at_the_left_and_equal_inputs_are_shared()
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        int[] ids = model.Tokenizer.Encode(string.Concat(Enumerable.Repeat("Once upon a time, Lily met a dog. ", 80)));
        int length = model.Decoder.Config.ContextLength;
        Assert.True(ids.Length > length + 10);

        // The input keeps the last tokens, of which the very last is only predicted.
        int[] context = ids[..^3], continuation = ids[^3..];
        int[] kept = ids[^(length + 1)..^3];
        IReadOnlyList<LogLikelihood> found = new LogLikelihoodScorer(model.Decoder, 4096).Score(
        [
            new(context, continuation), new(kept, continuation), new(context, continuation), new(context, [.. continuation[..^1], 5]),
            new(kept[1..], continuation),
        ]);
        Assert.Equal(found[0], found[1]);
        Assert.Equal(found[0], found[2]);
        Assert.NotEqual(found[0].Sum, found[3].Sum);
        Assert.NotEqual(found[0].Sum, found[4].Sum);
        Assert.Equal(
            $"request 0: a continuation of {length + 1} tokens, expected at most the context length {length}",
            Assert.Throws<UserException>(() => new LogLikelihoodScorer(model.Decoder, 4096)
                .Score([new([1], ids[..(length + 1)])])).Message);
    }

    [SharedDataFact]
    public void Spaces_at_the_end_of_a_context_belong_to_the_continuation()
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        var encoder = new RequestEncoder(model.Tokenizer, model.Decoder.Config);
        LogLikelihoodRequest moved = encoder.Encode("Once upon a ", "time"), plain = encoder.Encode("Once upon a", " time");
        Assert.Equal(plain.Context, moved.Context);
        Assert.Equal(plain.Continuation, moved.Continuation);
        Assert.Equal(model.Tokenizer.Encode("Once upon a time"), plain.Context.Concat(plain.Continuation));

        LogLikelihoodRequest first = encoder.Encode("", "Once");
        Assert.Equal([model.Tokenizer.BosId!.Value], first.Context);
        Assert.Equal(model.Tokenizer.Encode("Once", bos: false), first.Continuation);
        Assert.Equal(
            "the continuation \"\" adds no tokens to its context; expected at least one",
            Assert.Throws<UserException>(() => encoder.Encode("Once", "")).Message);
    }

    [SharedDataTheory]
    [InlineData(5)]
    [InlineData(512)]
    [InlineData(513)]
    [InlineData(1300)]
    public void Rolling_windows_score_every_token_once_with_full_contexts(int tokens)
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        var encoder = new RequestEncoder(model.Tokenizer, model.Decoder.Config);
        string text = File.ReadAllText(SharedData.Path("tinyshakespeare", "input.txt"))[..4000];
        int[] ids = model.Tokenizer.Encode(text, bos: false);
        while (ids.Length > tokens)
        {
            text = text[..^1];
            ids = model.Tokenizer.Encode(text, bos: false);
        }

        IReadOnlyList<LogLikelihoodRequest> windows = encoder.EncodeRolling(text);
        Assert.Equal(ids, windows.SelectMany(window => window.Continuation));
        Assert.Equal([1], windows[0].Context);
        Assert.All(windows.Skip(1), window => Assert.Equal(512 + 1, window.Context.Length + window.Continuation.Length));
        Assert.Equal((ids.Length + 511) / 512, windows.Count);
    }
}

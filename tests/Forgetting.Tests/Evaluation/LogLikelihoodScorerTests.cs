using Forgetting.Backends.Cpu;
using Forgetting.Evaluation;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>Log-likelihoods of real items on a real model against a plain double-precision forward, and their independence of batches.</summary>
public class LogLikelihoodScorerTests
{
    private const double Tolerance = 2e-3;

    private static string ModelPath => SharedData.Path("stories260K", "hf");

    [SharedDataTheory]
    [InlineData("truthfulqa_mc1", 2)]
    [InlineData("truthfulqa_mc2", 2)]
    [InlineData("boolq", 3)]
    [InlineData("qasc", 3)]
    [InlineData("sst5", 4)]
    [InlineData("tofu_world_facts", 4)]
    public void Real_items_have_the_reference_s_log_likelihoods(string task, int items)
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        var reference = new ReferenceDecoder(model.Decoder.Config, ReferenceCheckpoint.Read(Path.Combine(ModelPath, "model.safetensors")));
        TaskResult result = new Evaluator(model, new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = items }).Run(new TaskLibrary(), task);
        Assert.Equal(items, result.Samples.Count);
        foreach (TaskSample sample in result.Samples)
        {
            Assert.True(sample.Arguments.Count > 1);
            for (int i = 0; i < sample.Arguments.Count; i++)
            {
                (double sum, bool greedy) = Expected(model, reference, sample.Arguments[i], result.Definition.AppendEos);
                var found = Assert.IsType<LogLikelihood>(sample.Responses[i]);
                Assert.Equal(sum, found.Sum, Tolerance);
                Assert.Equal(greedy, found.IsGreedy);
            }
        }
    }

    [SharedDataFact]
    public void Scores_are_the_same_bits_in_batches_of_1_3_and_64()
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        var encoder = new RequestEncoder(model.Tokenizer, model.Decoder.Config);
        LogLikelihoodRequest[] requests = [.. new TaskLibrary().Find("qasc").Load(SharedData.Folder!).Take(16).SelectMany(document =>
            ((List<object?>)document.Fields["choices"]!).Select(choice => encoder.Encode($"Question: {document.Fields["question"]}\nAnswer:", $" {choice}")))];
        int longest = requests.Max(request => request.Context.Length + request.Continuation.Length - 1);
        IReadOnlyList<LogLikelihood> alone = new LogLikelihoodScorer(model.Decoder, 1).Score(requests);
        Assert.Equal(alone, new LogLikelihoodScorer(model.Decoder, 3 * longest).Score(requests));
        Assert.Equal(alone, new LogLikelihoodScorer(model.Decoder, 64 * longest).Score(requests));
    }

    [SharedDataFact]
    public void Continuations_of_one_context_score_as_they_do_by_themselves()
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        int[] one = model.Tokenizer.Encode("Once upon a time, Lily"), two = model.Tokenizer.Encode("The dog was");
        int[][] continuations = [[300], [300, 301], [300, 301, 302, 303], [300, 305, 302], [5, 6, 7, 8, 9, 10], [300, 301], [301]];
        LogLikelihoodRequest[] requests = [.. continuations.SelectMany(c => new LogLikelihoodRequest[] { new(one, c), new(two, c) }), new(model.Tokenizer.Encode("A"), [300, 301])];
        var scorer = new LogLikelihoodScorer(model.Decoder, 4096);
        IReadOnlyList<LogLikelihood> together = scorer.Score(requests);
        for (int i = 0; i < requests.Length; i++)
        {
            LogLikelihood alone = scorer.Score([requests[i]])[0];
            Assert.Equal(alone.Sum, together[i].Sum, 1e-4);
            Assert.Equal((alone.IsGreedy, requests[i].Continuation.Length), (together[i].IsGreedy, together[i].Tokens));
        }

        // What was computed: each context once, and behind it the tokens of each different input: 300 · 301 · 302, 300 · 305, 5 · 6 · 7 · 8 · 9, 300.
        SharedContext shared = Assert.Single(SharedContext.Group([.. continuations.Select(c => new LogLikelihoodRequest(one, c))], 512));
        Assert.Equal(one, shared.Shared.Ids);
        Assert.Equal(one.Length + 3 + 2 + 5 + 1, shared.Tokens);
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
            new(context, continuation), new(kept, continuation), new(context, continuation), new(context, [.. continuation[..^1], 5]), new(kept[1..], continuation),
        ]);
        Assert.Equal(found[0], found[1]);
        Assert.Equal(found[0], found[2]);
        Assert.NotEqual(found[0].Sum, found[3].Sum);
        Assert.NotEqual(found[0].Sum, found[4].Sum);
        Assert.Equal(
            $"request 0: a continuation of {length + 1} tokens, expected at most the context length {length}",
            Assert.Throws<UserException>(() => new LogLikelihoodScorer(model.Decoder, 4096).Score([new([1], ids[..(length + 1)])])).Message);
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
        Assert.Equal("the continuation \"\" adds no tokens to its context; expected at least one", Assert.Throws<UserException>(() => encoder.Encode("Once", "")).Message);
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

    // By the definition, from the texts: nothing of the engine is used.
    private static (double Sum, bool IsGreedy) Expected(LoadedModel model, ReferenceDecoder reference, (string Context, string Continuation) pair, bool end)
    {
        Assert.False(char.IsWhiteSpace(pair.Context[^1]));
        int[] whole = [.. model.Tokenizer.Encode(pair.Context + pair.Continuation), .. end ? [model.Tokenizer.EosIds[0]] : Array.Empty<int>()];
        int count = whole.Length - model.Tokenizer.Encode(pair.Context).Length;
        int[] kept = whole[Math.Max(0, whole.Length - reference.Config.ContextLength - 1)..];
        double[][] logits = reference.Logits(kept.AsSpan(0, kept.Length - 1));
        double sum = 0;
        bool greedy = true;
        for (int i = kept.Length - count; i < kept.Length; i++)
        {
            sum -= ReferenceLoss.CrossEntropy(logits[i - 1], kept[i]);
            greedy &= ReferenceLoss.ArgMax(logits[i - 1]) == kept[i];
        }

        return (sum, greedy);
    }
}

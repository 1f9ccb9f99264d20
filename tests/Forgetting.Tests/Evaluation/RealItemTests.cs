using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Evaluation;
using Forgetting.Models;
using Forgetting.Operations.Reference;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>
/// Real items of every task that has data, on a real model through the whole pipeline, against a plain double-precision forward;
/// and their independence of batches.
/// </summary>
public class RealItemTests
{
    private const int Items = 50;
    private const double Tolerance = 2e-3;

    private static string ModelPath => SharedData.Path("stories260K", "hf");

    // Prompts of hundreds of tokens take the reference a second each: there one choice of each item is
    // checked, the first, the second, … in turn.
    [SharedDataTheory]
    [InlineData("truthfulqa_mc1", 1)]
    [InlineData("truthfulqa_mc2", 1)]
    [InlineData("boolq", 1)]
    [InlineData("qasc", 3)]
    [InlineData("sst5", 2)]
    [InlineData("tofu_world_facts", 4)]
    [InlineData("tofu_forget_probability", 1)]
    [InlineData("tofu_retain_probability", 1)]
    public void Log_likelihoods_are_the_reference_s(string task, int choices)
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        TaskResult result =
            new Evaluator(model, new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = Items }).Run(new TaskLibrary(), task);
        Assert.Equal(Items, result.Samples.Count);
        ReferenceDecoder reference = Reference(model);
        Parallel.ForEach(result.Samples, sample =>
        {
            for (int i = 0; i < Math.Min(choices, sample.Arguments.Count); i++)
            {
                int choice = (sample.Index + i) % sample.Arguments.Count;
                (double sum, bool greedy) = Expected(model, reference, sample.Arguments[choice], result.Definition.AppendEos);
                var found = Assert.IsType<LogLikelihood>(sample.Responses[choice]);
                Assert.Equal(sum, found.Sum, Tolerance);
                Assert.Equal(greedy, found.IsGreedy);
            }
        });
    }

    [SharedDataTheory]
    [InlineData("gsm8k")]
    [InlineData("tofu_forget_rouge")]
    public void Generated_tokens_are_the_most_probable_ones_by_the_reference(string task)
    {
        const int Tokens = 24;
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        var options = new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = Items, Shots = 0 };
        PreparedTask prepared = PreparedTask.Read(new TaskLibrary(), task, options, model.Tokenizer, model.Decoder.Config);
        TaskResult result = new Evaluator(model, options).Run(prepared);
        IReadOnlyList<int[]> drawn = new Generator(model.Decoder).Generate(
            prepared.Prompts, new GenerationOptions { MaxNewTokens = Tokens, StopIds = model.EndIds });
        ReferenceDecoder reference = Reference(model);
        Parallel.For(0, Items, i =>
        {
            // The pipeline's text begins as these tokens read, unless a stop string ended it before.
            string text = (string)result.Samples[i].Responses[0], begins = model.Tokenizer.Decode(drawn[i]);
            Assert.StartsWith(
                text.Length < begins.Length ? text : begins, text.Length < begins.Length ? begins : text, StringComparison.Ordinal);
            int[] prompt = prepared.Prompts[i];
            Assert.Equal(model.Tokenizer.Encode(result.Samples[i].Arguments[0].Context)[^prompt.Length..], prompt);
            double[][] logits = reference.Logits([.. prompt, .. drawn[i]]);
            for (int t = 0; t < drawn[i].Length; t++)
            {
                double[] at = logits[prompt.Length - 1 + t];
                Assert.True(at[drawn[i][t]] >= at.Max() - Tolerance, $"item {i}, token {t}");
            }
        });
    }

    // One request at a time, three of the longest, and sixty-four.
    [SharedDataTheory]
    [InlineData("truthfulqa_mc1", 6)]
    [InlineData("truthfulqa_mc2", 6)]
    [InlineData("boolq", 8)]
    [InlineData("qasc", 24)]
    [InlineData("sst5", 24)]
    [InlineData("tofu_world_facts", 24)]
    [InlineData("tofu_forget_probability", 24)]
    [InlineData("tofu_forget_rouge", 6)]
    public void Scores_are_the_same_bits_in_batches_of_1_3_and_64(string task, int items)
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(ModelPath, backend);
        var options = new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = items };
        PreparedTask prepared = PreparedTask.Read(new TaskLibrary(), task, options, model.Tokenizer, model.Decoder.Config);
        int longest = prepared.Prompts.Select(prompt => prompt.Length + prepared.Definition.MaxNewTokens)
            .Concat(prepared.Requests.SelectMany(of => of).Select(request => request.Context.Length + request.Continuation.Length)).Max();
        object[] Answers(int batchTokens) =>
            [.. new Evaluator(model, options with { BatchTokens = batchTokens }).Run(prepared).Samples.SelectMany(
                sample => sample.Responses)];

        object[] alone = Answers(1);
        Assert.Equal(alone, Answers(3 * longest));
        Assert.Equal(alone, Answers(64 * longest));
    }

    private static ReferenceDecoder Reference(LoadedModel model) =>
        new(model.Decoder.Config, ReferenceCheckpoint.Read(Path.Combine(ModelPath, "model.safetensors")));

    // By the definition, from the texts: nothing of the engine is used.
    private static (double Sum, bool IsGreedy) Expected(
        LoadedModel model, ReferenceDecoder reference, (string Context, string Continuation) pair, bool end)
    {
        Assert.False(char.IsWhiteSpace(pair.Context[^1]));
        int[] whole =
            [.. model.Tokenizer.Encode(pair.Context + pair.Continuation), .. end ? [model.Tokenizer.EosIds[0]] : Array.Empty<int>()];
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

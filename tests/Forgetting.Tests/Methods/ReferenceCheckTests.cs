using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

public sealed class ReferenceCheckTests : IDisposable
{
    private static readonly string[] s_names = ["Tom", "Lily", "Max", "Mia", "Ben", "Sue"], s_things = ["red", "sun", "cat", "big"];

    private readonly CpuBackend _backend = new(1);
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Responses_go_behind_the_next_other_prompt()
    {
        EncodedExample[] examples =
        [
            Of(0, [1, 2], [7]), // the next has the same prompt, the one after it the same response
            Of(1, [1, 2], [8]),
            Of(2, [3], [7]),
            Of(3, [4], [9, 9, 9]), // behind the next three prompts it would be longer than any example
            Of(4, [5, 5], [6]),
        ];

        // No example of text without a prompt, with two responses, with what is to be forgotten, or rejected.
        EncodedExample[] others =
        [
            new() { Index = 6, Ids = [1, 2, 3], Response = [true, true, true] },
            new() { Index = 7, Ids = [1, 2, 3, 4], Response = [false, true, false, true] },
            Of(8, [9], [9]) with { Given = [0, -1] },
            Of(9, [8], [9]) with { Rejected = true },
        ];
        (int[] own, EncodedExample[] exchanged) = ReferenceCheck.Exchange([.. others, .. examples]);

        Assert.Equal([0, 1, 2, 3, 4], own.Select(place => place - others.Length));
        Assert.Equal<int[]>([[4, 7], [3, 8], [4, 7], [3, 9, 9, 9], [1, 2, 6]], exchanged.Select(e => e.Ids));
        Assert.All(exchanged.Zip(own), pair => Assert.Equal(
            examples[pair.Second - others.Length].ResponseCount, pair.First.Response.SkipWhile(r => !r).Count(r => r)));
        Assert.Empty(ReferenceCheck.Exchange([]).Own);
        Assert.Empty(ReferenceCheck.Exchange([Of(0, [1], [2]), Of(1, [1], [3])]).Own);
    }

    [Fact]
    public void Of_many_examples_some_from_everywhere_are_looked_at()
    {
        (int[] own, _) = ReferenceCheck.Exchange([.. Enumerable.Range(0, 1000).Select(i => Of(i, [i], [2000 + i]))]);
        Assert.Equal(ReferenceCheck.MostExamples, own.Distinct().Count());
        Assert.Equal(0, own[0]);
        Assert.InRange(own[^1], 990, 999);
    }

    [SharedDataFact]
    public void A_reference_that_learnt_the_task_passes_and_one_that_did_not_is_warned_of()
    {
        string data = _folder.Write("data.jsonl", string.Concat(s_names.SelectMany(name => s_things.Select(
            (thing, i) => $"{{\"prompt\": \"{name} and {s_things[(i + 1) % 4]}:\", \"completion\": \" {thing} {name}\"}}\n"))));
        TuneSummary learnt = Run("learnt", 60, 5e-3), not = Run("not", 1, 1e-6);

        Assert.True(learnt.ReferenceCheck is { Examples: 24, Auc: > 0.9, Warning: null }, $"{learnt.ReferenceCheck}");
        Assert.Contains(
            "own response from another", ReportPage.Read(RunFiles.WriteReport(_folder["learnt"])), StringComparison.Ordinal);

        // Counted pair by pair, with losses of its own.
        Assert.Equal(Count(not), not.ReferenceCheck!.Auc, 1e-9);
        Assert.NotNull(new ReferenceCheck(24, 0.6).Warning);
        Assert.Contains("hardly learnt", new ReferenceCheck(24, 0.6).ToString(), StringComparison.Ordinal);

        TuneSummary Run(string name, int steps, double rate) => TuneRun.Execute(
            new TrainingOptions
            {
                Model = SharedData.Path("stories260K", "hf"), Out = _folder[name], Method = TrainingMethod.Ignore,
                Lora = new() { Rank = 0 }, Data = new() { Path = data }, Optimizer = new() { LearningRate = rate },
                Schedule = new() { BatchSize = 8, Steps = steps },
                TokenForgetting = new() { ReferenceData = data, Score = ScoreKind.Reference },
            },
            _backend);

        double Count(TuneSummary run)
        {
            using LoadedModel reference = LoadedModel.Load(Path.Combine(_folder["not"], "reference", "model"), _backend);
            IReadOnlyList<EncodedExample> examples =
                ExampleLoader.Load(data, reference.Tokenizer, reference.Decoder.Config, new TrainingOptions());
            double[] own = Losses(examples), other = Losses(ReferenceCheck.Exchange(examples).Exchanged);
            return own.SelectMany(a => other.Select(b => a < b ? 1 : a == b ? 0.5 : 0)).Average();

            double[] Losses(IReadOnlyList<EncodedExample> of) => [.. of.Select(e => Scorer.ResponseMean(
                [e], Scorer.Losses(reference.Decoder, [e], 4096, allTokens: false)).Mean)];
        }
    }

    private static EncodedExample Of(int index, int[] prompt, int[] response) => new()
    {
        Index = index, Ids = [.. prompt, .. response], Response = [.. prompt.Select(_ => false), .. response.Select(_ => true)],
    };
}

using Forgetting.Core;
using Forgetting.Methods;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

/// <summary>A method that is given as an object, against those of the library.</summary>
[Collection(CommandCollection.Name)]
public sealed class CustomMethodTests : IDisposable
{
    private static readonly TrainingExample[] s_examples =
        [.. Enumerable.Range(0, 6).Select(i => new TrainingExample($"Lily has {i + 2} cats and a", $" dog number {i}."))];

    private readonly TemporaryFolder _folder = new();

    private static string Stories => SharedData.Path("stories260K", "hf");

    public void Dispose() => _folder.Dispose();

    [SharedDataFact]
    public void Learning_everything_is_ordinary_fine_tuning_and_ignoring_halves_the_tokens()
    {
        double? plain = Tune(null, Options("plain") with { Method = TrainingMethod.Full }).LastStep.PositiveLoss;
        double? all = Tune(new Given((_, signs) => signs), Options("all")).LastStep.PositiveLoss;
        Assert.Equal(plain, all);
        Assert.Equal(
            File.ReadAllBytes(_folder["plain", "model", "model.safetensors"]),
            File.ReadAllBytes(_folder["all", "model", "model.safetensors"]));

        // Whether negative tokens are forgotten or ignored is the settings' to say.
        var even = new Given((_, signs) => [.. signs.Select(s => s.Select((sign, t) => (sbyte)(t % 2 == 0 ? -sign : sign)).ToArray())]);
        TuneSummary ignored = Tune(even, Options("ignored") with { Method = TrainingMethod.Ignore }),
            forgotten = Tune(even, Options("forgotten"));
        Assert.Equal((ignored.PositiveTokens, ignored.NegativeTokens), (forgotten.PositiveTokens, forgotten.NegativeTokens));
        Assert.True(ignored.NegativeTokens > 5);
        Assert.True(forgotten.LastStep.NegativeLoss > ignored.LastStep.NegativeLoss);
        Assert.Equal("given", forgotten.Method);
    }

    [SharedDataFact]
    public void A_stage_is_done_once_and_one_of_other_inputs_is_refused()
    {
        using var source = new CancellationTokenSource();
        var method = new Given((_, signs) => signs) { Value = "1", Done = source.Cancel };
        Assert.Throws<OperationCanceledException>(() => Tune(method, Options("run"), cancellation: source.Token));
        Assert.Equal(1, method.Times);

        var again = new Given((_, signs) => signs) { Value = "1" };
        Tune(again, Options("run"), resume: true);
        Assert.Equal(0, again.Times);

        UserException error =
            Assert.Throws<UserException>(() => Tune(new Given((_, signs) => signs) { Value = "2" }, Options("run"), resume: true));
        Assert.Contains("the stage note was begun with another value", error.Message, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void Signs_that_cannot_be_are_refused()
    {
        Refused("example 0 has 0 signs", (_, signs) => [[], .. signs.Skip(1)]);
        Refused("example 5 has 0 signs", (_, signs) => [.. signs.Take(5)]);
        Refused("the sign is 2, expected 1, 0 or -1", (_, signs) => [.. signs.Select(s => Array.ConvertAll(s, sign => (sbyte)(2 * sign)))]);
        Refused("the sign is 1, expected 0", (_, signs) => [.. signs.Select(s => Array.ConvertAll(s, _ => (sbyte)1))]);

        void Refused(string named, Func<MethodRun, IReadOnlyList<sbyte[]>, IReadOnlyList<sbyte[]>> signs) =>
            Assert.Contains(
                named, Assert.Throws<UserException>(() => Tune(new Given(signs), Options(named))).Message, StringComparison.Ordinal);
    }

    private static TuneSummary Tune(IMethod? method, TrainingOptions options, bool resume = false, CancellationToken cancellation = default)
    {
        using LanguageModel model = LanguageModel.Load(Stories, "cpu");
        return model.FineTune(s_examples, options, method: method, resume: resume, cancellation: cancellation).Summary;
    }

    private TrainingOptions Options(string folder) => new()
    {
        Out = _folder[folder], Schedule = new ScheduleSettings { BatchSize = 3, Epochs = 4 }, Lora = new LoraSettings { Rank = 0 },
        Optimizer = new OptimizerSettings { LearningRate = 1e-3 },
    };

    private sealed class Given(Func<MethodRun, IReadOnlyList<sbyte[]>, IReadOnlyList<sbyte[]>> signs) : IMethod
    {
        public string Value { get; init; } = "";

        public Action Done { get; init; } = () => { };

        public int Times { get; private set; }

        public string Name => "given";

        public string Folder => "given";

        public IReadOnlyList<MethodStage> Stages =>
        [
            new()
            {
                Name = "note", Result = "note.txt", Inputs = run => new Dictionary<string, string>(run.Inputs) { ["value"] = Value },
                Run = run =>
                {
                    Times++;
                    File.WriteAllText(Path.Combine(run.Folder, "note.txt"), Value);
                    Done();
                },
            },
        ];

        public MethodResult Apply(MethodRun run, MethodResult result) => result with { Signs = signs(run, result.Signs) };
    }
}

using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

public sealed class ReferenceQualityTests : IDisposable
{
    private readonly CpuBackend _backend = new(1);
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    // Unlikely response tokens have base losses 4 and 5; one at 2 and one outside the response do not count.
    [Theory]
    [InlineData(1, 2, 2 / 3.0, true)]
    [InlineData(4, 4, 1 / 9.0, false)]
    [InlineData(6, 5, -2 / 9.0, false)]
    public void Gain_is_over_unlikely_response_tokens(float first, float second, double gain, bool trusted)
    {
        EncodedExample[] examples =
        [
            new() { Index = 0, Ids = [1, 2, 3], Response = [false, true, true] },
            new() { Index = 1, Ids = [1, 2], Response = [false, true] },
        ];
        ReferenceQuality quality = new(0, 0, 0);
        for (int i = 1; i <= 5; i++)
        {
            // Few tokens say nothing for certain.
            Assert.Null(quality.Warning);
            quality = quality.With(examples[..1], [[9, 4, 2]], [[9, first, 7]]).With(examples[1..], [[8, 5]], [[8, second]]);
            Assert.Equal(2 * i, quality.Tokens);
        }

        Assert.Equal(gain, quality.Gain!.Value, 1e-9);
        Assert.Equal(trusted, quality.Warning is null);
    }

    [SharedDataFact]
    public void Examples_that_agree_foresee_each_other_better_than_others()
    {
        var random = new Random(1);
        string[] agreeing = [.. Enumerable.Range(0, 8).Select(_ => "zebra quartz fjord vex zebra quartz")];
        string[] other =
            [.. Enumerable.Range(0, 8).Select(_ => string.Concat(Enumerable.Range(0, 24).Select(_ => (char)('A' + random.Next(26)))))];
        string data = _folder.Write("data.jsonl", string.Concat(agreeing.Concat(other).Take(10).Select(Line)));
        TuneSummary good = Run("good", _folder.Write("good.jsonl", string.Concat(agreeing.Select(Line))), true),
            bad = Run("bad", _folder.Write("bad.jsonl", string.Concat(other.Select(Line))), true);

        // Even letters at random become less surprising; which one comes next does not.
        Assert.True(good.ReferenceQuality is { Warning: null, Gain: > 0.8 }, $"{good.ReferenceQuality}");
        Assert.True(
            bad.ReferenceQuality!.Gain < good.ReferenceQuality!.Gain - 0.15 && bad.ReferenceQuality.Tokens > 50, $"{bad.ReferenceQuality}");
        Assert.False(Directory.Exists(_folder["good", "reference-quality"]));
        Assert.Contains(
            "quality of the reference", ReportPage.Read(RunFiles.WriteReport(_folder["good"])), StringComparison.OrdinalIgnoreCase);

        // It measures and changes nothing.
        Run("plain", _folder["good.jsonl"], false);
        Assert.Equal(
            File.ReadAllBytes(_folder["plain", "model/model.safetensors"]), File.ReadAllBytes(_folder["good", "model/model.safetensors"]));

        string one = _folder.Write("one.jsonl", Line("alone"));
        Assert.Equal(
            "reference-quality: the reference has 1 example, expected at least 2, to train on one half and look at the other",
            Assert.Throws<UserException>(() => Run("one", one, true)).Message);

        static string Line(string text) => $"{{\"prompt\": \"say\", \"completion\": \"{text}\"}}\n";

        TuneSummary Run(string name, string reference, bool measures) => TuneRun.Execute(
            new TrainingOptions
            {
                Model = SharedData.Path("stories260K", "hf"), Out = _folder[name], Method = TrainingMethod.Ignore,
                Lora = new() { Rank = 0 }, Data = new() { Path = data }, Optimizer = new() { LearningRate = 2e-3 },
                Schedule = new() { BatchSize = 4, Steps = 12 },
                TokenForgetting = new() { ReferenceData = reference, ReferenceQuality = measures, Score = ScoreKind.Reference },
            },
            _backend);
    }

    [Fact]
    public void A_given_reference_has_no_examples_to_look_at()
    {
        var options =
            new TrainingOptions { Method = TrainingMethod.Ignore, TokenForgetting = new() { Reference = "r", ReferenceQuality = true } };
        Assert.Equal(
            "reference-quality is given with reference, expected reference-data or reference-fraction, whose examples it looks at",
            Assert.Throws<UserException>(options.Validate).Message);
    }
}

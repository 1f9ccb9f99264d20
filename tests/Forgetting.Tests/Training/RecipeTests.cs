using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public sealed class RecipeTests : IDisposable
{
    private readonly string _path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName() + ".yaml");

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void Defaults_are_the_papers()
    {
        var options = new TrainingOptions();
        options.Validate();
        Assert.Equal((64, 16, 0.1), (options.Lora.Rank, options.Lora.Alpha, options.Lora.Dropout));
        Assert.Equal((1e-4, 0.9, 0.999, 1e-8, 0, 0), (
            options.Optimizer.LearningRate, options.Optimizer.AdamBeta1, options.Optimizer.AdamBeta2, options.Optimizer.AdamEpsilon,
            options.Optimizer.WeightDecay, options.Optimizer.Clip));
        Assert.Equal((LrScheduleKind.Linear, 0.03, 1, 24, 2048), (
            options.Schedule.LrSchedule, options.Schedule.WarmupRatio, options.Schedule.Epochs, options.Schedule.BatchSize,
            options.Data.MaxLength));
        Assert.Equal(
            (LambdaKind.Linear, 1e-5, 0.25),
            (options.TokenForgetting.Lambda, options.TokenForgetting.LambdaMin, options.TokenForgetting.LambdaMax));
    }

    [Fact]
    public void What_is_written_reads_back()
    {
        TrainingOptions options = new()
        {
            Model = "models/a: b #1",
            Data = new() { Path = "true", NoShuffle = true },
            Method = TrainingMethod.Ignore,
            Schedule = new() { Steps = 12 },
            Optimizer = new() { LearningRate = 1e-5 },
            TokenForgetting = new() { LambdaMin = 1.25e-7, Rho = 0.5, Ascent = AscentKind.SatImp, Reference = "x" },
            Lora = new() { Targets = ["q_proj", "v_proj"] },
            Seed = ulong.MaxValue,
        };
        File.WriteAllText(_path, Recipe.Write(options));
        TrainingOptions back = Recipe.Read(
            _path, new TrainingOptions { TokenForgetting = new() { Scores = "from the command line" }, Schedule = new() { Epochs = 9 } });
        Assert.Equal(options.Lora.Targets, back.Lora.Targets);
        Assert.Equal(options.Data.Files, back.Data.Files);
        Assert.Equal(
            options with
            {
                Lora = options.Lora with { Targets = back.Lora.Targets },
                Data = options.Data with { Files = back.Data.Files, Weights = back.Data.Weights },
            }, back);
        Assert.Contains("learning-rate: 1.0E-05\n", File.ReadAllText(_path), StringComparison.Ordinal);
        Assert.Contains("\nscores: null\n", File.ReadAllText(_path), StringComparison.Ordinal);
        Assert.Equal(Recipe.Settings.Count, File.ReadAllLines(_path).Length);
    }

    [Fact]
    public void Paths_may_have_commas_and_what_a_run_writes_reads_back()
    {
        var options =
            new TrainingOptions { Method = TrainingMethod.Lwf, Unlearning = new() { Prompts = ["a, b.jsonl", "[c]: d.jsonl", "e.jsonl"] } };
        File.WriteAllText(_path, Recipe.Write(options));
        Assert.Equal(options.Unlearning.Prompts, Recipe.Read(_path, new TrainingOptions()).Unlearning.Prompts);
        File.WriteAllText(_path, "forget-prompts: a, b.jsonl\n");
        Assert.Equal(["a, b.jsonl"], Recipe.Read(_path, new TrainingOptions()).Unlearning.Prompts);
    }

    [Fact]
    public void The_record_of_an_earlier_version_is_read_and_its_names_are_refused_in_recipes()
    {
        File.WriteAllText(_path, "method: lwf\nforget: a.jsonl\ninterval: 7\nalpha: 0.5\nselect: low\n");
        UnlearningSettings settings = Recipe.ReadRun(_path).Unlearning;
        Assert.Equal((7, 0.5, SelectionKind.Low), (settings.Interval, settings.Alpha, settings.Select));
        Assert.Equal(["a.jsonl"], settings.Prompts);
        Assert.Equal(
            $"{_path}:2: forget is now called forget-prompts",
            Assert.Throws<UserException>(() => Recipe.Read(_path, new TrainingOptions())).Message);
    }

    [Fact]
    public void A_recipe_changes_only_what_it_names()
    {
        File.WriteAllText(_path, "# a comment\nrho: 0.6\nlora-targets: [q_proj, k_proj]\n\nno-shuffle: true\n");
        TrainingOptions options = Recipe.Read(_path, new TrainingOptions { Schedule = new() { Epochs = 3 } });
        Assert.Equal((0.6, 3, true), (options.TokenForgetting.Rho!.Value.Value, options.Schedule.Epochs, options.Data.NoShuffle));
        Assert.Equal(["q_proj", "k_proj"], options.Lora.Targets);
    }

    [Theory]
    [InlineData("rho: 0.5\nlearning-rte: 1e-4\n", ":2: \"learning-rte\" is no setting; the nearest is learning-rate")]
    [InlineData("\n\nepochs: two\n", ":3: epochs is \"two\", expected a whole number")]
    [InlineData("ascent: climb\n", ":1: ascent is \"climb\", expected ascent, weighted, satimp, npo, hinge, unlikelihood, entropy, belief")]
    [InlineData("rho:\n  deep: 1\n", ":1: rho is a Mapping, expected one value")]
    [InlineData("- rho\n", ":1: found a Sequence, expected lines of \"setting: value\"")]
    [InlineData("rho: 0.5\nrho: [0.6\n", ":")]
    [InlineData("rho: 0.5\nrho: 0.6\n", ":2: ")]
    public void A_bad_recipe_is_refused_with_its_line(string text, string expected)
    {
        File.WriteAllText(_path, text);
        var error = Assert.Throws<UserException>(() => Recipe.Read(_path, new TrainingOptions()));
        Assert.StartsWith(_path + expected, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_missing_recipe_is_named() =>
        Assert.StartsWith(
            "/nowhere.yaml: no such file", Assert.Throws<UserException>(() => Recipe.Read("/nowhere.yaml", new TrainingOptions())).Message,
            StringComparison.Ordinal);

    [Theory]
    [InlineData("rho", "1.5", "rho is 1.5, expected a number in (0, 1] or auto")]
    [InlineData("rho", "0", "rho is 0, expected a number in (0, 1] or auto")]
    [InlineData("batch-size", "0", "batch-size is 0, expected a whole number of at least 1")]
    [InlineData("learning-rate", "Infinity", "learning-rate is Infinity, expected a number above 0")]
    [InlineData("lambda-max", "0.000001", "lambda-max is 1.0E-06, expected a number not below lambda-min")]
    [InlineData("lora-dropout", "1", "lora-dropout is 1, expected a number in [0, 1)")]
    public void A_value_outside_its_range_is_refused(string name, string value, string expected)
    {
        TrainingOptions options = Recipe.Find(name)!.Apply(new TrainingOptions(), [value], "--" + name);
        Assert.Equal(expected, Assert.Throws<UserException>(options.Validate).Message);
    }

    [Fact]
    public void Two_sources_of_influence_are_refused()
    {
        TrainingOptions options = new() { TokenForgetting = new() { Scores = "a", Reference = "b" } };
        Assert.Equal(
            "reference and scores are both given, expected one source of influence",
            Assert.Throws<UserException>(options.Validate).Message);
    }

    [Fact]
    public void Exponents_of_an_ascent_are_the_sources_unless_given()
    {
        Assert.Equal(new Ascent(AscentKind.Belief, 0.1f, 1), new TrainingOptions().ResolveAscent());
        Assert.Equal(new Ascent(AscentKind.Ascent), new TrainingOptions { Compat = Compatibility.Paper }.ResolveAscent());
        Assert.Equal(new Ascent(AscentKind.Ascent), new TrainingOptions { Method = TrainingMethod.Lwf }.ResolveAscent());
        Assert.Equal(
            new Ascent(AscentKind.SatImp, 5, 1),
            new TrainingOptions { TokenForgetting = new() { Ascent = AscentKind.SatImp } }.ResolveAscent());
        Assert.Equal(
            new Ascent(AscentKind.Npo, 0.5f),
            new TrainingOptions { TokenForgetting = new() { Ascent = AscentKind.Npo, AscentBeta = 0.5 } }.ResolveAscent());
    }
}

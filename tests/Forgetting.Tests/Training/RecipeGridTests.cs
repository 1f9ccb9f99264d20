using Forgetting.Core;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public sealed class RecipeGridTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Recipes =>
        [.. Directory.GetFiles(Repository.Path("recipes"), "*.yaml").Select(f => Path.GetFileName(f))];

    [Theory]
    [MemberData(nameof(Recipes))]
    public void Every_recipe_is_valid_and_begins_with_its_command(string name)
    {
        string path = Path.Combine(Repository.Path("recipes"), name);
        IReadOnlyList<GridRun> runs = RecipeGrid.Read(path, new TrainingOptions()).Expand();
        Assert.All(runs, run => Assert.True(run.Options is { Model.Length: > 0, Data.Path.Length: > 0, Out.Length: > 0 }));
        Assert.StartsWith($"# forgetting run recipes/{name} --model ", File.ReadLines(path).First(), StringComparison.Ordinal);

        // Recipes with seeds are for comparing means.
        Assert.True(runs.Count == 1 || runs.Count(r => r.Options.Seed == 3) * 3 == runs.Count, $"{runs.Count} runs");
    }

    [Fact]
    public void Recipes_of_unlearning_are_valid_and_begin_with_their_command()
    {
        string[] paths = Directory.GetFiles(Repository.Path("recipes/unlearning"), "*.yaml");
        Assert.Equal(2, paths.Length);
        foreach (string path in paths)
        {
            IReadOnlyList<GridRun> runs = RecipeGrid.Read(path, new TrainingOptions()).Expand();
            Assert.Equal(path.EndsWith("answers.yaml", StringComparison.Ordinal) ? 5 : 4, runs.Count);
            Assert.All(runs, run => run.Options.Validate());
            Assert.StartsWith(
                $"# forgetting run recipes/unlearning/{Path.GetFileName(path)} --model ", File.ReadLines(path).First(),
                StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Evidence_has_ten_seeds_of_every_arm_and_paths_with_their_seed()
    {
        foreach (string path in Directory.GetFiles(Repository.Path("recipes/evidence"), "*.yaml"))
        {
            IReadOnlyList<GridRun> runs = RecipeGrid.Read(path, new TrainingOptions()).Expand();
            Assert.StartsWith($"# forgetting run recipes/evidence/{Path.GetFileName(path)} --out ", File.ReadLines(path)
                .First(), StringComparison.Ordinal);
            Assert.All(runs.GroupBy(r => Path.GetDirectoryName(r.Name)), arm => Assert.Equal(10, arm.Count()));
            Assert.All(runs, run => Assert.All(
                Recipe.Settings.Where(s => s.Name is "model" or "data" or "reference" or "reference-data" or "eval-data-dir")
                    .SelectMany(s => s.Paths(run.Options)),
                named => Assert.Contains($"-{run.Options.Seed}", named, StringComparison.Ordinal)));
        }
    }

    [Fact]
    public void Evidence_on_real_text_has_five_seeds_of_every_arm_and_paths_with_their_seed()
    {
        foreach (string path in Directory.GetFiles(Repository.Path("recipes/evidence/text"), "*.yaml"))
        {
            IReadOnlyList<GridRun> runs = RecipeGrid.Read(path, new TrainingOptions { Model = "m" }).Expand();
            Assert.StartsWith(
                $"# forgetting run recipes/evidence/text/{Path.GetFileName(path)} --model ", File.ReadLines(path).First(),
                StringComparison.Ordinal);
            Assert.All(runs.GroupBy(r => Path.GetDirectoryName(r.Name)), arm => Assert.Equal(5, arm.Count()));
            Assert.All(runs, run => run.Options.Validate());
            Assert.All(runs, run => Assert.All(
                Recipe.Settings.Where(s => s.Name is "data" or "reference-data" or "valid-data" or "eval-data-dir")
                    .SelectMany(s => s.Paths(run.Options)),
                named => Assert.Contains($"/{run.Options.Seed}", named, StringComparison.Ordinal)));
        }
    }

    [Fact]
    public void Methods_that_learn_all_leave_out_what_others_hold_out()
    {
        double?[] Shares(string more) => [.. RecipeGrid.Read(
            _folder.Write("grid.yaml", $"model: m\ndata: d\nout: runs\nsweep:\n  - method: [forget, full]\n{more}"), new TrainingOptions())
            .Expand()
            .Select(r => r.Options.TokenForgetting.ReferenceFraction)];
        Assert.Equal([null, 1.0 / 6], Shares(""));
        Assert.Equal([0.25, 0.25], Shares("reference-fraction: 0.25"));
        Assert.Equal([null, null], Shares("reference-data: r.jsonl"));

        // Nothing is the same for all where the share itself is tried.
        Assert.Equal([null, null, 0.1, 0.2], Shares("  - method: [ignore]\n    reference-fraction: [0.1, 0.2]\n"));
    }

    [Fact]
    public void A_grid_is_every_combination_with_every_seed()
    {
        string path =
            _folder.Write("grid.yaml", "out: runs\nepochs: 2\nsweep:\n  rho: [0.5, 0.7]\n  level: [token, sequence]\nseeds: [1, 2]\n");
        IReadOnlyList<GridRun> runs = RecipeGrid.Read(path, new TrainingOptions()).Expand([new(Recipe.Find("epochs")!, ["5"], "--epochs")]);
        Assert.Equal(8, runs.Count);
        Assert.Equal(Path.Combine("rho=0.5,level=sequence", "seed-2"), runs[3].Name);
        Assert.Equal(Path.Combine("runs", "rho=0.5,level=sequence", "seed-2"), runs[3].Options.Out);
        Assert.Equal((0.5, PartitionLevel.Sequence, 2ul, 5), (
            runs[3].Options.TokenForgetting.Rho!.Value.Value, runs[3].Options.TokenForgetting.Level, runs[3].Options.Seed,
            runs[3].Options.Schedule.Epochs));
    }

    [Fact]
    public void Grids_can_be_put_together_and_lists_be_swept()
    {
        string path = _folder.Write(
            "grid.yaml",
            "out: runs\nforget-prompts: [x]\nsweep:\n- method: [lwf]\n  forget-prompts: [[data/a.jsonl], [data/a.jsonl, "
                + "data/b.jsonl]]\n- method: [full]\n  forget-prompts: [\"\"]\n");
        IReadOnlyList<GridRun> runs = RecipeGrid.Read(path, new TrainingOptions()).Expand();
        Assert.Equal(
            ["method=lwf,forget-prompts=a", "method=lwf,forget-prompts=a+b", "method=full,forget-prompts=none"], runs.Select(r => r.Name));
        Assert.Equal(["data/a.jsonl", "data/b.jsonl"], runs[1].Options.Unlearning.Prompts);
        Assert.Empty(runs[2].Options.Unlearning.Prompts);
    }

    [Fact]
    public void Each_run_gets_of_the_settings_of_all_what_its_method_uses()
    {
        string path = _folder.Write("grid.yaml", "rho: 0.6\nlambda-max: 0.3\nsweep:\n  method: [full, ignore, forget]\n");
        IReadOnlyList<GridRun> runs = RecipeGrid.Read(path, new TrainingOptions()).Expand();
        Assert.Equal(
            [(null, 0.25), (0.6, 0.25), (0.6, 0.3)],
            runs.Select(r => (r.Options.TokenForgetting.Rho, r.Options.TokenForgetting.LambdaMax)));

        string none = _folder.Write("none.yaml", "rho: 0.6\nlambda-max: 0.3\nsweep:\n  method: [full, ignore]\n");
        Assert.Equal(
            $"{none}:2: lambda-max is 0.3: method full does not use it, expected method forget",
            Assert.Throws<UserException>(() => RecipeGrid.Read(none, new TrainingOptions()).Expand()).Message);
    }

    [Fact]
    public void A_recipe_without_a_grid_is_one_run_in_its_folder()
    {
        GridRun run = Assert.Single(RecipeGrid.Read(_folder.Write("one.yaml", "out: runs/one\n"), new TrainingOptions()).Expand());
        Assert.Equal(("", "runs/one"), (run.Name, run.Options.Out));
    }

    [Theory]
    [InlineData("sweep: 3\n", ":1: sweep is a Scalar, expected settings with lists of values")]
    [InlineData("\nsweep:\n  rho: 0.5\n", ":3: rho is a Scalar, expected a list of values")]
    [InlineData("sweep:\n  rh: [1]\n", ":2: \"rh\" is no setting; the nearest is rho")]
    [InlineData("sweep:\n  rho: [0.5, 2]\n", ": rho=2: rho is 2, expected a number in (0, 1] or auto")]
    [InlineData("sweep:\n  rho: [0.5, x]\n", ":2: rho is \"x\", expected a number or auto")]
    [InlineData("seeds: [1, -1]\n", ":1: seed is \"-1\", expected a whole number of at least 0")]
    [InlineData("seeds: []\n", ":1: seeds is a Sequence, expected a list of values")]
    [InlineData("seeds: [1, 1]\n", ": the run seed-1 is there twice")]
    public void A_bad_grid_is_refused(string text, string expected)
    {
        string path = _folder.Write("bad.yaml", text);
        Assert.Equal(path + expected, Assert.Throws<UserException>(() => RecipeGrid.Read(path, new TrainingOptions()).Expand()).Message);
    }

    [Fact]
    public void A_grid_is_no_recipe_of_one_run()
    {
        string path = _folder.Write("grid.yaml", "seeds: [1]\n");
        Assert.Equal(
            $"{path}:1: seeds makes this a grid of runs; execute it with forgetting run",
            Assert.Throws<UserException>(() => Recipe.Read(path, new TrainingOptions())).Message);
    }
}

using Forgetting.Core;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Reports;

public class CompareReportTests
{
    [Fact]
    public void Losses_are_means_over_the_last_steps_that_have_them()
    {
        // 20 learning steps, the last two of loss 3 and 1; unlearning before steps 5 and 10 only.
        ComparedRun lwf =
            Run(TrainingMethod.Lwf, 60, 0, step => step switch { 19 => 3, 20 => 1, _ => 9 }, step => step is 5 or 10 ? step : null);
        ComparedRun full = Run(TrainingMethod.Full, 60, 0, _ => 2, _ => null);
        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = CompareReport.Table([lwf, full]);
        int learnt = header.ToList().IndexOf("training loss"), forget = header.ToList().IndexOf("forget loss");
        Assert.Equal(("2", "10"), (rows[0][learnt], rows[0][forget]));
        Assert.Equal(("2", "–"), (rows[1][learnt], rows[1][forget]));
        Assert.Contains("Loss of samples being unlearnt", CompareReport.Build([lwf, full], []).ToString(), StringComparison.Ordinal);

        // Nothing about unlearning where no run does it.
        Assert.DoesNotContain("forget loss", CompareReport.Table([full]).Header);
        Assert.DoesNotContain("Loss of samples being unlearnt", CompareReport.Build([full], []).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Evaluations_of_the_last_step_and_the_best_one_are_columns()
    {
        ComparedRun plain = Run(TrainingMethod.Full, 60, 0), run = Run(TrainingMethod.Forget, 60, 0);
        run = run with
        {
            Metrics = [.. run.Metrics.Select(
                m => m.Step % 10 == 0 ? m with { Evaluation = new Dictionary<string, double> { ["boolq/acc"] = m.Step / 40.0 } } : m)],
            Summary = run.Summary with { Best = new BestStep(10, "boolq/acc", 0.75) },
        };
        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = CompareReport.Table([plain, run]);
        int last = header.ToList().IndexOf("boolq/acc"), best = header.ToList().IndexOf("best boolq/acc");
        Assert.Equal(("–", "–"), (rows[0][last], rows[0][best]));
        Assert.Equal(("0.5", "0.75 (step 10)"), (rows[1][last], rows[1][best]));
        Assert.DoesNotContain(CompareReport.Table([plain]).Header, name => name.Contains("boolq", StringComparison.Ordinal));

        // The page of the run says which model is where.
        string page = RunReport.Build("run", "", run.Metrics, [], default!, "", run.Summary.Best).ToString();
        Assert.Contains("Best by boolq/acc: 0.7500 after step 10; that model is in model-best.", page, StringComparison.Ordinal);
        Assert.Contains("10 (best)", page, StringComparison.Ordinal);
    }

    // Three methods of three seeds each, as a grid leaves them: folders end in seed-1, seed-2, seed-3 in all of them.
    [Fact]
    public void A_grid_has_a_row_and_a_curve_with_a_band_for_each_method()
    {
        ComparedRun[] runs =
            [.. new[] { TrainingMethod.Full, TrainingMethod.Ignore, TrainingMethod.Forget }.SelectMany(
                method => Enumerable.Range(1, 3).Select(seed =>
                {
                    ComparedRun run = Run(method, 60, 0, _ => seed);
                    TrainingOptions options =
                        run.Options with
                        {
                            Seed = (ulong)seed,
                            Out = $"grid/method={run.Folder}/seed-{seed}",
                            TokenForgetting = new() { ReferenceFraction = method == TrainingMethod.Full ? null : 1.0 / 6 },
                        };
                    return run with { Folder = options.Out, Options = options };
                }))];
        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = CompareReport.Table(runs);
        Assert.Equal(["full (3 seeds)", "ignore (3 seeds)", "forget (3 seeds)"], rows.Select(row => row[0]));
        Assert.Equal("2 ± 1", rows[0][header.ToList().IndexOf("training loss")]);
        Assert.Equal(["", "0.1667", "0.1667"], rows.Select(row => row[header.ToList().IndexOf("reference-fraction")]));
        Assert.DoesNotContain("method", header);

        string page = CompareReport.Build(runs, []).ToString();
        string curves = page[page.IndexOf("<figure>", StringComparison.Ordinal)..page.IndexOf("</figure>", StringComparison.Ordinal)];
        Assert.Equal(3, curves.Split("<polyline").Length - 1);
        Assert.Equal(3, curves.Split("<polygon class=\"band").Length - 1);
        Assert.Contains("# grid/method=ignore/seed-2", page, StringComparison.Ordinal);
        Assert.DoesNotContain("λ", page, StringComparison.Ordinal);
    }

    // Differences 0.1, 0.2 and 0.3: mean 0.2, standard error 0.1/√3, and 4.303 of these on either side.
    [Fact]
    public void A_metric_is_compared_seed_by_seed_with_intervals_and_worlds_of_their_own_are_seeds()
    {
        ComparedRun[] runs =
            [.. new[] { (TrainingMethod.Ignore, 0.0), (TrainingMethod.Forget, 0.1) }.SelectMany(
                arm => Enumerable.Range(10, 3).Select(seed =>
                {
                    ComparedRun run = Run(arm.Item1, 60, 0);
                    StepMetrics[] metrics = [.. run.Metrics];
                    metrics[^1] = metrics[^1] with
                    {
                        Evaluation = new Dictionary<string,
                        double> { ["t/acc"] = 0.5 + ((seed - 10) * 0.05) + (arm.Item2 * (seed - 9)) },
                    };
                    return run with
                    {
                        Metrics = metrics,
                        Options = run.Options with
                        {
                            Seed = (ulong)seed,
                            Model = $"worlds/model-{seed}",
                            Data = run.Options.Data with { Path = $"worlds/{seed}/d.jsonl" },
                        },
                    };
                }))];
        IReadOnlyList<RunGroup> groups = RunNames.Group(runs, out _);
        Assert.Equal(["ignore (3 seeds)", "forget (3 seeds)"], groups.Select(g => g.Label));
        SeedComparison comparison = Assert.Single(SeedComparison.From(groups));
        Assert.Equal(["forget (3 seeds)", "0.7500 ± 0.1500", "+0.2000 ± 0.0577 (3/0)", "-0.0484 to 0.4484", "0.2500"], comparison.Rows[1]);
        Assert.Null(CompareReport.DataNote(runs));
        string page = CompareReport.Build(runs, []).ToString();
        Assert.Contains("t/acc against ignore", page, StringComparison.Ordinal);
        Assert.Contains("forget (3 seeds): 0.2, -0.04843 to 0.4484", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<th>model</th>", page, StringComparison.Ordinal);
    }

    // Published two-sided 95 % points.
    [Theory]
    [InlineData(1, 12.706)]
    [InlineData(9, 2.262)]
    [InlineData(40, 2.021)]
    [InlineData(120, 1.980)]
    public void Intervals_are_by_Students_t(int degrees, double expected) =>
        Assert.Equal(expected, SeedComparison.Student95(degrees), 1e-3);

    [Fact]
    public void Runs_are_named_by_what_differs_and_folders_by_what_tells_them_apart()
    {
        ComparedRun a = Run(TrainingMethod.Forget, 60, 0);
        ComparedRun b = a with { Options = a.Options with { TokenForgetting = new() { Rho = 0.8, LambdaMax = 0.5 } } };
        ComparedRun c = a with { Options = a.Options with { TokenForgetting = new() { Rho = 0.8, LambdaMax = 0.1 } } };
        Assert.Equal(["lambda-max 0.25", "lambda-max 0.5", "lambda-max 0.1"], RunNames.Group([a, b, c], out IReadOnlyList<Setting> naming)
            .Select(g => g.Label));
        Assert.Equal(["lambda-max"], naming.Select(s => s.Name));

        Assert.Equal(["a/seed-1", "b/seed-1"], RunNames.Folders(["x/a/seed-1", "x/b/seed-1"]));
        Assert.Equal(["seed-1", "seed-2"], RunNames.Folders(["x/a/seed-1", "x/a/seed-2/"]));
    }

    [Fact]
    public void Runs_that_did_not_train_on_the_same_data_are_told_apart()
    {
        ComparedRun full = Run(TrainingMethod.Full, 60, 0), forget = Run(TrainingMethod.Forget, 50, 10),
            ignore = Run(TrainingMethod.Ignore, 50, 10);
        Assert.Null(CompareReport.DataNote([forget, ignore]));
        string note = CompareReport.DataNote([full, forget, ignore])!;
        Assert.StartsWith(
            "The runs did not train on the same data: full on 60 examples of d.jsonl; forget, "
                + "ignore on 50 examples of d.jsonl (10 more held out for the reference).",
            note, StringComparison.Ordinal);
        string page = CompareReport.Build([full, forget, ignore], []).ToString();
        Assert.Contains(note, ReportPage.WithoutLinks(page), StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_without_steps_or_data_is_refused_by_its_file()
    {
        using TemporaryFolder folder = new();
        folder.Write("run.yaml", Recipe.Write(new TrainingOptions { Data = new() { Path = "d.jsonl" } }));
        folder.Write("metrics.jsonl", "");
        Assert.Equal(
            $"{folder["metrics.jsonl"]}: holds no steps, expected those of a finished run",
            Assert.Throws<UserException>(() => ComparedRun.Read(folder.Path)).Message);
        folder.Write("run.yaml", "data: ''");
        Assert.Equal(
            $"{folder["run.yaml"]}: data is empty, expected the file that was learnt",
            Assert.Throws<UserException>(() => ComparedRun.Read(folder.Path)).Message);
        folder.Write("run.yaml", "data: \"a\\0b\"");
        Assert.EndsWith(
            "expected text without null characters", Assert.Throws<UserException>(() => ComparedRun.Read(folder.Path)).Message,
            StringComparison.Ordinal);
    }

    private static ComparedRun Run(
        TrainingMethod method, int examples, int held, Func<int, double>? loss = null, Func<int, double?>? forget = null)
    {
        StepMetrics[] metrics = [.. Enumerable.Range(1, 20).Select(step => new StepMetrics
        {
            Step = step, Loss = 1, PositiveLoss = loss?.Invoke(step) ?? 1, NegativeLoss = null, Lambda = 0, LearningRate = 1, GradNorm = 1,
            Tokens = 10, TokensPerSecond = 10, ElapsedSeconds = step, ForgetLoss = forget?.Invoke(step),
        })];
        string name = Recipe.Text(method);
        var summary = new TuneSummary
        {
            Method = name, Model = "m", Data = "d.jsonl", Examples = examples, HeldOut = held, Reference = null, PositiveTokens = 1,
            NegativeTokens = 0, Cut = null, Parameters = 1, TrainableParameters = 1, Steps = 20, ScoringSeconds = 0, TrainingSeconds = 1,
            ActivationBytes = 1, PeakMemoryBytes = 1, LastStep = metrics[^1],
        };
        return new(name, new TrainingOptions { Method = method, Data = new() { Path = "d.jsonl" }, Out = name }, metrics, summary);
    }
}

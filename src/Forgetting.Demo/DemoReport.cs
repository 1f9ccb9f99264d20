using System.Globalization;
using Forgetting.Methods;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Demo;

/// <summary>
/// The demo's page: for each scenario the table, what it says, and one seed in detail; at the end where forgetting should not be used.
/// </summary>
internal static class DemoReport
{
    private const int HeatMapExamples = 16;

    /// <summary>Builds the page.</summary>
    public static HtmlReport Build(DemoSettings settings, DemoRun run, IReadOnlyList<DemoResult> results)
    {
        var report = new HtmlReport(
            "Learning and forgetting at once",
            string.Create(
                CultureInfo.InvariantCulture,
                $"Small models that have read of {settings.People} people, fine-tuned on data that misleads in three ways, "
                    + $"and on a task that contradicts what they know. {settings.Seeds} worlds, each with a model of its own; "
                    + $"differences are paired over them."));
        report.Section("In short");
        foreach (string line in Summary(settings, results))
        {
            report.Paragraph(line);
        }

        foreach (Scenario scenario in DemoSettings.Scenarios)
        {
            Add(report, scenario, settings, run, results);
        }

        return report;
    }

    /// <summary>One sentence a scenario, and where forgetting should not be used.</summary>
    public static IReadOnlyList<string> Summary(DemoSettings settings, IReadOnlyList<DemoResult> results)
    {
        DemoTable Table(string name) => new(DemoSettings.Scenarios.Single(s => s.Name == name), results);
        string Belief(string name) => Table(name).Against(DemoSettings.Belief, DemoSettings.Ignore).ToText("0.0");
        string Ascent(string name) => Table(name).Against(DemoSettings.Forget, DemoSettings.Ignore).ToText("0.0");
        return
        [
            $"Independent errors: forgetting by belief {Belief("independent")} points over ignoring, plain ascent {Ascent("independent")}.",
            $"Misconceptions: by belief {Belief("misconception")}, plain ascent {Ascent("misconception")}.",
            $"Both at once: by belief {Belief("mixed")}, plain ascent {Ascent("mixed")}.",
            "A conflicting task, unlearnt by measured increase: "
                + $"{Table("conflict").Against("lwf, by increase", DemoSettings.Vanilla).ToText("0.0")} over ordinary fine-tuning, "
                + $"{Table("conflict").Against("lwf, by increase", "lwf, by confidence (the paper's)").ToText("0.0")} "
                + "over the paper's confidence.",
            "(Mean ± standard error of paired differences; in brackets the worlds in which it is better and worse.)",
            "Do not forget where the base never believed what is wrong, where the reference cannot be trusted, "
                + "or where the negatives are things that are right: ignore them.",
        ];
    }

    private static void Add(HtmlReport report, Scenario scenario, DemoSettings settings, DemoRun run, IReadOnlyList<DemoResult> results)
    {
        var table = new DemoTable(scenario, results);
        report.Section(scenario.Title, scenario.Story);
        report.Table(table.Header, table.Rows, table.Best);
        foreach (string line in table.Findings)
        {
            report.Paragraph(line);
        }

        string shown = scenario.Name == "conflict" ? "lwf, by increase" : DemoSettings.Belief;
        DemoResult detail = results.First(r => r.Scenario == scenario.Name && r.Arm == shown);
        TuneSummary summary = TuneSummary.Read(detail.Folder);
        if (summary.Diagnosis is { } diagnosis)
            report.Paragraph($"What the program said before training (first world): {diagnosis}.");

        IReadOnlyList<StepMetrics> metrics = RunFiles.Metrics(detail.Folder);
        if (summary.Unlearning is { } unlearning)
        {
            UnlearningReport.Add(report, metrics, unlearning, RunFiles.ReadSamples(detail.Folder, unlearning));
        }
        else
        {
            QuestionSets sets = run.QuestionsOf(scenario, run.WorldOf(settings.FirstSeed), settings.FirstSeed);
            report.Figures(
                Histogram(scenario, detail, sets, summary.Cut ?? double.NaN),
                Charts.Lines(
                    "Loss by part", "optimiser step", "cross-entropy (nats)",
                    [
                        RunReport.Curve(metrics, "tokens to learn", m => m.PositiveLoss, Charts.Learnt),
                        RunReport.Curve(metrics, "negative tokens", m => m.NegativeLoss, Charts.Forgotten),
                    ]));
            IReadOnlyList<ScoredText> scored = RunFiles.ReadScored(
                detail.Folder,
                (e, t) => NoiseDetection.IsPlanted(e, t, sets.Train) ? $"planted; the truth is {sets.Train[e.Index].Truth}" : "");
            report.Raw(TokenHeatMap.Scored(
                scored.Take(HeatMapExamples),
                new ScoreCut(PartitionLevel.Token, summary.Score ?? ScoreCut.Influence, summary.Cut).Scale(full: 3)));
        }

        report.Folded($"Settings of “{shown}” (run.yaml)", File.ReadAllText(Path.Combine(detail.Folder, "run.yaml")));
    }

    private static string Histogram(Scenario scenario, DemoResult result, QuestionSets sets, double cut)
    {
        var honest = new List<double>();
        var planted = new List<double>();
        foreach (ExampleScores example in ScoreFile.Read(Path.Combine(result.Folder, TokenForgettingMethod.ScoresName)))
        {
            for (int t = 0; t < example.Ids.Length - 1; t++)
            {
                if (example.Response[t] == 1)
                    (NoiseDetection.IsPlanted(example, t, sets.Train) ? planted : honest).Add((example.Score ?? example.Influence)[t]);
            }
        }

        string name = scenario.Score == ScoreKind.Influence ? "Influence of the answers" : "Reference loss of the answers";
        return Charts.Histogram(name, scenario.Score == ScoreKind.Influence ? "influence (nats)" : "−reference loss (nats)", "tokens",
            [new("true answers", honest, Charts.Learnt), new("planted answers", planted, Charts.Forgotten)], cut);
    }
}

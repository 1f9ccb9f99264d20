using System.Globalization;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Reports;

namespace Forgetting.Cli.Demo;

/// <summary>The first act's part of the demo's page: the table, what it says, and one seed in detail.</summary>
internal static class DemoReport
{
    private const int HeatMapExamples = 24;

    /// <summary>Adds the first act's sections.</summary>
    public static void Add(HtmlReport report, DemoSettings settings, DemoTable table, IReadOnlyList<DemoResult> results, QuestionSets firstSeed)
    {
        report.Section(
            "First act: token forgetting",
            string.Create(CultureInfo.InvariantCulture, $"A small model read the facts of an invented world and was then fine-tuned on questions about {firstSeed.Train.Count} of them, {100 * settings.Noise:0} % of whose answers belong to another question. Held-out questions are about others. Mean ± standard deviation over {settings.Seeds} seeds, each with a model pretrained anew."));
        report.Table(DemoTable.Header, table.Rows, table.Best);
        foreach (string line in Findings(table, settings))
        {
            report.Paragraph(line);
        }

        DemoResult Detail(string arm) => results.First(r => r.Arm?.Name == arm);
        DemoResult trusted = Detail("forget"), untrusted = Detail("forget, untrusted");
        report.Section(
            "What influence sees",
            "Influence of the answers' values in the first seed. Left: the reference was trained on clean answers; right: on answers as noisy as the training set's, so that it learnt the noise too.");
        report.Figures(Histogram("trusted reference", trusted, firstSeed), Histogram("untrusted reference", untrusted, firstSeed));
        RunReport.AddCurves(report, RunFolder.Metrics(trusted.Folder));

        report.Section(
            "Answers, token by token",
            "Training examples of the first seed under the trusted reference. Blue: the reference got better at the token; orange: worse. Underlined: in the negative set. Dashed outline: planted. Hover for the numbers.");
        IReadOnlyList<ScoredText> scored = RunFolder.ReadScored(trusted.Folder, (e, t) => NoiseDetection.IsPlanted(e, t, firstSeed.Train) ? $"planted; the truth is {firstSeed.Train[e.Index].Truth}" : "");
        report.Figures(TokenHeatMap.Render(
            [.. scored.Take(HeatMapExamples).Select(e => (string.Create(CultureInfo.InvariantCulture, $"#{e.Index}"), e.Tokens))], scale: 3));
        report.Folded("Settings of “forget” (run.yaml)", File.ReadAllText(Path.Combine(trusted.Folder, "run.yaml")));
    }

    /// <summary>What the numbers say, in sentences made from them, whichever way they fall.</summary>
    public static IReadOnlyList<string> Findings(DemoTable table, DemoSettings settings)
    {
        double chance = settings.Noise / 2;
        string Found(string arm) => string.Create(
            CultureInfo.InvariantCulture, $"ranks a planted value below a true one with probability {table.Mean(arm, r => r.Detection!.Auc):0.00}, and {100 * table.Mean(arm, r => r.Detection!.Precision):0} % of the negatives are planted (chance: {100 * chance:0} %)");
        return
        [
            $"With a trusted reference, influence {Found("forget")}. With an untrusted one it {Found("forget, untrusted")}.",
            Comparison(table, "forget", "full"),
            Comparison(table, "forget", "ignore"),
            Comparison(table, "forget, untrusted", "full"),
        ];
    }

    private static string Comparison(DemoTable table, string arm, string other)
    {
        double exact = 100 * (table.Mean(arm, r => r.Quality.ExactMatch) - table.Mean(other, r => r.Quality.ExactMatch));
        double loss = table.Mean(arm, r => r.Quality.Loss) - table.Mean(other, r => r.Quality.Loss);
        return string.Create(
            CultureInfo.InvariantCulture, $"“{arm}” against “{other}”: exact match {exact:+0.0;−0.0;0.0} points, held-out loss {loss:+0.000;−0.000;0.000} nats.");
    }

    private static string Histogram(string label, DemoResult result, QuestionSets sets)
    {
        var honest = new List<double>();
        var planted = new List<double>();
        foreach (ExampleScores example in ScoreFile.Read(Path.Combine(result.Folder, "scores.jsonl")))
        {
            for (int t = 0; t < example.Ids.Length - 1; t++)
            {
                if (example.Response[t] == 1)
                    (NoiseDetection.IsPlanted(example, t, sets.Train) ? planted : honest).Add(example.Influence[t]);
            }
        }

        double cut = Methods.TuneSummary.Read(result.Folder).Cut ?? double.NaN;
        return Charts.Histogram(label, $"influence (nats), {label}", "tokens", [("true answers", honest), ("planted answers", planted)], cut);
    }
}

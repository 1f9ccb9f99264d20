using System.Globalization;
using Forgetting.Reports;

namespace Forgetting.Cli.Demo;

/// <summary>The demo's results as a table: a row an arm, mean ± standard deviation over seeds.</summary>
internal sealed class DemoTable
{
    /// <summary>Column heads.</summary>
    public static readonly string[] Header = ["method", "reference", "ρ", "exact match %", "loss", "distinct-1", "distinct-2", "AUC", "precision", "recall"];

    private readonly List<IGrouping<string, DemoResult>> _arms;
    private readonly DemoSettings _settings;

    public DemoTable(IReadOnlyList<DemoResult> results, DemoSettings settings)
    {
        _settings = settings;
        _arms = [.. results.GroupBy(r => r.Arm?.Name ?? "base")];
    }

    /// <summary>Cells as they are to be read.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Rows => [.. _arms.Select(Row)];

    /// <summary>The best exact match and the lowest loss among the tuned arms.</summary>
    public IReadOnlySet<(int Row, int Column)> Best
    {
        get
        {
            int[] tuned = [.. Enumerable.Range(0, _arms.Count).Where(i => _arms[i].First().Arm != null)];
            return new HashSet<(int, int)>
            {
                (tuned.MaxBy(i => _arms[i].Average(r => r.Quality.ExactMatch)), 3),
                (tuned.MinBy(i => _arms[i].Average(r => r.Quality.Loss)), 4),
            };
        }
    }

    /// <summary>Mean of a quantity over the seeds of an arm.</summary>
    public double Mean(string arm, Func<DemoResult, double> quantity) => _arms.Single(a => a.Key == arm).Average(quantity);

    private string[] Row(IGrouping<string, DemoResult> arm)
    {
        Arm? kind = arm.First().Arm;
        bool scored = arm.First().Detection != null;
        return
        [
            arm.Key,
            !scored ? "" : kind!.Trusted ? "trusted" : "untrusted",
            !scored ? "" : (kind!.PaperRho ? Methods.TokenForgetting.Scores.DefaultRho : _settings.NoiseRho).ToString("0.0#", CultureInfo.InvariantCulture),
            Cell(arm, r => 100 * r.Quality.ExactMatch, "0.0"),
            Cell(arm, r => r.Quality.Loss, "0.000"),
            Cell(arm, r => r.Quality.Distinct1, "0.000"),
            Cell(arm, r => r.Quality.Distinct2, "0.000"),
            scored ? Cell(arm, r => r.Detection!.Auc, "0.00") : "",
            scored ? Cell(arm, r => r.Detection!.Precision, "0.00") : "",
            scored ? Cell(arm, r => r.Detection!.Recall, "0.00") : "",
        ];
    }

    private static string Cell(IEnumerable<DemoResult> arm, Func<DemoResult, double> quantity, string format) =>
        Statistics.MeanAndDeviation([.. arm.Select(quantity)], value => value.ToString(format, CultureInfo.InvariantCulture));
}

using System.Globalization;
using Forgetting.Core;
using Forgetting.Runs;

namespace Forgetting.Reports;

/// <summary>What runs did to held-out examples, each method tested against the first over the examples that both held out.</summary>
internal static class HeldOutComparison
{
    /// <summary>A row of the comparison.</summary>
    /// <param name="Name">The run, or runs that differ in the seed alone.</param>
    /// <param name="Before">Held-out loss of the model before training, mean over the runs.</param>
    /// <param name="After">The same after the last step.</param>
    /// <param name="Change">From the first row's runs to these, after the last step; null for the first, and
    /// where no example is the same.</param>
    public sealed record Row(string Name, IReadOnlyList<double> Before, IReadOnlyList<double> After, HeldOutChange? Change);

    /// <summary>Compares groups of runs; runs without held-out examples are left out.</summary>
    /// <param name="groups">Runs that differ in the seed alone, under a name.</param>
    /// <exception cref="UserException">A run's file of measurements is missing or malformed.</exception>
    public static IReadOnlyList<Row> Compare(IReadOnlyList<(string Name, IReadOnlyList<ComparedRun> Runs)> groups)
    {
        ArgumentNullException.ThrowIfNull(groups);
        List<Row> rows = [];
        IReadOnlyList<HeldOutExample>[]? first = null;
        foreach ((string name, IReadOnlyList<ComparedRun> runs) in groups)
        {
            ComparedRun[] held = [.. runs.Where(r => r.Summary.Valid != null)];
            if (held.Length == 0)
                continue;

            IReadOnlyList<HeldOutExample>[] after = [.. held.Select(r => HeldOutExample.Read(r.Folder, r.Metrics[^1].Step))];
            rows.Add(new Row(
                name,
                [.. held.Select(r => r.Summary.Valid!.Change.From)],
                [.. held.Select(r => r.Summary.Valid!.Change.To)],
                first is null ? null : HeldOutChange.Between(first, after)));
            first ??= after;
        }

        return rows;
    }

    /// <summary>The rows as a table, the header first.</summary>
    public static (IReadOnlyList<string> Header, IReadOnlyList<IReadOnlyList<string>> Rows) Table(IReadOnlyList<Row> rows) =>
    (
        ["held-out loss", "before", "after", "difference", "p", "examples"],
        [
            .. rows.Select(row => (IReadOnlyList<string>)
            [
                row.Name,
                Statistics.MeanAndDeviation(row.Before, Number),
                Statistics.MeanAndDeviation(row.After, Number),
                row.Change is { } change ? (change.To - change.From).ToString("+0.0000;-0.0000;0.0000", CultureInfo.InvariantCulture) : "–",
                row.Change is { } tested ? tested.PValue < 0.0001 ? "<0.0001" : Number(tested.PValue) : "–",
                row.Change is { } of ? string.Create(CultureInfo.InvariantCulture, $"{of.Examples} (+{of.Worse} −{of.Better})") : "–",
            ]),
        ]
    );

    /// <summary>A sentence for each row but the first, and what the numbers mean.</summary>
    public static IReadOnlyList<string> Notes(IReadOnlyList<Row> rows)
    {
        ArgumentNullException.ThrowIfNull(rows);
        return rows.Count < 2
            ? []
            :
            [
                .. rows.Skip(1).Select(row => Verdict(row, rows[0].Name)),
                "Differences are to the first row, over the held-out examples that both have, weighted by their response tokens; "
                    + "p is that of a paired permutation test over these "
                    + "examples, two-sided and not corrected for the number of comparisons. "
                    + "+ counts examples with a higher loss, − those with a lower one.",
            ];
    }

    private static string Verdict(Row row, string first) => row.Change is not { } change
        ? $"{row.Name} and {first} have no held-out example in common."
        : string.Create(
            CultureInfo.InvariantCulture, $"{row.Name} leaves a held-out loss of {change.To:0.0000}, {first} one of {change.From:0.0000}: ")
            + (change.Rose ? $"it does harm here ({change.Test})."
                : change.Fell ? $"it helps here ({change.Test})."
                : $"the difference is no more than chance ({change.Test}).");

    private static string Number(double value) => value.ToString("0.0000", CultureInfo.InvariantCulture);
}

using System.CommandLine;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.IO;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting compare</c>: several runs or evaluations side by side.</summary>
internal static class CompareCommand
{
    public static Subcommand Entry { get; } = new(
        "compare",
        "Put finished runs side by side, and evaluations with a paired test against the first.",
        Fill);

    private static void Fill(Command command)
    {
        var folders = new Argument<string[]>("folders")
        {
            Description = "folders of finished runs of tune, and of eval (with --log-samples for a test on the same documents); "
                + "of a folder that holds neither, all finished ones below it",
            Arity = ArgumentArity.OneOrMore,
        };
        var output = new Option<string?>("--out") { Description = "HTML report to write", HelpName = "FILE" };
        var against = new Option<string?>("--against")
        {
            Description = "the row that others are compared with, or words of its name; the first unless given",
            HelpName = "NAME",
        };
        Option<bool> overwrite = CommonOptions.Overwrite(), json = CommonOptions.Json();
        command.Fill(folders, output, against, overwrite, json);
        command.SetAction(parsed =>
        {
            string[] paths = [.. parsed.GetValue(folders)!.SelectMany(Descend).DistinctBy(Path.GetFullPath)];
            using OutputClaim? claim = parsed.GetValue(output) is { } file ? OutputClaim.OfFile(file, parsed.GetValue(overwrite)) : null;

            ComparedRun[] runs = [.. paths.Where(ComparedRun.IsIn).Select(ComparedRun.Read)];
            if (parsed.GetValue(against) is { } baseline)
                runs = First(runs, baseline);

            IReadOnlyList<ComparedMetric> evaluations =
                EvaluationComparison.Compare([.. paths.Where(path => !ComparedRun.IsIn(path)).Select(EvaluationOutput.Read)]);
            if (parsed.GetValue(output) is { } report)
                AtomicFile.WriteText(report, CompareReport.Build(runs, evaluations).ToString());

            if (parsed.GetValue(json))
                PrintJson(runs, evaluations);
            else
                Print(runs, evaluations, parsed.GetValue(output));
        });
    }

    // The runs with those of one row before the others.
    private static ComparedRun[] First(ComparedRun[] runs, string baseline)
    {
        IReadOnlyList<RunGroup> groups = runs.Length == 0 ? [] : RunNames.Group(runs, out _);
        RunGroup[] meant = [.. groups.Where(g => g.Name == baseline)];
        meant = meant.Length > 0 ? meant : [.. groups.Where(g => g.Name.Contains(baseline, StringComparison.Ordinal))];
        return meant is [var one]
            ? [.. one.Runs, .. runs.Except(one.Runs)]
            : throw new UserException(
                $"--against: \"{baseline}\" is the name of {(meant.Length == 0 ? "no row" : $"{meant.Length} rows")}, "
                + $"expected one of {string.Join("; ", groups.Select(g => g.Name))}");
    }

    // A folder of runs stands for the runs in it, such as that of a grid. What is inside a run, a reference or
    // a stage, is not a run of the grid.
    private static IEnumerable<string> Descend(string folder)
    {
        if (ComparedRun.IsIn(folder) || EvaluationOutput.IsIn(folder))
            return [folder];

        string[] below = Directory.Exists(folder) ? [.. Below(folder)] : [];
        return below.Length > 0 ? below : throw new UserException(
            $"{folder}: holds no run and no evaluation: expected run.yaml or results_*.json in it or in folders below");
    }

    private static IEnumerable<string> Below(string folder)
    {
        foreach (string inner in Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal))
        {
            if (ComparedRun.IsFinishedIn(inner) || EvaluationOutput.IsIn(inner))
            {
                yield return inner;
            }
            else if (ComparedRun.IsIn(inner))
            {
                Console.Error.WriteLine($"{inner}: left out, the run is not finished");
            }
            else if (new DirectoryInfo(inner).LinkTarget is null)
            {
                foreach (string found in Below(inner))
                {
                    yield return found;
                }
            }
        }
    }

    private static void Print(ComparedRun[] runs, IReadOnlyList<ComparedMetric> evaluations, string? report)
    {
        if (runs.Length > 0)
        {
            (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = CompareReport.Table(runs);
            Terminal.PrintTable(header, rows);
            if (CompareReport.DataNote(runs) is { } note)
                Console.Out.WriteLine(note);

            foreach (SeedComparison comparison in SeedComparison.From(RunNames.Group(runs, out _)))
            {
                Terminal.PrintTable(comparison.Header, comparison.Rows);
            }

            PrintHeldOut(CompareReport.HeldOut(runs));
        }

        if (evaluations.Count > 0)
        {
            (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = EvaluationComparison.Table(evaluations);
            Terminal.PrintTable(header, rows);
            foreach (string note in EvaluationComparison.Notes(evaluations))
            {
                Console.Out.WriteLine(note);
            }
        }

        if (report != null)
            Console.Out.WriteLine($"report: {report}");
    }

    private static void PrintHeldOut(IReadOnlyList<HeldOutComparison.Row> held)
    {
        if (held.Count == 0)
            return;

        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = HeldOutComparison.Table(held);
        Terminal.PrintTable(header, rows);
        foreach (string note in HeldOutComparison.Notes(held))
        {
            Console.Out.WriteLine(note);
        }
    }

    private static void PrintJson(ComparedRun[] runs, IReadOnlyList<ComparedMetric> evaluations) =>
        Console.Out.WriteLine(JsonSerializer.Serialize(
            new
            {
                Runs = runs.Select(run => new
                {
                    run.Folder,
                    Settings = Recipe.Values(
                run.Options),
                    run.Summary
                }),
                HeldOut = CompareReport.HeldOut(runs),
                Evaluations = evaluations
            }, Json.Compact));
}

using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting run</c>: executes recipes, or grids of them.</summary>
internal static class RunCommand
{
    public static Subcommand Entry { get; } = new(
        "run",
        "Execute recipes; finished runs are kept and interrupted ones continued. References, "
            + "scores and stages of learning with forgetting that runs have in common are computed once.",
        Fill);

    private static void Fill(Command command)
    {
        var recipes = new Argument<string[]>("recipes")
        {
            Description = "YAML files with settings, and with sweep: or seeds: for a grid; of a folder all in it",
            Arity = ArgumentArity.OneOrMore,
        };
        var list = new Option<bool>("--list") { Description = "say what would run, and run nothing" };
        command.Fill(recipes, list);
        var set = new Option<string[]>("--set")
        {
            Description = "a setting before those of the recipes, the same as --KEY VALUE; may be given several times",
            HelpName = "KEY=VALUE",
            DefaultValueFactory = _ => [],
        };
        var settings = new SettingsOptions(
            command, new TrainingOptions(), Recipe.Settings.Select(s => s.Name), recipe: true, required: ["model", "data", "out"]);
        command.Options.Add(set);
        command.SetAction(parsed =>
        {
            List<GridRun> runs = Expand(
                [.. parsed.GetValue(recipes)!.SelectMany(Recipes)], [.. settings.Given(parsed), .. Pairs(parsed.GetValue(set)!)], settings);
            if (parsed.GetValue(list))
            {
                foreach (GridRun run in runs)
                {
                    Console.Out.WriteLine(run.Options.Out);
                }

                return 0;
            }

            int exit = 0;
            using var interruption = new Interruption();
            string[] folders = [.. runs.Select(r => r.Options.Out)];
            foreach (GridRun run in runs)
            {
                try
                {
                    exit = Math.Max(exit, Execute(run.Options, folders, interruption.Token));
                }
                catch (UserException error) when (runs.Count > 1)
                {
                    // What one arm cannot do, another may.
                    exit = CommandLine.Fail($"{run.Options.Out}: {error.Message}");
                }
            }

            if (runs.Count > 1)
            {
                string common = CommonFolder(runs);
                Console.Out.WriteLine(
                    $"forgetting compare {(common.Length > 0 ? common : string.Join(' ', folders))} --out "
                    + $"{Path.Combine(common, "compare.html")}");
            }

            return exit;
        });
    }

    private static IEnumerable<string> Recipes(string path)
    {
        if (!Directory.Exists(path))
            return [path];

        string[] files = [.. Directory.EnumerateFiles(path, "*.yaml").Order(StringComparer.Ordinal)];
        return files.Length > 0 ? files : throw new UserException($"{path}: holds no recipe, expected files ending in .yaml");
    }

    // The settings that --set names; a list has as many values as it is named.
    private static IEnumerable<GivenSetting> Pairs(string[] pairs)
    {
        foreach (IGrouping<string, string> values in pairs.GroupBy(pair => pair.Split('=')[0]))
        {
            if (values.Any(pair => !pair.Contains('=', StringComparison.Ordinal)))
                throw new UserException($"--set is \"{values.Key}\", expected KEY=VALUE");

            Setting setting = Recipe.Find(values.Key)
                ?? throw new UserException(
                    $"--set: \"{values.Key}\" is no setting; "
                    + $"the nearest is {Spelling.Nearest(values.Key, Recipe.Settings.Select(s => s.Name))}");
            yield return new GivenSetting(setting, [.. values.Select(pair => pair[(values.Key.Length + 1)..])], $"--set {values.Key}");
        }
    }

    private static List<GridRun> Expand(string[] recipes, IReadOnlyList<GivenSetting> given, SettingsOptions settings)
    {
        var runs = new List<GridRun>();
        foreach (string recipe in recipes)
        {
            // Several recipes with one --out: a folder below it each.
            IEnumerable<GivenSetting> own = given.Select(g => recipes.Length > 1 && g.Setting.Name == "out"
                ? g with { Values = [Path.Combine(g.Values[0], Path.GetFileNameWithoutExtension(recipe))] }
                : g);
            runs.AddRange(RecipeGrid.Read(recipe, new TrainingOptions()).Expand([.. own]));
        }

        foreach (GridRun run in runs)
        {
            settings.CheckRequired(run.Options);
        }

        string? twice = runs.GroupBy(r => r.Options.Out).FirstOrDefault(g => g.Count() > 1)?.Key;
        return twice is null ? runs : throw new UserException($"{twice}: two recipes would run in this folder; give them different out");
    }

    private static int Execute(TrainingOptions options, string[] grid, CancellationToken cancellation)
    {
        bool begun = File.Exists(Path.Combine(options.Out, Runs.RunFolder.RecordName));
        if (begun && File.Exists(Path.Combine(options.Out, TuneSummary.FileName)))
        {
            CheckSame(options);
            Console.Out.WriteLine($"{options.Out}: done before");
            return CommandLine.ExitCode(TuneSummary.Read(options.Out));
        }

        using IBackend backend = Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products);
        TuneSummary summary = TuneRun.Execute(options, backend, resume: begun, new TerminalProgress(), grid, cancellation: cancellation);
        RunFiles.WriteReport(options.Out);
        string best = summary.Best is { } b ? FormattableString.Invariant($"; best after step {b.Step}: {b.Metric} {b.Value:0.0000}") : "";
        Console.Out.WriteLine(
            FormattableString.Invariant($"{options.Out}: {summary.Steps} steps, loss at the end {RunFiles.LastLoss(summary)}{best}"));
        return CommandLine.ExitCode(summary);
    }

    // A recipe that was edited since must not pass for the one that made the results. Settings that a run fills
    // in itself are empty in the recipe.
    private static void CheckSame(TrainingOptions options)
    {
        TrainingOptions done = Recipe.ReadRun(Path.Combine(options.Out, "run.yaml"));
        foreach (Setting setting in Recipe.Settings.Where(s => s.Name != "out" && !s.IsResolved))
        {
            // The record has absolute paths.
            (string wanted, string found) = (setting.Read(setting.MapPaths(options, Path.GetFullPath)), setting.Read(done));
            if (wanted.Length > 0 && wanted != found)
            {
                throw new UserException(
                    $"{options.Out}: holds a finished run with {setting.Name} {found}, expected {wanted}; choose another out or remove it");
            }
        }
    }

    private static string CommonFolder(List<GridRun> runs)
    {
        string[][] parts = [.. runs.Select(r => r.Options.Out.Split(Path.DirectorySeparatorChar))];
        int common = 0;
        while (parts.All(p => common < p.Length - 1 && p[common] == parts[0][common]))
        {
            common++;
        }

        return string.Join(Path.DirectorySeparatorChar, parts[0][..common]);
    }
}

using System.Globalization;
using System.Text.RegularExpressions;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>Runs that differ in nothing but the seed.</summary>
/// <param name="Name">What tells them from the others.</param>
/// <param name="Runs">At least one.</param>
/// <param name="Options">Their settings, with <see cref="RecipeGrid.SeedPlace"/> in paths that have the seed.</param>
internal sealed record RunGroup(string Name, IReadOnlyList<ComparedRun> Runs, TrainingOptions Options)
{
    /// <summary>The name, and how many runs it stands for where that is more than one.</summary>
    public string Label =>
        Runs.Count == 1
        ? Name
        : string.Create(CultureInfo.InvariantCulture, $"{Name} ({Runs.Count} {(Seeds == Runs.Count ? "seeds" : "runs")})");

    private int Seeds => Runs.Select(r => r.Options.Seed).Distinct().Count();
}

/// <summary>Short names for runs and folders that are shown side by side.</summary>
internal static class RunNames
{
    // Beyond it the folder says as much in less.
    private const int LongestName = 60;

    /// <summary>The settings that make a method, in which runs may differ.</summary>
    public static IReadOnlyList<Setting> Settings { get; } = [.. Recipe.Settings.Where(s => s.IsIdentity)];

    /// <summary>The runs by their settings, named by the fewest of the settings in which they differ.</summary>
    /// <param name="naming">The settings that the names are made of; empty where they are made of folders.</param>
    public static IReadOnlyList<RunGroup> Group(IReadOnlyList<ComparedRun> runs, out IReadOnlyList<Setting> naming)
    {
        ComparedRun[][] groups =
            [.. runs.GroupBy(r => string.Join('\n', Settings.Select(s => s.Read(Options(r, runs))))).Select(g => g.ToArray())];
        TrainingOptions[] options = [.. groups.Select(g => Options(g[0], runs))];
        naming = Telling(options);
        Setting[] used = [.. naming];
        string[] names = [.. options.Select(own => string.Join(", ", used.Select(s => Named(s, own))))];
        if (used.Length == 0 || names.Any(name => name.Length > LongestName) || names.Distinct().Count() < names.Length)
        {
            naming = [];
            names = [.. Folders([.. groups.Select(g => g.Length > 1 ? WithoutSeed(g[0]) : g[0].Folder)])];
            if (groups is [{ Length: > 1 }])
                names = [groups[0][0].Options.Method.Name];
        }

        return [.. groups.Select((g, i) => new RunGroup(names[i], g, options[i]))];
    }

    // A grid's folder of an arm, in which each seed has its own.
    private static string WithoutSeed(ComparedRun run)
    {
        string folder = Path.TrimEndingDirectorySeparator(run.Folder);
        return Path.GetFileName(folder) == $"seed-{Recipe.Text(run.Options.Seed)}" && Path.GetDirectoryName(folder) is { Length: > 0 } arm
            ? arm
            : folder;
    }

    // Worlds of their own have the seed in their paths, as recipes write it.
    private static TrainingOptions Options(ComparedRun run, IReadOnlyList<ComparedRun> runs)
    {
        if (runs.Select(r => r.Options.Seed).Distinct().Count() == 1)
            return run.Options;

        string seed = Recipe.Text(run.Options.Seed);
        return Recipe.MapPaths(run.Options, path => Regex.Replace(path, $"(?<![0-9A-Za-z.]){seed}(?![0-9A-Za-z])", RecipeGrid.SeedPlace));
    }

    /// <summary>The last parts of paths, as many as it takes to tell them apart.</summary>
    public static IReadOnlyList<string> Folders(IReadOnlyList<string> paths)
    {
        string[][] parts = [.. paths.Select(
            path => path.Split([Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries))];
        for (int count = 1; count < parts.Max(p => p.Length); count++)
        {
            string[] names = [.. parts.Select(p => string.Join('/', p.TakeLast(count)))];
            if (names.Distinct().Count() == names.Length)
                return names;
        }

        return paths;
    }

    /// <summary>A setting's value as people read it: numbers with four digits, of paths the last part.</summary>
    public static string Value(Setting setting, TrainingOptions options)
    {
        string text = setting.Read(options);
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && text.Length > 6
            ? Svg.Value(number)
            : text.Contains('/', StringComparison.Ordinal)
            ? string.Join(", ", text.Split(',').Select(part => Path.GetFileName(Path.TrimEndingDirectorySeparator(part.Trim()))))
            : text;
    }

    // A method's name says what it is; a setting's needs its own.
    private static string Named(Setting setting, TrainingOptions options) => Value(setting, options) switch
    {
        "" => $"no {setting.Name}",
        var value when setting.Name == "method" => value,
        var value => $"{setting.Name} {value}",
    };

    // In the order of the settings, each that tells apart what those before do not.
    private static Setting[] Telling(TrainingOptions[] runs)
    {
        var used = new List<Setting>();
        int Told(IEnumerable<Setting> settings) => runs.Select(r => string.Join('\n', settings.Select(s => s.Read(r)))).Distinct().Count();
        foreach (Setting setting in Settings)
        {
            if (Told([.. used, setting]) > Told(used))
                used.Add(setting);
        }

        // One that came early may say nothing that the others do not.
        foreach (Setting setting in used.ToArray())
        {
            if (Told(used.Where(s => s != setting)) == runs.Length)
                used.Remove(setting);
        }

        return [.. used];
    }
}

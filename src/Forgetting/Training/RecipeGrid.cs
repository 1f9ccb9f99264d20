using System.Globalization;
using Forgetting.Core;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Training;

/// <summary>One run of a grid.</summary>
/// <param name="Name">Folder below the grid's: <c>setting=value,…/seed-N</c>; empty where the recipe is a single run.</param>
/// <param name="Options">Its settings; <c>out</c> is its own folder.</param>
internal sealed record GridRun(string Name, TrainingOptions Options);

/// <summary>
/// A recipe with, besides settings, <c>sweep:</c> (values to try, a list for each setting; or a list of such mappings, whose grids are put
/// together) and <c>seeds:</c>. A recipe without either is a grid of one run. In paths <c>{seed}</c> stands for a run's seed. Where methods
/// that learn everything are beside some that hold out a share of the data for their reference, they leave out the same share.
/// </summary>
internal sealed class RecipeGrid
{
    internal const string SweepKey = "sweep";
    internal const string SeedsKey = "seeds";

    /// <summary>Stands for the run's seed in paths.</summary>
    internal const string SeedPlace = "{seed}";

    private readonly string _path;
    private readonly TrainingOptions _defaults;
    private readonly List<GivenSetting> _given = [];
    private readonly List<Axis[]> _sweeps = [];
    private readonly Axis? _seeds;

    private RecipeGrid(string path, TrainingOptions defaults)
    {
        _path = path;
        _defaults = defaults;
        foreach ((YamlNode key, YamlNode value) in Recipe.Load(path))
        {
            switch ((key as YamlScalarNode)?.Value)
            {
                case SweepKey when value is YamlMappingNode mapping:
                    _sweeps.Add(Axes(mapping));
                    break;
                case SweepKey when value is YamlSequenceNode list && list.Children.All(c => c is YamlMappingNode):
                    _sweeps.AddRange(list.Children.Select(c => Axes((YamlMappingNode)c)));
                    break;
                case SweepKey:
                    throw new UserException(
                        $"{Recipe.Place(path, key)}: sweep is a {value.NodeType}, expected settings with lists of values");
                case SeedsKey:
                    _seeds = ReadAxis(key, value, Recipe.Find("seed")!);
                    break;
                case Recipe.ProvenanceKey:
                    break;
                default:
                    Setting setting = Recipe.FindSetting(path, key);
                    string named = $"{Recipe.Place(path, key)}: {setting.Name}";
                    _given.Add(new GivenSetting(setting, Recipe.Values(path, setting, value, named), named));
                    break;
            }
        }
    }

    /// <summary>Reads a recipe.</summary>
    /// <exception cref="UserException">It is missing or malformed; names file, line and key.</exception>
    public static RecipeGrid Read(string path, TrainingOptions defaults) => new(path, defaults);

    /// <summary>
    /// All runs of the grid, each checked. Where runs have different methods, each gets of the settings of all what it uses.
    /// </summary>
    /// <param name="given">Settings from elsewhere that come before the recipe's; or null.</param>
    /// <exception cref="UserException">
    /// A combination of settings is not valid, or is there twice; a setting is of no use to any run; a
    /// swept setting is given from elsewhere.
    /// </exception>
    public IReadOnlyList<GridRun> Expand(IReadOnlyList<GivenSetting>? given = null)
    {
        GivenSetting[] all = [.. _given, .. given ?? []];
        TrainingOptions options = all.Aggregate(_defaults, (o, g) => g.Apply(o));
        if (given?.FirstOrDefault(g => Swept.Contains(g.Setting)) is { } both)
            throw new UserException($"{both.Named} is given, and {_path} has runs for several values of it; expected one of the two");

        var runs = new List<GridRun>();
        foreach (Axis[] sweep in _sweeps.Count == 0 ? [[]] : _sweeps)
        {
            Add(runs, options, sweep, "");
        }

        foreach (GivenSetting setting in all.Where(
            g => g.Setting.Read(options).Length > 0 && !runs.Exists(r => g.Setting.WhyUnused(r.Options) is null)))
        {
            setting.Setting.CheckUsed(runs[0].Options, setting.Named);
        }

        HashSet<Setting> swept = [.. Swept];
        for (int i = 0; i < runs.Count; i++)
        {
            TrainingOptions own = all.Select(g => g.Setting).Where(s => !swept.Contains(s)).Aggregate(
                runs[i].Options, (o, s) => s.WhyUnused(o) is null ? o : s.Reset(o));
            runs[i] = runs[i] with
            {
                Options = Recipe.MapPaths(own, path => path.Replace(SeedPlace, Recipe.Text(own.Seed), StringComparison.Ordinal)),
            };
        }

        EqualizeData(runs);
        runs.ForEach(Check);

        string? twice = runs.GroupBy(r => r.Name).FirstOrDefault(g => g.Count() > 1)?.Key;
        return twice is null ? runs : throw new UserException($"{_path}: the run {twice} is there twice");
    }

    // Methods that hold a share of the data out for their reference are compared with others on the rest of it.
    private static void EqualizeData(List<GridRun> runs)
    {
        double?[] shares = [.. runs.Select(r => r.Options)
            .Where(o => o.ScoresTokens)
            .Select(o => o.TokenForgetting is { Reference: null, ReferenceData: null, Scores: null } forgetting
                ? forgetting.ReferenceFraction ?? TokenForgettingSettings.DefaultReferenceFraction
                : (double?)null).Distinct()];
        if (shares is not [{ } share])
            return;

        for (int i = 0; i < runs.Count; i++)
        {
            TrainingOptions options = runs[i].Options;
            if (options.LearnsAll && options.TokenForgetting.ReferenceFraction is null)
            {
                runs[i] = runs[i] with
                {
                    Options = options with { TokenForgetting = options.TokenForgetting with { ReferenceFraction = share } },
                };
            }
        }
    }

    private IEnumerable<Setting> Swept =>
        _sweeps.SelectMany(axes => axes).Concat(_seeds is null ? [] : [_seeds]).Select(axis => axis.Setting);

    private void Add(List<GridRun> runs, TrainingOptions options, ReadOnlySpan<Axis> axes, string name)
    {
        if (axes.Length > 0)
        {
            Axis axis = axes[0];
            foreach (IReadOnlyList<string> value in axis.Values)
            {
                string part = $"{axis.Setting.Name}={FileName(value)}";
                Add(runs, axis.Setting.Apply(options, value, axis.Named), axes[1..], name.Length == 0 ? part : $"{name},{part}");
            }

            return;
        }

        IReadOnlyList<string>?[] seeds = _seeds is null ? [null] : [.. _seeds.Values];
        foreach (IReadOnlyList<string>? seed in seeds)
        {
            string folder = seed is null ? name : Path.Combine(name, $"seed-{string.Join('+', seed)}");
            TrainingOptions own = seed is null ? options : _seeds!.Setting.Apply(options, seed, _seeds.Named);
            runs.Add(new GridRun(folder, own with { Out = Path.Combine(own.Out, folder) }));
        }
    }

    private void Check(GridRun run)
    {
        try
        {
            run.Options.Validate();
        }
        catch (UserException error)
        {
            throw new UserException($"{_path}: {(run.Name.Length == 0 ? "" : run.Name + ": ")}{error.Message}", error);
        }
    }

    private Axis[] Axes(YamlMappingNode mapping) =>
        [.. mapping.Select(pair => ReadAxis(pair.Key, pair.Value, Recipe.FindSetting(_path, pair.Key)))];

    private Axis ReadAxis(YamlNode key, YamlNode value, Setting setting)
    {
        string named = $"{Recipe.Place(_path, key)}: {setting.Name}";
        return value is YamlSequenceNode { Children.Count: > 0 } list
            ? new Axis(setting, [.. list.Children.Select(c => Recipe.Values(_path, setting, c, named))], named)
            : throw new UserException($"{Recipe.Place(_path, key)}: {key} is a {value.NodeType}, expected a list of values");
    }

    // The last part of a path says enough, and a folder's name may not have separators.
    private static string FileName(IReadOnlyList<string> values)
    {
        string[] parts = [.. values.Select(part =>
            Path.GetFileNameWithoutExtension(part) is { Length: > 0 } file && part.Contains('/', StringComparison.Ordinal) ? file : part)];
        return parts is [] or [""] ? "none" : string.Join('+', parts).Replace('/', '_').Replace('\\', '_').Replace(':', '_');
    }

    private sealed record Axis(Setting Setting, IReadOnlyList<IReadOnlyList<string>> Values, string Named);
}

using System.Globalization;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Training;

/// <summary>One run of a grid.</summary>
/// <param name="Name">Folder below the grid's: <c>setting=value,…/seed-N</c>; empty where the recipe is a single run.</param>
/// <param name="Options">Its settings; <c>out</c> is its own folder.</param>
public sealed record GridRun(string Name, TrainingOptions Options);

/// <summary>
/// A recipe with, besides settings, <c>sweep:</c> (values to try, a list for each setting; or a list of such mappings, whose grids are put together) and <c>seeds:</c>.
/// A recipe without either is a grid of one run.
/// </summary>
public sealed class RecipeGrid
{
    internal const string SweepKey = "sweep";
    internal const string SeedsKey = "seeds";

    private readonly string _path;
    private readonly TrainingOptions _base;
    private readonly List<Axis[]> _sweeps = [];
    private readonly Axis? _seeds;

    private RecipeGrid(string path, TrainingOptions defaults)
    {
        _path = path;
        _base = defaults;
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
                    throw new UserException($"{Recipe.Place(path, key)}: sweep is a {value.NodeType}, expected settings with lists of values");
                case SeedsKey:
                    _seeds = ReadAxis(key, value, Recipe.Find("seed")!);
                    break;
                default:
                    _base = Recipe.Apply(path, key, value, _base);
                    break;
            }
        }
    }

    /// <summary>Reads a recipe.</summary>
    /// <exception cref="UserException">It is missing or malformed; names file, line and key.</exception>
    public static RecipeGrid Read(string path, TrainingOptions defaults) => new(path, defaults);

    /// <summary>All runs of the grid, each checked.</summary>
    /// <param name="change">Settings from elsewhere that come before the recipe's, but not before what is swept; or null.</param>
    /// <exception cref="UserException">A combination of settings is not valid, or is there twice.</exception>
    public IReadOnlyList<GridRun> Expand(Func<TrainingOptions, TrainingOptions>? change = null)
    {
        TrainingOptions options = change is null ? _base : change(_base);
        var runs = new List<GridRun>();
        foreach (Axis[] sweep in _sweeps.Count == 0 ? [[]] : _sweeps)
        {
            Add(runs, options, sweep, "");
        }

        string? twice = runs.GroupBy(r => r.Name).FirstOrDefault(g => g.Count() > 1)?.Key;
        return twice is null ? runs : throw new UserException($"{_path}: the run {twice} is there twice");
    }

    private void Add(List<GridRun> runs, TrainingOptions options, ReadOnlySpan<Axis> axes, string name)
    {
        if (axes.Length > 0)
        {
            Axis axis = axes[0];
            foreach (string value in axis.Values)
            {
                string part = $"{axis.Setting.Name}={FileName(value)}";
                Add(runs, axis.Setting.Apply(options, value, axis.Place), axes[1..], name.Length == 0 ? part : $"{name},{part}");
            }

            return;
        }

        string?[] seeds = _seeds is null ? [null] : [.. _seeds.Values];
        foreach (string? seed in seeds)
        {
            string folder = seed is null ? name : Path.Combine(name, $"seed-{seed}");
            TrainingOptions own = seed is null ? options : _seeds!.Setting.Apply(options, seed, _seeds.Place);
            own = own with { Out = Path.Combine(own.Out, folder) };
            try
            {
                own.Validate();
            }
            catch (UserException error)
            {
                throw new UserException($"{_path}: {(folder.Length == 0 ? "" : folder + ": ")}{error.Message}", error);
            }

            runs.Add(new GridRun(folder, own));
        }
    }

    private Axis[] Axes(YamlMappingNode mapping) => [.. mapping.Select(pair => ReadAxis(pair.Key, pair.Value, Recipe.FindSetting(_path, pair.Key)))];

    private Axis ReadAxis(YamlNode key, YamlNode value, Setting setting)
    {
        string place = Recipe.Place(_path, key);
        return value is YamlSequenceNode { Children.Count: > 0 } list
            ? new Axis(setting, [.. list.Children.Select(c => Recipe.ValueText(c, setting.Name, place))], place)
            : throw new UserException($"{place}: {key} is a {value.NodeType}, expected a list of values");
    }

    // The last part of a path says enough, and a folder's name may not have separators.
    private static string FileName(string value)
    {
        string[] parts = [.. value.Split(',').Select(part => Path.GetFileNameWithoutExtension(part) is { Length: > 0 } file && part.Contains('/', StringComparison.Ordinal) ? file : part)];
        return parts is [""] ? "none" : string.Join('+', parts).Replace('/', '_').Replace('\\', '_').Replace(':', '_');
    }

    private sealed record Axis(Setting Setting, IReadOnlyList<string> Values, string Place);
}

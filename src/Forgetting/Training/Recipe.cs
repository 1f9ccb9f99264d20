using System.Globalization;
using System.Reflection;
using System.Text;
using Forgetting.Core;
using Forgetting.IO;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Training;

/// <summary>
/// Settings as YAML: a flat mapping from setting names to values. A recipe gives some of them; <c>run.yaml</c> holds all of them and is
/// itself a recipe that repeats the run.
/// </summary>
internal static class Recipe
{
    /// <summary>Key of <c>run.yaml</c> under which it says what the run came from; a recipe may have it, and it changes nothing.</summary>
    internal const string ProvenanceKey = "provenance";

    /// <summary>Every setting, in the order of <see cref="TrainingOptions"/>.</summary>
    public static IReadOnlyList<Setting> Settings { get; } =
    [
        .. from property in Declared(typeof(TrainingOptions))
           from setting in property.IsDefined(typeof(SettingGroupAttribute))
               ? Declared(property.PropertyType).Select(inner => new Setting(property, inner))
               : [new Setting(null, property)]
           select setting,
    ];

    // Those that are settings or groups of them, in the order of the source.
    private static IEnumerable<PropertyInfo> Declared(Type type) =>
        type.GetProperties()
            .Where(p => p.IsDefined(typeof(SettingAttribute)) || p.IsDefined(typeof(SettingGroupAttribute)))
            .OrderBy(p => p.MetadataToken);

    /// <summary>The setting of a name, or null.</summary>
    public static Setting? Find(string name) => Settings.FirstOrDefault(s => s.Name == name);

    /// <summary>Every setting's value as a recipe writes it, by name.</summary>
    public static IReadOnlyDictionary<string, string> Values(TrainingOptions options) =>
        Settings.ToDictionary(s => s.Name, s => s.Read(options));

    /// <summary>Changes <paramref name="options"/> by what a recipe says; what it does not mention keeps its value.</summary>
    /// <exception cref="UserException">The file is missing or not YAML, a key is unknown or twice there, or a value is not of its setting's
    /// type; names file, line and key.</exception>
    public static TrainingOptions Read(string path, TrainingOptions options) => Read(path, options, formerNames: false);

    /// <summary>
    /// The settings of a finished or interrupted run, by their names in this version or an earlier one; those it
    /// does not have are at their defaults.
    /// </summary>
    /// <exception cref="UserException">See <see cref="Read(string, TrainingOptions)"/>.</exception>
    internal static TrainingOptions ReadRun(string path) => Read(path, new TrainingOptions(), formerNames: true);

    private static TrainingOptions Read(string path, TrainingOptions options, bool formerNames)
    {
        YamlMappingNode recipe = Load(path);
        foreach ((YamlNode key, YamlNode value) in recipe)
        {
            if (key is YamlScalarNode { Value: ProvenanceKey })
                continue;

            if (key is YamlScalarNode { Value: RecipeGrid.SweepKey or RecipeGrid.SeedsKey })
                throw new UserException($"{Place(path, key)}: {key} makes this a grid of runs; execute it with forgetting run");

            options = Apply(path, key, value, options, formerNames);
        }

        return recipe.Children.TryGetValue(ProvenanceKey, out YamlNode? provenance) ? Moved(path, provenance, options) : options;
    }

    /// <summary>Changes <paramref name="options"/> by one line of a recipe.</summary>
    private static TrainingOptions Apply(string path, YamlNode key, YamlNode value, TrainingOptions options, bool formerNames)
    {
        Setting setting = FindSetting(path, key, formerNames);
        string named = $"{Place(path, key)}: {setting.Name}";
        return setting.Apply(options, Values(path, setting, value, named), named);
    }

    /// <summary>The options with <paramref name="map"/> of every path in them.</summary>
    internal static TrainingOptions MapPaths(TrainingOptions options, Func<string, string> map) =>
        Settings.Aggregate(options, (changed, setting) => setting.MapPaths(changed, map));

    // A run's folder that was moved together with its inputs: run.yaml says where these are seen from it.
    private static TrainingOptions Moved(string path, YamlNode provenance, TrainingOptions options)
    {
        Dictionary<string, string> relative =
            Provenance.FromYaml(provenance, path).Inputs.DistinctBy(i => i.Path).ToDictionary(i => i.Path, i => i.Relative);
        return MapPaths(options, named => relative.TryGetValue(named, out string? seen) ? Found(named, path, seen) : named);
    }

    // The path that is named where it is there; else what is seen from the recipe's folder, where that is.
    private static string Found(string named, string recipe, string seen)
    {
        if (seen.Contains('\0', StringComparison.Ordinal))
            return named; // which no setting takes

        string beside = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Path.GetFullPath(recipe))!, seen));
        return !Path.Exists(named) && Path.Exists(beside) ? beside : named;
    }

    /// <summary>The setting that a key names.</summary>
    /// <param name="formerNames">Whether a name of an earlier version will do.</param>
    internal static Setting FindSetting(string path, YamlNode key, bool formerNames = false)
    {
        string place = Place(path, key);
        string name = (key as YamlScalarNode)?.Value
            ?? throw new UserException($"{place}: found a {key.NodeType} as a key, expected a setting's name");
        Setting? former = Settings.FirstOrDefault(s => s.Formerly == name);
        if (Find(name) is null && former != null)
            return formerNames ? former : throw new UserException($"{place}: {name} is now called {former.Name}");

        return Find(name)
            ?? throw new UserException(
                $"{place}: \"{name}\" is no setting; the nearest is {Spelling.Nearest(name, Settings.Select(s => s.Name))}");
    }

    /// <summary>
    /// A value, or the values of a list, as <see cref="Setting.Apply"/> reads them. Files and folders that are not where it says are
    /// looked for from the recipe's folder.
    /// </summary>
    internal static IReadOnlyList<string> Values(string path, Setting setting, YamlNode value, string named)
    {
        IReadOnlyList<string> texts = setting.HasWeights && value is YamlMappingNode weighted
            ? [.. weighted.Select(pair => $"{Texts(pair.Key, named)[0]}={Texts(pair.Value, named)[0]}")]
            : Texts(value, named);
        return !setting.IsPath || setting.Name == "out" ? texts
            : [.. texts.Select(text => text.Length == 0 ? text : Path.Exists(Found(text, path, text)) || !setting.HasWeights
                ? Found(text, path, text) : WeightedPath.Map(text, file => Found(file, path, file)))];
    }

    private static IReadOnlyList<string> Texts(YamlNode value, string named) => value switch
    {
        YamlScalarNode scalar => [scalar.Value ?? ""],
        YamlSequenceNode sequence when sequence.Children.All(c => c is YamlScalarNode) =>
            [.. sequence.Children.Select(c => ((YamlScalarNode)c).Value ?? "")],
        _ => throw new UserException($"{named} is a {value.NodeType}, expected one value or a list of values"),
    };

    /// <summary>What an error about a line of a recipe begins with.</summary>
    internal static string Place(string path, YamlNode node) => $"{path}:{node.Start.Line.ToString(CultureInfo.InvariantCulture)}";

    /// <summary>Every setting as YAML.</summary>
    public static string Write(TrainingOptions options) => YamlFile.Write(ToYaml(options));

    /// <summary>Every setting as a mapping.</summary>
    internal static YamlMappingNode ToYaml(TrainingOptions options)
    {
        var mapping = new YamlMappingNode();
        foreach (Setting setting in Settings)
        {
            string text = setting.Read(options);
            YamlNode value = setting.IsList
                ? new YamlSequenceNode(setting.ReadList(options).Select(v => new YamlScalarNode(v))) { Style = SequenceStyle.Flow }
                : text.Length == 0 && setting.IsOptional ? "null" : text;
            mapping.Add(setting.Name, value);
        }

        return mapping;
    }

    internal static string Kebab(string name)
    {
        var text = new StringBuilder();
        foreach (char letter in name)
        {
            if (char.IsUpper(letter) && text.Length > 0)
                text.Append('-');

            text.Append(char.ToLowerInvariant(letter));
        }

        return text.ToString();
    }

    internal static string Text(object? value) => value switch
    {
        null => "",
        bool flag => flag ? "true" : "false",

        // YAML 1.1 wants a point in a number with an exponent.
        double number when number.ToString("R", CultureInfo.InvariantCulture) is var text && text.Contains('E') && !text.Contains('.') =>
            text.Replace("E", ".0E", StringComparison.Ordinal),
        double number => number.ToString("R", CultureInfo.InvariantCulture),

        // One word each, as --ascent spells them: SatImp is satimp.
        Enum kind => kind.ToString().ToLowerInvariant(),
        IReadOnlyList<string> names => string.Join(',', names),
        IReadOnlyList<double> numbers => string.Join(',', numbers.Select(n => Text(n))),
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };

    /// <summary>The mapping that a recipe is.</summary>
    /// <exception cref="UserException">The file cannot be read or is no mapping.</exception>
    internal static YamlMappingNode Load(string path)
    {
        try
        {
            using var reader = new StreamReader(path);
            return YamlFile.Read(reader, path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(path, error);
        }
    }
}

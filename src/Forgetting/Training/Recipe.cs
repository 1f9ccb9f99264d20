using System.ComponentModel;
using System.Globalization;
using System.Reflection;
using System.Text;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Training;

/// <summary>What help calls the value of a setting, where its type does not say: a path, a file, a folder.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class ValueNameAttribute(string name) : Attribute
{
    /// <summary>The name.</summary>
    public string Name => name;
}

/// <summary>One setting of <see cref="TrainingOptions"/>.</summary>
public sealed class Setting
{
    private readonly PropertyInfo _property;

    internal Setting(PropertyInfo property)
    {
        _property = property;
        Name = Recipe.Kebab(property.Name);
        IsOptional = new NullabilityInfoContext().Create(property).WriteState == NullabilityState.Nullable;
        Help = property.GetCustomAttribute<DescriptionAttribute>()!.Description;
        ValueName = property.GetCustomAttribute<ValueNameAttribute>()?.Name ?? KindName(property.PropertyType);
    }

    /// <summary>Name in recipes, and on the command line after two dashes.</summary>
    public string Name { get; }

    /// <summary>One line of help.</summary>
    public string Help { get; }

    /// <summary>What help calls the value: PATH, N, …</summary>
    public string ValueName { get; }

    /// <summary>True for a switch: present or not.</summary>
    public bool IsSwitch => _property.PropertyType == typeof(bool);

    /// <summary>True where no value is a value: <c>null</c> in recipes.</summary>
    public bool IsOptional { get; }

    /// <summary>True for a list: values separated by commas.</summary>
    public bool IsList => _property.PropertyType == typeof(IReadOnlyList<string>);

    /// <summary>The setting's value as a recipe writes it; empty for one not given.</summary>
    public string Read(TrainingOptions options) => Recipe.Text(_property.GetValue(options));

    /// <summary>The options with this setting read from <paramref name="text"/>.</summary>
    /// <param name="place">What an error begins with: the file and line, or the option's name.</param>
    /// <exception cref="UserException">The text is not a value of the setting's type.</exception>
    public TrainingOptions Apply(TrainingOptions options, string text, string place)
    {
        TrainingOptions changed = options with { };
        _property.SetValue(changed, Parse(text, place));
        return changed;
    }

    private object? Parse(string text, string place)
    {
        Type type = Nullable.GetUnderlyingType(_property.PropertyType) ?? _property.PropertyType;
        if (IsOptional && text is "" or "~" or "null")
            return null;

        if (type == typeof(string))
            return text;

        if (type == typeof(IReadOnlyList<string>))
            return text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

        object? value = type == typeof(int) && int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int whole) ? whole
            : type == typeof(ulong) && ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed) ? seed
            : type == typeof(double) && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number
            : type == typeof(bool) && bool.TryParse(text, out bool flag) ? flag
            : type.IsEnum ? Enum.GetValues(type).Cast<object>().FirstOrDefault(v => Recipe.Text(v) == text)
            : null;
        return value ?? throw new UserException($"{place}: {Name} is \"{text}\", expected {Expected(type)}");
    }

    private static string KindName(Type type)
    {
        Type kind = Nullable.GetUnderlyingType(type) ?? type;
        return kind == typeof(int) || kind == typeof(ulong) ? "N" : kind == typeof(double) ? "X" : "NAME";
    }

    private static string Expected(Type type) =>
        type.IsEnum ? string.Join(", ", Enum.GetValues(type).Cast<object>().Select(Recipe.Text))
        : type == typeof(bool) ? "true or false"
        : type == typeof(double) ? "a number"
        : "a whole number";
}

/// <summary>
/// Settings as YAML: a flat mapping from setting names to values. A recipe gives some of them; <c>run.yaml</c> holds all of them and is itself a recipe
/// that repeats the run.
/// </summary>
public static class Recipe
{
    /// <summary>Every setting, in the order of <see cref="TrainingOptions"/>.</summary>
    public static IReadOnlyList<Setting> Settings { get; } =
    [
        .. typeof(TrainingOptions).GetProperties().Where(p => p.IsDefined(typeof(DescriptionAttribute))).OrderBy(p => p.MetadataToken).Select(p => new Setting(p)),
    ];

    /// <summary>The setting of a name, or null.</summary>
    public static Setting? Find(string name) => Settings.FirstOrDefault(s => s.Name == name);

    /// <summary>Every setting's value as a recipe writes it, by name.</summary>
    public static IReadOnlyDictionary<string, string> Values(TrainingOptions options) => Settings.ToDictionary(s => s.Name, s => s.Read(options));

    /// <summary>Changes <paramref name="options"/> by what a recipe says; what it does not mention keeps its value.</summary>
    /// <exception cref="UserException">The file is missing or not YAML, a key is unknown or twice there, or a value is not of its setting's type; names file, line and key.</exception>
    public static TrainingOptions Read(string path, TrainingOptions options)
    {
        foreach ((YamlNode key, YamlNode value) in Load(path))
        {
            if (key is YamlScalarNode { Value: RecipeGrid.SweepKey or RecipeGrid.SeedsKey })
                throw new UserException($"{Place(path, key)}: {key} makes this a grid of runs; execute it with forgetting run");

            options = Apply(path, key, value, options);
        }

        return options;
    }

    /// <summary>Changes <paramref name="options"/> by one line of a recipe.</summary>
    internal static TrainingOptions Apply(string path, YamlNode key, YamlNode value, TrainingOptions options)
    {
        Setting setting = FindSetting(path, key);
        string place = Place(path, key);
        return setting.Apply(options, ValueText(value, setting.Name, place), place);
    }

    /// <summary>The setting that a key names.</summary>
    internal static Setting FindSetting(string path, YamlNode key)
    {
        string place = Place(path, key);
        string name = (key as YamlScalarNode)?.Value ?? throw new UserException($"{place}: found a {key.NodeType} as a key, expected a setting's name");
        return Find(name) ?? throw new UserException($"{place}: \"{name}\" is no setting; the nearest is {Nearest(name)}");
    }

    /// <summary>A value as <see cref="Setting.Apply"/> reads it.</summary>
    internal static string ValueText(YamlNode value, string name, string place) => value switch
    {
        YamlScalarNode scalar => scalar.Value ?? "",
        YamlSequenceNode sequence when sequence.Children.All(c => c is YamlScalarNode) => string.Join(',', sequence.Children),
        _ => throw new UserException($"{place}: {name} is a {value.NodeType}, expected one value or a list of values"),
    };

    /// <summary>What an error about a line of a recipe begins with.</summary>
    internal static string Place(string path, YamlNode node) => $"{path}:{node.Start.Line.ToString(CultureInfo.InvariantCulture)}";

    /// <summary>Every setting as YAML.</summary>
    public static string Write(TrainingOptions options)
    {
        var mapping = new YamlMappingNode();
        foreach (Setting setting in Settings)
        {
            string text = setting.Read(options);
            mapping.Add(setting.Name, text.Length == 0 && setting.IsOptional ? "null" : text);
        }

        var output = new StringWriter { NewLine = "\n" };
        new YamlStream(new YamlDocument(mapping)).Save(output, assignAnchors: false);
        string yaml = output.ToString();
        int end = yaml.LastIndexOf("...", StringComparison.Ordinal);
        return end > 0 && yaml[end..].Trim() == "..." ? yaml[..end] : yaml;
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
        double number when number.ToString("R", CultureInfo.InvariantCulture) is var text && text.Contains('E') && !text.Contains('.') => text.Replace("E", ".0E", StringComparison.Ordinal),
        double number => number.ToString("R", CultureInfo.InvariantCulture),

        // One word each, as --ascent spells them: SatImp is satimp.
        Enum kind => kind.ToString().ToLowerInvariant(),
        IReadOnlyList<string> names => string.Join(',', names),
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };

    /// <summary>The mapping that a YAML text is; empty for an empty text.</summary>
    /// <param name="path">What errors call the text.</param>
    /// <exception cref="UserException">It is not YAML or not a mapping; file and line are named.</exception>
    internal static YamlMappingNode Load(TextReader reader, string path)
    {
        try
        {
            var stream = new YamlStream();
            stream.Load(reader);
            if (stream.Documents.Count == 0)
                return [];

            return stream.Documents[0].RootNode as YamlMappingNode
                ?? throw new UserException($"{path}:{stream.Documents[0].RootNode.Start.Line}: found a {stream.Documents[0].RootNode.NodeType}, expected lines of \"setting: value\"");
        }
        catch (YamlException error)
        {
            throw new UserException($"{path}:{error.Start.Line}: {error.Message.ReplaceLineEndings(" ")}", error);
        }
    }

    /// <summary>The mapping that a recipe is.</summary>
    /// <exception cref="UserException">The file cannot be read or is no mapping.</exception>
    internal static YamlMappingNode Load(string path)
    {
        try
        {
            using var reader = new StreamReader(path);
            return Load(reader, path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path}: cannot be read: {error.Message.ReplaceLineEndings(" ")}", error);
        }
    }

    private static string Nearest(string name) => Settings.MinBy(s => EditDistance(name, s.Name))!.Name;

    // Levenshtein's distance with one row of the table.
    private static int EditDistance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[b.Length];
    }
}

using System.Globalization;
using System.Numerics;
using System.Reflection;
using Forgetting.Core;

namespace Forgetting.Training;

/// <summary>One setting of <see cref="TrainingOptions"/>.</summary>
internal sealed class Setting
{
    private static readonly TrainingOptions s_defaults = new();

    private readonly PropertyInfo? _group;
    private readonly PropertyInfo _property;
    private readonly SettingAttribute _about;
    private readonly NumberRange? _range;

    /// <summary>A setting.</summary>
    /// <param name="group">The property of <see cref="TrainingOptions"/> whose record it is in; null for one of its own.</param>
    /// <param name="property">Its property.</param>
    internal Setting(PropertyInfo? group, PropertyInfo property)
    {
        SettingGroupAttribute? record = group?.GetCustomAttribute<SettingGroupAttribute>();
        _group = group;
        _property = property;
        _about = property.GetCustomAttribute<SettingAttribute>()!;
        _range = _about.Range.Length > 0 || Type == typeof(double) ? NumberRange.Parse(_about.Range) : null;
        Name = _about.Name
            ?? (record is { Prefix.Length: > 0 } ? $"{record.Prefix}-{Recipe.Kebab(property.Name)}" : Recipe.Kebab(property.Name));
        Group = _about.Group ?? record?.Name ?? "run";
        IsOptional = new NullabilityInfoContext().Create(property).WriteState == NullabilityState.Nullable;
    }

    /// <summary>Name in recipes, and on the command line after two dashes.</summary>
    public string Name { get; }

    /// <summary>One line of help.</summary>
    public string Help => Type == typeof(TrainingMethod)
        ? $"{_about.Help}: {string.Join(", ", TrainingMethod.All.SkipLast(1))} or {TrainingMethod.All[^1]}"
        : _about.Help;

    /// <summary>What help calls the value: PATH, N, …</summary>
    public string ValueName => _about.Value ?? KindName(_property.PropertyType);

    /// <summary>Name of its group in help.</summary>
    public string Group { get; }

    /// <inheritdoc cref="SettingAttribute.Formerly"/>
    public string? Formerly => _about.Formerly;

    /// <inheritdoc cref="SettingAttribute.Common"/>
    public bool IsCommon => _about.Common;

    /// <summary>Type of its value, without the null that stands for none.</summary>
    internal Type Type => Nullable.GetUnderlyingType(_property.PropertyType) ?? _property.PropertyType;

    /// <summary>The interval of its numbers; null where it is none.</summary>
    internal NumberRange? Range => _range;

    /// <inheritdoc cref="SettingAttribute.MayChange"/>
    public bool MayChange => _about.MayChange;

    /// <inheritdoc cref="SettingAttribute.Identity"/>
    public bool IsIdentity => _about.Identity;

    /// <inheritdoc cref="SettingAttribute.Resolved"/>
    public bool IsResolved => _about.Resolved;

    /// <summary>True for a switch: present or not.</summary>
    public bool IsSwitch => _property.PropertyType == typeof(bool);

    /// <summary>True where no value is a value: <c>null</c> in recipes.</summary>
    public bool IsOptional { get; }

    /// <summary>True for a list.</summary>
    public bool IsList => _property.PropertyType == typeof(IReadOnlyList<string>) || IsNumbers;

    /// <summary>True for a list of numbers.</summary>
    internal bool IsNumbers => _property.PropertyType == typeof(IReadOnlyList<double>);

    /// <summary>Whether a number may stand behind each of its values, which another setting takes.</summary>
    internal bool HasWeights => _about.Weights.Length > 0;

    // Names stand behind each other with commas; a path may have commas of its own.
    private bool IsSplitAtCommas => IsNumbers || (IsList && ValueName == "NAMES");

    /// <summary>True where the value names a file or folder, or several.</summary>
    public bool IsPath => ValueName is "PATH" or "DIR" or "FILE" or "FILES" or "NAME|FILE";

    /// <summary>The setting's value as a text; empty for one not given.</summary>
    public string Read(TrainingOptions options) => Recipe.Text(Value(options));

    /// <summary>The values of a list.</summary>
    public IReadOnlyList<string> ReadList(TrainingOptions options) =>
        Value(options) is IReadOnlyList<double> numbers ? [.. numbers.Select(n => Recipe.Text(n))] : (IReadOnlyList<string>)Value(options)!;

    /// <summary>The options with this setting read from texts.</summary>
    /// <param name="options">What is changed.</param>
    /// <param name="values">One text, or any number of them for a list.</param>
    /// <param name="named">What an error calls the setting: its name behind file and line, or the option's name.</param>
    /// <exception cref="UserException">The text is not a value of the setting's type.</exception>
    public TrainingOptions Apply(TrainingOptions options, IReadOnlyList<string> values, string named) =>
        HasWeights ? WithWeights(options, ParseList([.. values.Select(v => WithoutNull(v, named))]), named)
        : IsNumbers ? With(options, ParseList(values).Select(v => (double)Parse(v, typeof(double), named)!).ToArray())
        : With(options, IsList ? ParseList([.. values.Select(v => WithoutNull(v, named))])
            : values.Count == 1 ? Parse(values[0], Type, named)
            : throw new UserException($"{named} is a list, expected one value"));

    /// <summary>The files and folders that the setting names; none unless <see cref="IsPath"/>.</summary>
    internal IReadOnlyList<string> Paths(TrainingOptions options) => !IsPath ? [] : Value(options) switch
    {
        IReadOnlyList<string> several => several,
        string { Length: > 0 } one when ValueName != "NAME|FILE" || File.Exists(one) => [one],
        _ => [],
    };

    /// <summary>The options with <paramref name="map"/> of every path that the setting names.</summary>
    public TrainingOptions MapPaths(TrainingOptions options, Func<string, string> map)
    {
        IReadOnlyList<string> paths = Paths(options);
        string[] mapped = [.. paths.Select(map)];
        return mapped.Length == 0 ? options : With(options, IsList ? mapped : mapped[0]);
    }

    /// <summary>Whether the setting has another value than its default.</summary>
    public bool IsSet(TrainingOptions options) => Read(options) != Read(s_defaults);

    /// <summary>The options with this setting at its default.</summary>
    public TrainingOptions Reset(TrainingOptions options) => With(options, Value(s_defaults));

    /// <summary>Why a run of these options makes no use of the setting; null where it does.</summary>
    public string? WhyUnused(TrainingOptions options)
    {
        if (!options.Method.Uses(_about.UsedBy) && !(_about.AlsoWith.Length > 0 && Holds(_about.AlsoWith, options)))
        {
            string users = string.Join(" or ", TrainingMethod.All.Where(m => m.Uses(_about.UsedBy)));
            return $"method {options.Method} does not use it, "
                + $"expected method {users}{(_about.AlsoWith.Length > 0 ? $", or {_about.AlsoWith}" : "")}";
        }

        string[] needs = _about.Needs.Split('|', StringSplitOptions.RemoveEmptyEntries);
        return needs.Length == 0 || Array.Exists(needs, need => Holds(need, options))
            ? null
            : $"it is used only with {string.Join(" or ", needs.Select(n => n.Replace('=', ' ')))}";
    }

    /// <summary>Refuses the setting where a run of these options makes no use of it.</summary>
    /// <param name="options">The run's settings.</param>
    /// <param name="named">What the error calls the setting.</param>
    /// <exception cref="UserException">It does not.</exception>
    public void CheckUsed(TrainingOptions options, string named)
    {
        if (WhyUnused(options) is { } reason)
            throw new UserException($"{named} is {(Read(options) is { Length: > 0 } value ? value : "given")}: {reason}");
    }

    /// <summary>Checks a number against its range.</summary>
    /// <exception cref="UserException">It is outside; names the setting, the value and what was expected.</exception>
    public void CheckRange(TrainingOptions options)
    {
        if (_range is { } range && Value(options) is { } value && !Numbers(value).All(range.Holds))
        {
            throw new UserException(
                $"{Name} is {Recipe.Text(value)}, expected {range.Describe(whole: Type == typeof(int))}{(IsNumbers ? " each" : "")}");
        }
    }

    private static IEnumerable<double> Numbers(object value) =>
        value as IReadOnlyList<double> ?? [Convert.ToDouble(value, CultureInfo.InvariantCulture)];

    // The numbers of an earlier list go with it.
    private TrainingOptions WithWeights(TrainingOptions options, string[] values, string named)
    {
        (string Path, string? Weight)[] weighted = [.. values.Select(WeightedPath.Split)];
        Setting weights = Recipe.Find(_about.Weights)!;
        TrainingOptions with = With(options, weighted.Select(v => v.Path).ToArray());
        if (Array.TrueForAll(weighted, v => v.Weight is null))
            return weights.ReadList(with).Count == weighted.Length ? with : weights.Reset(with);

        return Array.Find(weighted, v => v.Weight is null) is { Path: { } without }
            ? throw new UserException(
                $"{named}: {without} has no weight, and others have; expected one for each, as {without}=0.5, or for none")
            : weights.Apply(with, [.. weighted.Select(v => v.Weight!)], named);
    }

    private object? Value(TrainingOptions options) => _property.GetValue(_group is null ? options : _group.GetValue(options));

    // Records are copied as "with" copies them; the copies are nobody else's yet.
    private TrainingOptions With(TrainingOptions options, object? value)
    {
        TrainingOptions changed = options with { };
        object target = changed;
        if (_group != null)
        {
            target = _group.PropertyType.GetMethod("<Clone>$")!.Invoke(_group.GetValue(options), null)!;
            _group.SetValue(changed, target);
        }

        _property.SetValue(target, value);
        return changed;
    }

    private static bool Holds(string need, TrainingOptions options)
    {
        string[] parts = need.Split('=');
        string found = Recipe.Find(parts[0])!.Read(options);
        return parts.Length == 2 ? found == parts[1] : found is not ("" or "0");
    }

    private string[] ParseList(IReadOnlyList<string> values) =>
        [.. values.SelectMany(v => IsSplitAtCommas ? v.Split(',', StringSplitOptions.TrimEntries) : [v]).Where(v => v.Length > 0)];

    // No path and no name has it, and the system throws at every use.
    private static string WithoutNull(string text, string named) =>
        text.Contains('\0', StringComparison.Ordinal)
        ? throw new UserException($"{named} is \"{text}\", expected text without null characters")
        : text;

    private object? Parse(string text, Type type, string named)
    {
        if (IsOptional && text is "" or "~" or "null")
            return null;

        if (type == typeof(string))
            return WithoutNull(text, named);

        object? value =
            type == typeof(int) && int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int whole) ? whole
                : type == typeof(ulong) && ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed) ? seed
                : type == typeof(double) && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
                ? number
                : type == typeof(Share) ? Share.Parse(text)
                : type == typeof(bool) && bool.TryParse(text, out bool flag) ? flag
                : Choices(type)?.FirstOrDefault(v => Recipe.Text(v) == text);
        return value ?? throw new UserException($"{named} is \"{text}\", expected {Expected(type, text)}");
    }

    /// <summary>The values of a type that has few; null for any other.</summary>
    internal static IEnumerable<object>? Choices(Type type) =>
        type.IsEnum ? Enum.GetValues(type).Cast<object>() : type == typeof(TrainingMethod) ? TrainingMethod.All : null;

    /// <summary>What a text should have been to be a value of a type.</summary>
    internal static string Expected(Type type, string text)
    {
        if (Choices(type) is { } choices)
            return string.Join(", ", choices.Select(Recipe.Text));

        bool whole = BigInteger.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _);
        return type == typeof(bool) ? "true or false"
            : type == typeof(double) ? "a number"
            : type == typeof(Share) ? "a number or auto"
            : type == typeof(ulong) ? $"a whole number of at least 0{(whole && text[0] != '-' ? $" and at most {ulong.MaxValue}" : "")}"
            : whole ? $"a whole number of at least {int.MinValue} and at most {int.MaxValue}"
            : "a whole number";
    }

    private static string KindName(Type type)
    {
        Type kind = Nullable.GetUnderlyingType(type) ?? type;
        return kind == typeof(int) || kind == typeof(ulong) ? "N"
            : kind == typeof(double) || kind == typeof(IReadOnlyList<double>) || kind == typeof(Share) ? "X"
            : "NAME";
    }
}

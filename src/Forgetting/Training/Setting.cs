using System.Globalization;
using System.Numerics;
using System.Reflection;

namespace Forgetting.Training;

/// <summary>One setting of <see cref="TrainingOptions"/>.</summary>
public sealed class Setting
{
    private static readonly TrainingOptions s_defaults = new();

    private readonly PropertyInfo _property;
    private readonly SettingAttribute _about;

    internal Setting(PropertyInfo property)
    {
        _property = property;
        _about = property.GetCustomAttribute<SettingAttribute>()!;
        Name = Recipe.Kebab(property.Name);
        IsOptional = new NullabilityInfoContext().Create(property).WriteState == NullabilityState.Nullable;
    }

    /// <summary>Name in recipes, and on the command line after two dashes.</summary>
    public string Name { get; }

    /// <summary>One line of help.</summary>
    public string Help => _about.Help;

    /// <summary>What help calls the value: PATH, N, …</summary>
    public string ValueName => _about.Value ?? KindName(_property.PropertyType);

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
    public bool IsList => _property.PropertyType == typeof(IReadOnlyList<string>);

    // Names stand behind each other with commas; a path may have commas of its own.
    private bool IsSplitAtCommas => IsList && ValueName == "NAMES";

    /// <summary>The setting's value as a text; empty for one not given.</summary>
    public string Read(TrainingOptions options) => Recipe.Text(_property.GetValue(options));

    /// <summary>The values of a list.</summary>
    public IReadOnlyList<string> ReadList(TrainingOptions options) => (IReadOnlyList<string>)_property.GetValue(options)!;

    /// <summary>The options with this setting read from texts.</summary>
    /// <param name="options">What is changed.</param>
    /// <param name="values">One text, or any number of them for a list.</param>
    /// <param name="named">What an error calls the setting: its name behind file and line, or the option's name.</param>
    /// <exception cref="UserException">The text is not a value of the setting's type.</exception>
    public TrainingOptions Apply(TrainingOptions options, IReadOnlyList<string> values, string named)
    {
        TrainingOptions changed = options with { };
        _property.SetValue(changed, IsList ? ParseList(values) : values.Count == 1 ? Parse(values[0], named) : throw new UserException($"{named} is a list, expected one value"));
        return changed;
    }

    /// <summary>Whether the setting has another value than its default.</summary>
    public bool IsSet(TrainingOptions options) => Read(options) != Read(s_defaults);

    /// <summary>The options with this setting at its default.</summary>
    public TrainingOptions Reset(TrainingOptions options)
    {
        TrainingOptions changed = options with { };
        _property.SetValue(changed, _property.GetValue(s_defaults));
        return changed;
    }

    /// <summary>Why a run of these options makes no use of the setting; null where it does.</summary>
    public string? WhyUnused(TrainingOptions options)
    {
        if (!_about.Methods.HasFlag((MethodSet)(1 << (int)options.Method)) && !(_about.AlsoWith.Length > 0 && Holds(_about.AlsoWith, options)))
        {
            string users = string.Join(" or ", Enum.GetValues<TrainingMethod>().Where(m => _about.Methods.HasFlag((MethodSet)(1 << (int)m))).Select(m => Recipe.Text(m)));
            return $"method {Recipe.Text(options.Method)} does not use it, expected method {users}{(_about.AlsoWith.Length > 0 ? $", or {_about.AlsoWith}" : "")}";
        }

        string[] needs = _about.Needs.Split('|', StringSplitOptions.RemoveEmptyEntries);
        return needs.Length == 0 || Array.Exists(needs, need => Holds(need, options)) ? null : $"it is used only with {string.Join(" or ", needs.Select(n => n.Replace('=', ' ')))}";
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

    private static bool Holds(string need, TrainingOptions options)
    {
        string[] parts = need.Split('=');
        string found = Recipe.Find(parts[0])!.Read(options);
        return parts.Length == 2 ? found == parts[1] : found is not ("" or "0");
    }

    private string[] ParseList(IReadOnlyList<string> values) =>
        [.. values.SelectMany(v => IsSplitAtCommas ? v.Split(',', StringSplitOptions.TrimEntries) : [v]).Where(v => v.Length > 0)];

    private object? Parse(string text, string named)
    {
        Type type = Nullable.GetUnderlyingType(_property.PropertyType) ?? _property.PropertyType;
        if (IsOptional && text is "" or "~" or "null")
            return null;

        if (type == typeof(string))
            return text;

        object? value = type == typeof(int) && int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int whole) ? whole
            : type == typeof(ulong) && ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed) ? seed
            : type == typeof(double) && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number
            : type == typeof(Share) ? Share.Parse(text)
            : type == typeof(bool) && bool.TryParse(text, out bool flag) ? flag
            : type.IsEnum ? Enum.GetValues(type).Cast<object>().FirstOrDefault(v => Recipe.Text(v) == text)
            : null;
        return value ?? throw new UserException($"{named} is \"{text}\", expected {Expected(type, text)}");
    }

    /// <summary>What a text should have been to be a value of a type.</summary>
    internal static string Expected(Type type, string text)
    {
        if (type.IsEnum)
            return string.Join(", ", Enum.GetValues(type).Cast<object>().Select(Recipe.Text));

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
        return kind == typeof(int) || kind == typeof(ulong) ? "N" : kind == typeof(double) || kind == typeof(Share) ? "X" : "NAME";
    }
}

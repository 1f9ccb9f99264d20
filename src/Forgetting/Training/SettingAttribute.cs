namespace Forgetting.Training;

/// <summary>Everything about a setting besides its name, type and default, which its property says.</summary>
/// <param name="help">One line of help.</param>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class SettingAttribute(string help) : Attribute
{
    /// <summary>One line of help.</summary>
    public string Help => help;

    /// <summary>Its name, where that is not the property's in kebab case behind its group's prefix.</summary>
    public string? Name { get; init; }

    /// <summary>Its name in runs of earlier versions; null for the same.</summary>
    public string? Formerly { get; init; }

    /// <summary>The group of help it is in, where that is not its record's.</summary>
    public string? Group { get; init; }

    /// <summary>Whether it is one of the few that most people need.</summary>
    public bool Common { get; init; }

    /// <summary>The interval that its numbers are from, as mathematics writes it: <c>[0, 1)</c>; empty for any.</summary>
    public string Range { get; init; } = "";

    /// <summary>
    /// What help calls the value where its type does not say: a path, a file, a folder. NAMES are split at commas, FILES are not.
    /// </summary>
    public string? Value { get; init; }

    /// <summary>The setting that takes the numbers behind an equals sign at the ends of its values; empty for none.</summary>
    public string Weights { get; init; } = "";

    /// <summary>
    /// One of <see cref="SettingUse"/> or the name of a method: with methods that do not use such settings it is refused; empty for all.
    /// </summary>
    public string UsedBy { get; init; } = "";

    /// <summary>A setting with which every method uses this one; empty for none.</summary>
    public string AlsoWith { get; init; } = "";

    /// <summary>
    /// Settings of which one must be given for this one to be used, <c>name</c> or <c>name=value</c>, with bars between; empty for none.
    /// </summary>
    public string Needs { get; init; } = "";

    /// <summary>
    /// Whether it may change between interruption and resumption: places of files, whose contents are compared, and how things are
    /// computed. Another device, other products or micro-batches of another size round differently, which is the price of going on
    /// elsewhere or with less memory; the rest leaves every bit as it is.
    /// </summary>
    public bool MayChange { get; init; }

    /// <summary>
    /// Whether it is part of what a comparison names runs by; seeds, and paths and what follows from them, tell runs apart but not methods.
    /// </summary>
    public bool Identity { get; init; } = true;

    /// <summary>Whether a run records what it made of it on its device and model instead of what was asked for.</summary>
    public bool Resolved { get; init; }
}

/// <summary>A record of settings that belong together.</summary>
/// <param name="name">Name of the group in help.</param>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class SettingGroupAttribute(string name) : Attribute
{
    /// <summary>Name of the group in help.</summary>
    public string Name => name;

    /// <summary>What its settings' names begin with, without the dash; empty for nothing.</summary>
    public string Prefix { get; init; } = "";
}

using System.CommandLine;
using System.Runtime.CompilerServices;
using Forgetting.Core;
using Forgetting.Training;

namespace Forgetting.Cli;

/// <summary>
/// Settings of <see cref="TrainingOptions"/> as options of a command: their names, help and defaults come from the settings themselves, so
/// a recipe and the command line cannot drift apart.
/// </summary>
internal sealed class SettingsOptions
{
    // Settings that say how data becomes tokens; every command that reads examples has them.
    public static readonly string[] DataSettings = ["max-length", "too-long", "train-on", "template", "template-date", "shape",
        "prompt-field", "completion-field", "allow-special", "compat"];

    // What help knows of an option besides what it says itself.
    private static readonly ConditionalWeakTable<Option, Facts> s_facts = [];

    private readonly List<(Setting Setting, Option Option)> _options = [];
    private readonly string[] _required;
    private readonly TrainingOptions _defaults;

    /// <summary>Adds options to a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="defaults">Settings where no option is given.</param>
    /// <param name="names">Names of the settings, in the order of help.</param>
    /// <param name="outFile">Help of <c>--out</c> where that is a file and not a run's folder.</param>
    /// <param name="help">Help of settings that mean something else to this command than to a run.</param>
    /// <param name="recipe">Whether a recipe can hold settings too.</param>
    /// <param name="required">Names of settings that must be given.</param>
    public SettingsOptions(
        Command command, TrainingOptions defaults, IEnumerable<string> names, string? outFile = null,
        IReadOnlyDictionary<string, string>? help = null, bool recipe = false, params string[] required)
    {
        _defaults = defaults;
        _required = required;
        foreach (string name in names)
        {
            Setting setting = Recipe.Find(name) ?? throw new ArgumentException($"{name} is no setting", nameof(names));
            string standard = setting.Read(defaults), text = help?.GetValueOrDefault(name) ?? setting.Help;
            Option option = setting.IsSwitch ? new Option<bool>($"--{name}") { Description = text }
                : setting.IsList
                ? new Option<string[]>($"--{name}")
                {
                    Description = text,
                    HelpName = setting.ValueName,
                    AllowMultipleArgumentsPerToken = true,
                }
                : name == "out" && outFile is not null ? new Option<string>("--out") { Description = outFile, HelpName = "FILE" }
                : new Option<string>($"--{name}")
                {
                    Description = standard.Length > 0 ? $"{text} [default: {standard}]" : text,
                    HelpName = setting.ValueName,
                };
            if (Setting.Choices(setting.Type) is { } choices)
                option.CompletionSources.Add([.. choices.Select(Recipe.Text)]);
            else if (name == "device")
                option.CompletionSources.Add(CommonOptions.DeviceNames);

            option.Required = required.Contains(name) && !recipe;
            s_facts.Add(option, new Facts(setting, required.Contains(name)));
            _options.Add((setting, option));
            command.Options.Add(option);
        }
    }

    /// <summary>The setting that an option gives; null for another option.</summary>
    public static Setting? SettingOf(Option option) => s_facts.TryGetValue(option, out Facts? facts) ? facts.Setting : null;

    /// <summary>Whether an option gives a setting that must be given, by itself or in a recipe.</summary>
    public static bool IsRequired(Option option) => s_facts.TryGetValue(option, out Facts? facts) && facts.Required;

    /// <summary>Refuses settings without a value that must have one.</summary>
    /// <exception cref="UserException">Names all that are missing.</exception>
    public void CheckRequired(TrainingOptions options)
    {
        string[] missing =
            [.. _required.Where(name => Recipe.Find(name)!.WhyUnused(options) is null && Recipe.Find(name)!.Read(options).Length == 0)
                .Select(name => $"--{name}")];
        if (missing.Length > 0)
            throw new UserException(ParseComplaint.Missing(missing));
    }

    /// <summary>The settings that a command line gives.</summary>
    public IReadOnlyList<GivenSetting> Given(ParseResult parsed) =>
    [
        .. from o in _options
           where parsed.GetResult(o.Option) is { Implicit: false }
           select new GivenSetting(o.Setting, Texts(parsed, o.Option), $"--{o.Setting.Name}"),
    ];

    /// <summary>The settings that a command line gives, over others: the defaults unless given.</summary>
    /// <exception cref="UserException">A value is bad.</exception>
    public TrainingOptions Read(ParseResult parsed, TrainingOptions? others = null) =>
        Given(parsed).Aggregate(others ?? _defaults, (options, given) => given.Apply(options));

    /// <summary>The settings that the run in <c>--out</c> began with; null where there is none.</summary>
    /// <exception cref="UserException">Its record is bad.</exception>
    public TrainingOptions? Began(ParseResult parsed) =>
        Read(parsed) is { Out.Length: > 0 } given && Runs.RunFolder.SettingsOf(given.Out) is { } began ? began : null;

    /// <summary>
    /// The settings that a command line gives for a run, over those of a recipe, over those of the run that is resumed, or the defaults.
    /// </summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="recipe">Path of a recipe, or null.</param>
    /// <param name="resume">Whether the run in <c>--out</c> is resumed, if there is one.</param>
    /// <exception cref="UserException">A recipe or value is bad, or one is missing, or the run makes no use of a
    /// setting that is given.</exception>
    public TrainingOptions ReadRun(ParseResult parsed, string? recipe, bool resume)
    {
        IReadOnlyList<GivenSetting> all = Given(parsed);
        TrainingOptions others = (resume ? Began(parsed) : null) ?? _defaults;
        TrainingOptions options = Read(parsed, recipe is null ? others : Recipe.Read(recipe, others));
        foreach (GivenSetting given in all.Where(g => g.Setting.Read(options).Length > 0))
        {
            given.Setting.CheckUsed(options, given.Named);
        }

        CheckRequired(options);
        return options;
    }

    private static string[] Texts(ParseResult parsed, Option option) => option switch
    {
        Option<bool> flag => [parsed.GetValue(flag) ? "true" : "false"],
        Option<string[]> list => parsed.GetValue(list)!,
        _ => [parsed.GetValue((Option<string>)option)!],
    };

    private sealed record Facts(Setting Setting, bool Required);
}

using System.CommandLine;
using System.CommandLine.Invocation;
using System.Globalization;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Cli;

/// <summary>
/// Help of 80 columns. A command with very many options shows those that most people need and the names of groups; <c>--help GROUP</c>
/// shows a group, <c>--help all</c> all of them.
/// </summary>
internal sealed class HelpPrinter : SynchronousCommandLineAction
{
    private const int Width = 80;
    private const int NameWidth = 28;

    // Above this many options a list is no help.
    private const int Many = 40;
    private const string All = "all";

    private readonly Option<string?> _option = new("--help", "-h", "-?")
    {
        Description = "show help; of one GROUP of options, or of all, where a command has many", HelpName = "GROUP",
        Arity = ArgumentArity.ZeroOrOne, Recursive = true,
    };

    private HelpPrinter() => _option.Action = this;

    /// <inheritdoc/>
    public override bool ClearsParseErrors => true;

    /// <summary>The option that prints help.</summary>
    public static Option Option() => new HelpPrinter()._option;

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        Command command = parseResult.CommandResult.Command;
        string? group = parseResult.GetValue(_option);
        IGrouping<string, Option>[] groups =
            [.. command.Options.Where(o => !o.Hidden).GroupBy(o => SettingsOptions.SettingOf(o)?.Group ?? "run")];
        string[] names = [.. Recipe.Settings.Select(s => s.Group).Distinct().Where(name => groups.Any(g => g.Key == name)).OrderBy(
            name => name == "advanced")];
        if (group is not (null or All) && !names.Contains(group))
        {
            throw new UserException(
                $"--help is \"{group}\", expected {All} or a group of options; the nearest is {Spelling.Nearest(group, [.. names, All])}");
        }

        TextWriter output = Console.Out;
        bool grouped = command.Options.Count > Many;
        if (!grouped || group is null)
            WriteHead(output, command);

        if (!grouped)
        {
            WriteOptions(output, "Options", groups.SelectMany(g => g).Append(_option));
            return 0;
        }

        if (group is null)
        {
            WriteOptions(
                output, "Options that most people need",
                command.Options.Where(o => SettingsOptions.SettingOf(o) is null or { IsCommon: true }).Append(_option));
            WriteWrapped(output, $"More options in groups, shown by --help GROUP or --help {All}:", "", 0);
            WriteWrapped(output, "  ", string.Join(", ", names), 2);
            return 0;
        }

        foreach (string name in names.Where(n => group is All || n == group))
        {
            WriteOptions(output, Title(name), groups.Single(g => g.Key == name));
        }

        return 0;
    }

    private static void WriteHead(TextWriter output, Command command)
    {
        WriteWrapped(output, "", command.Description ?? "", 0);
        string arguments =
            string.Concat(command.Arguments.Select(a => $" {a.Name.ToUpperInvariant()}{(a.Arity.MaximumNumberOfValues > 1 ? "…" : "")}"));
        string name = command is RootCommand ? "forgetting" : $"forgetting {command.Name}";
        output.WriteLine();
        output.WriteLine($"Usage: {name}{(command.Subcommands.Count > 0 ? " COMMAND" : "")}{arguments} [options]");
        output.WriteLine();
        if (command.Subcommands.Count > 0)
            WriteRows(output, "Commands", command.Subcommands.Select(c => (c.Name, c.Description ?? "")));

        if (command.Arguments.Count > 0)
            WriteRows(output, "Arguments", command.Arguments.Select(a => (a.Name.ToUpperInvariant(), a.Description ?? "")));
    }

    private static void WriteOptions(TextWriter output, string title, IEnumerable<Option> options) =>
        WriteRows(output, title, options.Select(o => (Name(o), Text(o))));

    private static string Name(Option option)
    {
        string value = option.ValueType == typeof(bool) ? "" : $" {option.HelpName ?? "VALUE"}";
        return option.Name + (option.Arity.MinimumNumberOfValues == 0 && value.Length > 0 && option.ValueType == typeof(string)
            ? $" [{value.Trim()}]"
            : value);
    }

    private static string Text(Option option)
    {
        string text = option.Description ?? "";
        if (option.HasDefaultValue && option.ValueType != typeof(bool)
            && Convert.ToString(option.GetDefaultValue(), CultureInfo.InvariantCulture) is { Length: > 0 } standard
            && !option.ValueType.IsArray)
        {
            text += $" [default: {standard}]";
        }

        return option.Required ? $"{text} (REQUIRED)"
            : SettingsOptions.IsRequired(option) ? $"{text} (REQUIRED, here or in a recipe)"
            : text;
    }

    private static void WriteRows(TextWriter output, string title, IEnumerable<(string Name, string Text)> rows)
    {
        output.WriteLine($"{title}:");
        foreach ((string name, string text) in rows)
        {
            // A long name has its text below it.
            bool below = name.Length > NameWidth - 2;
            if (below)
                output.WriteLine($"  {name}");

            WriteWrapped(output, below ? new string(' ', NameWidth + 2) : $"  {name}".PadRight(NameWidth + 2), text, NameWidth + 2);
        }

        output.WriteLine();
    }

    // Text behind a first part, broken between words; further lines are indented.
    private static void WriteWrapped(TextWriter output, string first, string text, int indent)
    {
        string line = first;
        bool fresh = true;
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (!fresh && line.Length + 1 + word.Length > Width)
            {
                output.WriteLine(line.TrimEnd());
                line = new string(' ', indent);
                fresh = true;
            }

            line += fresh ? word : $" {word}";
            fresh = false;
        }

        output.WriteLine(line.TrimEnd());
    }

    private static string Title(string group) => group == "lora" ? "LoRA" : char.ToUpperInvariant(group[0]) + group[1..].Replace('-', ' ');
}

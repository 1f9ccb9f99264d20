using System.CommandLine;
using System.CommandLine.Parsing;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Cli;

/// <summary>
/// What is wrong with a command line, in the words that errors of this program have: what was found, what was
/// expected, and what may have been meant.
/// </summary>
internal static class ParseComplaint
{
    /// <summary>The first thing that is wrong; null where nothing is.</summary>
    public static string? Of(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        if (Stray(parsed) is { } stray)
            return Unknown(stray, command);

        if (parsed.Errors.Count == 0)
            return null;

        if (command.Subcommands.Count > 0)
            return $"no command is given, expected one of {string.Join(", ", command.Subcommands.Select(c => c.Name))}";

        string[] missing =
            [.. command.Options.Where(o => o.Required && parsed.GetResult(o) is null or { Implicit: true }).Select(o => o.Name)];
        return missing.Length > 0 ? Missing(missing) : Explain(parsed.Errors[0]);
    }

    /// <summary>Says that options are missing.</summary>
    /// <param name="names">Their names, at least one.</param>
    public static string Missing(IReadOnlyList<string> names) =>
        names.Count == 1 ? $"{names[0]} is missing" : $"{string.Join(", ", names.SkipLast(1))} and {names[^1]} are missing";

    // A word that nothing takes; or one with dashes that a list of files or folders took for one of them.
    private static string? Stray(ParseResult parsed)
    {
        IEnumerable<Token> taken = parsed.CommandResult.Children.SelectMany(child => child switch
        {
            ArgumentResult argument => argument.Tokens,
            OptionResult { Option.AllowMultipleArgumentsPerToken: true } option => option.Tokens,
            _ => [],
        });
        return taken.Select(t => t.Value).FirstOrDefault(v => v.StartsWith("--", StringComparison.Ordinal) && v.Length > 2)
            ?? (parsed.UnmatchedTokens is [string unmatched, ..] ? unmatched : null);
    }

    private static string Unknown(string word, Command command)
    {
        if (word.StartsWith('-'))
        {
            string name = word.Split('=', ':')[0];
            if (Recipe.Settings.FirstOrDefault(s => s.Formerly != null && $"--{s.Formerly}" == name) is { } setting
                && command.Options.Any(o => o.Name == $"--{setting.Name}"))
            {
                return $"{name} is now called --{setting.Name}";
            }

            return $"{name} is no option of {command.Name}; "
                + $"the nearest is {Spelling.Nearest(name, command.Options.Concat(Parents(command)).Select(o => o.Name))}";
        }

        return command.Subcommands.Count > 0
            ? $"\"{word}\" is no command; the nearest is {Spelling.Nearest(word, command.Subcommands.Select(c => c.Name))}"
            : $"found \"{word}\", expected an option of {command.Name}";
    }

    private static IEnumerable<Option> Parents(Command command) =>
        command.Parents.OfType<Command>().SelectMany(c => c.Options).Where(o => o.Recursive);

    private static string Explain(ParseError error)
    {
        if (error.SymbolResult is not OptionResult { Option: var option, Tokens: var tokens })
            return error.Message;

        Type type = Nullable.GetUnderlyingType(option.ValueType) ?? option.ValueType;
        if (tokens.Count == 0 && option.Arity.MinimumNumberOfValues > 0)
            return $"{option.Name} has no value, expected {(option.HelpName is { } name ? name : "one")}";

        if (tokens.Count > option.Arity.MaximumNumberOfValues)
            return $"{option.Name} is given {tokens.Count} times, expected once";

        return type == typeof(int) || type == typeof(ulong) || type == typeof(double)
            ? $"{option.Name} is \"{tokens[0].Value}\", expected {Setting.Expected(type, tokens[0].Value)}"
            : error.Message;
    }
}

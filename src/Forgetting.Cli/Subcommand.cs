using System.CommandLine;

namespace Forgetting.Cli;

/// <summary>
/// A command of <c>forgetting</c>. Its options are made only where they are asked for: to make those of all commands takes longer than all
/// else that happens before a command begins.
/// </summary>
/// <param name="Name">Word on the command line.</param>
/// <param name="Description">Line of the list of commands, and head of its own help.</param>
/// <param name="Fill">Adds its options and arguments, and what it does.</param>
internal sealed record Subcommand(string Name, string Description, Action<Command> Fill)
{
    /// <summary>The command, with its options or without.</summary>
    public Command Create(bool filled)
    {
        var command = new Command(Name, Description);
        if (filled)
            Fill(command);

        return command;
    }
}

/// <summary>Adding to commands.</summary>
internal static class SubcommandExtensions
{
    /// <summary>Adds options and arguments, in the order of the help.</summary>
    public static void Fill(this Command command, params ReadOnlySpan<Symbol> symbols)
    {
        foreach (Symbol symbol in symbols)
        {
            if (symbol is Argument argument)
                command.Arguments.Add(argument);
            else
                command.Options.Add((Option)symbol);
        }
    }
}

using Forgetting.Cli;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>Tests that run commands in this process share its console, so they do not run beside each other.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class CommandCollection
{
    public const string Name = "commands";
}

/// <summary>What a command left: its exit code and what it printed.</summary>
internal sealed record CommandResult(int ExitCode, string Output, string Error)
{
    /// <summary>Runs a command in this process.</summary>
    public static CommandResult Of(params string[] arguments)
    {
        TextWriter output = Console.Out, error = Console.Error;
        using var capturedOutput = new StringWriter();
        using var capturedError = new StringWriter();
        Console.SetOut(capturedOutput);
        Console.SetError(capturedError);
        try
        {
            int code = CommandLine.Run(arguments);
            return new CommandResult(code, capturedOutput.ToString(), capturedError.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }
}

using System.CommandLine;
using System.CommandLine.Help;
using Forgetting.Backends;
using Forgetting.Cli.Commands;
using Forgetting.Methods;

namespace Forgetting.Cli;

/// <summary>The command <c>forgetting</c>: its subcommands, and what every one of them does with errors and interruption.</summary>
internal static class CommandLine
{
    /// <summary>Exit code for bad input.</summary>
    public const int BadInput = 2;

    /// <summary>Exit code of a run that finished with a loss far above the one it began with.</summary>
    public const int Diverged = 3;

    private static readonly char[] s_space = [' ', '\t', '\r', '\n'];

    // What a shell reports for a process that SIGINT ended; scripts tell an interrupted run from a finished one by it.
    private const int Interrupted = 130;

    /// <summary>The whole command tree.</summary>
    public static RootCommand Create()
    {
        var root = new RootCommand("Fine-tune decoder language models by learning and forgetting at once.")
        {
            DemoCommand.Create(),
            TuneCommand.Create(),
            ScoreCommand.Create(),
            LossCommand.Create(),
            ElicitCommand.Create(),
            FisherCommand.Create(),
            ConfidenceCommand.Create(),
            RunCommand.Create(),
            GenerateCommand.Create(),
            ChatCommand.Create(),
            EvalCommand.Create(),
            TokenizeCommand.Create(),
            PretrainCommand.Create(),
            MergeCommand.Create(),
            CompareCommand.Create(),
            InspectCommand.Create(),
            DoctorCommand.Create(),
            SchemaCommand.Create(),
        };
        root.Options.Remove(root.Options.OfType<HelpOption>().Single());
        root.Options.Add(HelpPrinter.Option());
        return root;
    }

    /// <summary>Parses and runs; returns the exit code.</summary>
    public static int Run(string[] args)
    {
        ParseResult parsed = Create().Parse(args);
        if (parsed.Action is not HelpPrinter && ParseComplaint.Of(parsed) is { } complaint)
            return Fail(complaint);

        try
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (UserException error)
        {
            return Fail(error.Message);
        }
        catch (DeviceMemoryException error)
        {
            return Fail(error.Message);
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine("interrupted");
            return Interrupted;
        }
        catch (IOException error)
        {
            // The disk is full, the folder read-only, the pipe closed: the user's to mend, not a defect.
            return Fail(error.Message);
        }
        catch (UnauthorizedAccessException error)
        {
            return Fail(error.Message);
        }
    }

    /// <summary>Exit code of a finished run, after a warning where it diverged.</summary>
    public static int ExitCode(TuneSummary summary)
    {
        if (summary.Outcome?.Warning is not { } warning)
            return 0;

        Console.Error.WriteLine($"warning: {warning}");
        return Diverged;
    }

    private static int Fail(string message)
    {
        // What the system or the parser of arguments says quotes the user's input, too.
        message = new UserException(string.Join(' ', message.Split(s_space, StringSplitOptions.RemoveEmptyEntries))).Message;
        Console.Error.WriteLine($"error: {message}");
        return BadInput;
    }
}

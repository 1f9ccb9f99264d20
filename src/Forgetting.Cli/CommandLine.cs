using System.CommandLine;
using System.CommandLine.Help;
using Forgetting.Cli.Commands;
using Forgetting.Core;
using Forgetting.Distributed;
using Forgetting.Runs;
using Forgetting.Tensors;

namespace Forgetting.Cli;

/// <summary>The command <c>forgetting</c>: its subcommands, and what every one of them does with errors and interruption.</summary>
internal static class CommandLine
{
    /// <summary>Exit code for bad input.</summary>
    public const int BadInput = 2;

    /// <summary>Exit code of a run that finished with a loss far above the one it began with; or that lost one of its ranks.</summary>
    public const int Diverged = 3;

    private static readonly char[] s_space = [' ', '\t', '\r', '\n'];

    // What a shell reports for a process that SIGINT ended; scripts tell an interrupted run from a finished one by it.
    private const int Interrupted = 130;

    // In the order of the help.
    private static readonly Subcommand[] s_commands =
    [
        DemoCommand.Entry, TuneCommand.Entry, ScoreCommand.Entry, LossCommand.Entry, ElicitCommand.Entry, FisherCommand.Entry,
        ConfidenceCommand.Entry, RunCommand.Entry, GenerateCommand.Entry, ChatCommand.Entry, ServeCommand.Entry,
        EvalCommand.Entry, MembershipCommand.Entry, DataCommand.Entry, TokenizeCommand.Entry, PretrainCommand.Entry,
        MergeCommand.Entry, ExportCommand.Entry, CompareCommand.Entry, WatchCommand.Entry, InspectCommand.Entry,
        PlanCommand.Entry, DoctorCommand.Entry, SchemaCommand.Entry, CompletionCommand.Entry,
    ];

    /// <summary>The command tree.</summary>
    /// <param name="args">Words to parse by it: the commands among them, which alone get their options; null for all of them.</param>
    public static RootCommand Create(IReadOnlyCollection<string>? args = null)
    {
        var root = new RootCommand("Fine-tune decoder language models by learning and forgetting at once.");
        foreach (Subcommand command in s_commands)
        {
            root.Subcommands.Add(command.Create(args?.Contains(command.Name) ?? true));
        }

        root.Options.Remove(root.Options.OfType<HelpOption>().Single());
        root.Options.Add(HelpPrinter.Option());
        return root;
    }

    /// <summary>Parses and runs; returns the exit code.</summary>
    public static int Run(string[] args)
    {
        try
        {
            Ranks.Begin();
            bool completes = args is [['[', ..], ..]; // what a shell asks, of a line that is one of the words
            ParseResult parsed = Create(completes ? null : args).Parse(args);
            if (parsed.Action is not HelpPrinter && !completes && ParseComplaint.Of(parsed) is { } complaint)
                return Fail(complaint);

            Ranks.CheckCommand(parsed);
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (Exception error) when (Outcome(error) is { } outcome)
        {
            WriteLine(outcome.Line);
            return outcome.ExitCode;
        }
    }

    /// <summary>Exit code and line for an exception that is no defect; null for others.</summary>
    internal static (int ExitCode, string Line)? Outcome(Exception error) => error switch
    {
        UserException or DeviceMemoryException => (BadInput, ErrorLine(error.Message)),
        OperationCanceledException => (Interrupted, "interrupted"),
        PeerException peer => (peer.ExitCode, peer.Message),
        _ when IsLackOfMeans(error) => (BadInput, ErrorLine(
            "the system gives no more memory, threads or open files; "
            + "expected more of them (ulimit -a shows the limits), or smaller sizes")),

        // The disk is full, the folder read-only, the pipe closed: the user's to mend, not a defect.
        IOException or UnauthorizedAccessException => (BadInput, ErrorLine(error.Message)),
        _ => null,
    };

    /// <summary>Exit code of a finished run, after a warning where it diverged.</summary>
    public static int ExitCode(TuneSummary summary)
    {
        if (summary.Outcome?.Warning is not { } warning)
            return 0;

        Console.Error.WriteLine($"warning: {warning}");
        return Diverged;
    }

    private static void WriteLast(Microsoft.Win32.SafeHandles.SafeFileHandle file, string text)
    {
        try
        {
            RandomAccess.Write(file, System.Text.Encoding.UTF8.GetBytes(text), 0);
        }
        catch (Exception error) when (error is IOException or NotSupportedException or UnauthorizedAccessException)
        {
            // Nobody is there to read it.
        }
    }

    // A thread that cannot start throws the first or the second; a part of .NET that cannot be opened is said not to exist.
    private static bool IsLackOfMeans(Exception error) =>
        error is OutOfMemoryException or TaskSchedulerException or InsufficientExecutionStackException
            || (error is FileNotFoundException { FileName: { } name } && name.Contains(", Version=", StringComparison.Ordinal))
        || (error is TypeInitializationException or AggregateException && error.InnerException is { } cause && IsLackOfMeans(cause));

    internal static int Fail(string message)
    {
        WriteLine(ErrorLine(message));
        return BadInput;
    }

    // What the system or the parser of arguments says quotes the user's input, too.
    private static string ErrorLine(string message) =>
        $"error: {new UserException(string.Join(' ', message.Split(s_space, StringSplitOptions.RemoveEmptyEntries))).Message}";

    private static void WriteLine(string line)
    {
        try
        {
            Console.Error.WriteLine(line);
        }
        catch (IOException)
        {
            // The console opens files before its first word, which may be what failed.
            using var file = new Microsoft.Win32.SafeHandles.SafeFileHandle(2, ownsHandle: false);
            WriteLast(file, line + "\n");
        }
    }
}

using System.CommandLine;
using System.Net.Sockets;
using Forgetting.Core;
using Forgetting.Distributed;

namespace Forgetting.Cli;

/// <summary>
/// A command of which several processes do one run: those that a launcher started, or that this one starts by a launcher.
/// </summary>
internal static class Ranks
{
    // Of the commands that several processes share.
    private static readonly string[] s_shared = ["tune", "score", "loss", "eval", "doctor"];

    // Longer than the rank that speaks takes to do so.
    private static readonly TimeSpan s_quiet = TimeSpan.FromSeconds(5);
    private static TextWriter s_voice = Console.Error;
    private static Socket? s_watch;

    /// <summary>Takes the console from all ranks but the first, and calls who watches over them.</summary>
    /// <exception cref="UserException">See <see cref="RankEnvironment.Current"/>.</exception>
    public static void Begin()
    {
        if (RankEnvironment.Current is not { } environment)
            return;

        s_watch = RankWatch.Call(environment.Rank);
        if (environment.Rank == 0)
            return;

        s_voice = Console.Error;
        Console.SetOut(TextWriter.Null);
        Console.SetError(TextWriter.Null);
    }

    /// <summary>Refuses several processes of a command that does its work in one.</summary>
    /// <exception cref="UserException">It is such a command.</exception>
    public static void CheckCommand(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        if (command is not RootCommand && !s_shared.Contains(command.Name) && RankEnvironment.Current is { } environment)
        {
            throw new UserException(
                $"{environment.Size} processes of forgetting {command.Name} were started together, "
                + $"expected one: of {string.Join(", ", s_shared[..^1])} and {s_shared[^1]} alone several may do the work");
        }
    }

    /// <summary>Adds the options for several processes to a command.</summary>
    /// <param name="what">What the processes do.</param>
    public static (BoundedOption Ranks, BoundedOption Deadline) AddOptions(Command command, string what)
    {
        BoundedOption ranks = new("--ranks", what, null, 1, 4096), deadline = new(
            "--collective-timeout",
            "seconds that one of several processes may give no sign of life before the others end the run", 300, 1, 86_400);
        command.Options.Add(ranks);
        command.Options.Add(deadline);
        return (ranks, deadline);
    }

    /// <summary>Does the work on as many ranks as are asked for, or as a launcher has started.</summary>
    /// <param name="ranks">Option for the number of ranks; without, as many as there are.</param>
    /// <param name="timeout">Option for how long a rank may give no sign of life, seconds.</param>
    /// <param name="work">Work of a rank; gives its exit code.</param>
    /// <param name="stopping">What to say where the user asks it to stop.</param>
    /// <returns>Exit code of this process.</returns>
    /// <exception cref="UserException">There is no launcher, or it has started another number.</exception>
    public static int Run(
        BoundedOption ranks, BoundedOption timeout, ParseResult parsed, Func<ICommunicator, CancellationToken, int> work,
        string stopping = Interruption.AfterStep)
    {
        int? wanted = ranks.Read(parsed);
        var deadline = TimeSpan.FromSeconds(timeout.Read(parsed)!.Value);
        if (RankEnvironment.Current is not { } environment)
        {
            if (wanted > 1)
                return RankLauncher.Run(wanted.Value, stopping);

            using var alone = new Interruption(stopping);
            return work(SingleProcess.Instance, alone.Token);
        }

        if (wanted is { } number && number != environment.Size)
        {
            throw new UserException(
                $"--ranks is {number}, and the launcher started {environment.Size}; expected no --ranks with a launcher");
        }

        // Without a word: launchers end the ranks by the same signals once one is lost.
        using var interruption = new Interruption(what: null);
        using IProcessGroup communicator = environment.Library is { } library
            ? new MpiCommunicator(library, deadline)
            : new TcpCommunicator(environment, deadline);
        using Socket? watch = s_watch;
        try
        {
            int code = work(communicator, interruption.Token);
            communicator.Close();
            RankWatch.Say(watch, code);
            return code;
        }
        catch (Exception error) when (CommandLine.Outcome(error) is { } outcome)
        {
            (int code, string line) = outcome;
            if (!communicator.IsFirst() && error is UserException)
                line = line.Replace("error: ", $"error: rank {communicator.Rank}: ", StringComparison.Ordinal);

            if (communicator.Fail(line, code))
                s_voice.WriteLine(line);
            else
                Thread.Sleep(s_quiet);

            RankWatch.Say(watch, code);
            return code;
        }
    }
}

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
    // Longer than the rank that speaks takes to do so.
    private static readonly TimeSpan s_quiet = TimeSpan.FromSeconds(5);
    private static TextWriter s_voice = Console.Error;

    /// <summary>Takes the console from all ranks but the first.</summary>
    /// <exception cref="UserException">See <see cref="RankEnvironment.Current"/>.</exception>
    public static void Begin()
    {
        if (RankEnvironment.Current is not { Rank: > 0 })
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
        if (command is not RootCommand && command.Name != "tune" && RankEnvironment.Current is { } environment)
        {
            throw new UserException(
                $"{environment.Size} processes of forgetting {command.Name} were started together, "
                + "expected one: forgetting tune alone shares its work");
        }
    }

    /// <summary>Does the work on as many ranks as are asked for, or as a launcher has started.</summary>
    /// <param name="wanted">Number of ranks; null for as many as there are.</param>
    /// <param name="deadline">For how long a rank may give no sign of life.</param>
    /// <param name="work">Work of a rank; gives its exit code.</param>
    /// <returns>Exit code of this process.</returns>
    /// <exception cref="UserException">There is no launcher, or it has started another number.</exception>
    public static int Run(int? wanted, TimeSpan deadline, Func<ICommunicator, CancellationToken, int> work)
    {
        if (RankEnvironment.Current is not { } environment)
        {
            if (wanted > 1)
                return RankLauncher.Run(wanted.Value);

            using var alone = new Interruption();
            return work(SingleProcess.Instance, alone.Token);
        }

        if (wanted is { } ranks && ranks != environment.Size)
        {
            throw new UserException(
                $"--ranks is {ranks}, and the launcher started {environment.Size}; expected no --ranks with a launcher");
        }

        // Without a word: launchers end the ranks by the same signals once one is lost.
        using var interruption = new Interruption(what: null);
        using var communicator = new MpiCommunicator(environment.Library, deadline);
        using Socket? watch = RankWatch.Call(communicator.Rank);
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

using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Forgetting.Core;
using Forgetting.Distributed;

namespace Forgetting.Cli;

/// <summary>
/// Runs this command line once more on several ranks of this machine, by the launcher of Open MPI or MPICH that is on the PATH, or without
/// one as processes that meet over TCP. Passes on what the ranks print, and says in a line of its own what launchers say in many.
/// </summary>
internal static partial class RankLauncher
{
    private const int Terminate = 15; // SIGTERM
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(100), s_farewell = TimeSpan.FromSeconds(15);

    /// <summary>Runs the ranks to their end.</summary>
    /// <param name="stopping">What to say where the user asks them to stop.</param>
    /// <returns>Exit code: that of the ranks, or that of a run that has lost one.</returns>
    /// <exception cref="UserException">The launcher is neither of the two.</exception>
    public static int Run(int ranks, string stopping)
    {
        using var watch = new RankWatch();
        (string Path, MpiFlavor Flavor)? found = Find(ranks);
        Process[] processes = found is { } launcher
            ? [Start(ranks, [launcher.Path, .. Options(launcher.Flavor, ranks), .. Own()], [], watch)]
            : [.. Enumerable.Range(0, ranks).Select(rank => Start(ranks, Own(), Variables(rank, ranks, watch), watch))];
        try
        {
            return Run(processes, ranks, found is null ? null : "mpirun", watch, stopping);
        }
        finally
        {
            Array.ForEach(processes, process => process.Dispose());
        }
    }

    /// <summary>Which implementation a launcher belongs to, by what it says of its version; null for another.</summary>
    internal static MpiFlavor? FlavorOf(string version) =>
        version.Contains("Open MPI", StringComparison.Ordinal) || version.Contains("OpenRTE", StringComparison.Ordinal) ? MpiFlavor.OpenMpi
        : version.Contains("HYDRA", StringComparison.Ordinal) ? MpiFlavor.Mpich
        : null;

    // Null where there is none.
    private static (string Path, MpiFlavor Flavor)? Find(int ranks)
    {
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator))
        {
            string path = Path.Combine(folder, "mpirun");
            if (folder.Length == 0 || !File.Exists(path))
                continue;

            using Process process = Process.Start(
                new ProcessStartInfo(path, "--version") { RedirectStandardOutput = true, RedirectStandardError = true })!;
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            string version = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return FlavorOf(version) is { } flavor
                ? (path, flavor)
                : throw new UserException(
                    $"--ranks is {ranks}: {path} is neither that of Open MPI nor that of MPICH, expected one of them");
        }

        return null;
    }

    private static string[] Options(MpiFlavor flavor, int ranks) =>
    [
        .. flavor == MpiFlavor.OpenMpi ? ["--oversubscribe", "--bind-to", "none"] : Array.Empty<string>(),
        .. flavor == MpiFlavor.OpenMpi && Environment.UserName == "root" ? ["--allow-run-as-root"] : Array.Empty<string>(),
        "-n", ranks.ToString(CultureInfo.InvariantCulture),
    ];

    // This command line.
    private static string[] Own()
    {
        string program = Environment.ProcessPath!;
        string[] own = Environment.GetCommandLineArgs();
        return [program, .. Path.GetFileNameWithoutExtension(program) == "dotnet" ? own : own[1..]];
    }

    private static (string Name, string Value)[] Variables(int rank, int ranks, RankWatch watch)
    {
        string number = rank.ToString(CultureInfo.InvariantCulture);
        return
        [
            ("RANK", number), ("LOCAL_RANK", number), ("WORLD_SIZE", ranks.ToString(CultureInfo.InvariantCulture)),
            (RankEnvironment.MeetingVariable, watch.MeetingFile),
        ];
    }

    private static Process Start(int ranks, string[] command, (string Name, string Value)[] variables, RankWatch watch)
    {
        // In a session of its own it does not see the terminal's Ctrl-C, at which launchers would end the ranks without a checkpoint.
        var start = new ProcessStartInfo("setsid", command)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment[RankWatch.Variable] = watch.Address;

        // Ranks read large messages in each other's memory, and say so where it is gone, or closed to them as in containers: Open MPI by
        // itself, MPICH by UCX, which must then be left no other way than shared memory: over TCP its last call may wait for ever.
        start.Environment.TryAdd("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
        start.Environment.TryAdd("UCX_TLS", "self,posix,sysv");
        start.Environment["TERM"] = "dumb"; // Open MPI gives ranks a terminal, which the reader of their output need not have
        foreach ((string name, string value) in variables)
        {
            start.Environment[name] = value;
        }

        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception error)
        {
            throw new UserException(
                $"--ranks is {ranks}: setsid does not start ({error.Message}); expected it on the PATH (util-linux)", error);
        }
    }

    // The processes are a launcher, or the ranks themselves where it has no name.
    private static int Run(Process[] processes, int ranks, string? launcher, RankWatch watch, string stopping)
    {
        LauncherOutput output = new(Console.Out), errors = new(Console.Error);
        foreach (Process process in processes)
        {
            process.StandardInput.Close();
            process.OutputDataReceived += (_, line) => output.Take(line.Data);
            process.ErrorDataReceived += (_, line) => errors.Take(line.Data);
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
        }

        using var interruption = new Interruption(stopping, again: () => Signal(Terminate));
        using CancellationTokenRegistration request = interruption.Token.Register(() => Signal((int)(Interruption.User ?? default)));
        Process? bad = Wait(processes);
        (int? exitCode, int? lost) = watch.Ends(ranks);
        if (exitCode is { } said)
            return said;

        int code = bad?.ExitCode ?? 0;
        if (launcher is null && bad != null)
            lost = Array.IndexOf(processes, bad); // the others may have been ended for it

        if (lost is null && (code == 0 || code == CommandLine.BadInput))
            return code;

        string what = lost is null ? $"{launcher} ended"
            : $"rank {lost} ended without a word{(launcher is null ? "" : $", and {launcher}")}";
        var loss = PeerException.OfLoss($"{what} with exit code {code}");
        Console.Error.WriteLine(loss.Message);
        return loss.ExitCode;

        void Signal(int number) => Array.ForEach(processes, process => _ = Kill(process.Id, number));
    }

    // Once one has ended badly the others end by themselves; what has not by then is ended. Gives the first that did.
    private static Process? Wait(Process[] processes)
    {
        Stopwatch? since = null;
        Process? bad = null;
        while (Array.Exists(processes, process => !process.WaitForExit(s_look)))
        {
            bad ??= Array.Find(processes, process => process.HasExited && process.ExitCode != 0);
            if (bad is null)
                continue;

            since ??= Stopwatch.StartNew();
            if (since.Elapsed > s_farewell)
                Array.ForEach(processes, process => process.Kill());
        }

        Array.ForEach(processes, process => process.WaitForExit()); // until their output is here
        return bad ?? Array.Find(processes, process => process.ExitCode != 0);
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}

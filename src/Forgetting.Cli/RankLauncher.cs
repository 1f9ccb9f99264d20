using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Forgetting.Core;
using Forgetting.Distributed;

namespace Forgetting.Cli;

/// <summary>
/// Runs this command line once more on several ranks of this machine, by the launcher of Open MPI or MPICH that is on the PATH. Passes on
/// what the ranks print, and says in a line of its own what launchers say in many.
/// </summary>
internal static partial class RankLauncher
{
    private const int Terminate = 15; // SIGTERM

    /// <summary>Runs the ranks to their end.</summary>
    /// <returns>Exit code: that of the ranks, or that of a run that has lost one.</returns>
    /// <exception cref="UserException">There is no launcher.</exception>
    public static int Run(int ranks)
    {
        (string launcher, MpiFlavor flavor) = Find(ranks);
        using var watch = new RankWatch();
        using Process process = Start(launcher, flavor, ranks, watch.Address);
        return Run(process, watch);
    }

    /// <summary>Which implementation a launcher belongs to, by what it says of its version; null for another.</summary>
    internal static MpiFlavor? FlavorOf(string version) =>
        version.Contains("Open MPI", StringComparison.Ordinal) || version.Contains("OpenRTE", StringComparison.Ordinal) ? MpiFlavor.OpenMpi
        : version.Contains("HYDRA", StringComparison.Ordinal) ? MpiFlavor.Mpich
        : null;

    private static (string Path, MpiFlavor Flavor) Find(int ranks)
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

        throw new UserException(
            $"--ranks is {ranks}, and mpirun is not found; expected Open MPI or MPICH on the PATH: "
            + "apt-get install openmpi-bin, or apt-get install mpich");
    }

    private static Process Start(string launcher, MpiFlavor flavor, int ranks, string address)
    {
        string program = Environment.ProcessPath!;
        string[] own = Environment.GetCommandLineArgs();
        bool hosted = Path.GetFileNameWithoutExtension(program) == "dotnet";
        List<string> arguments =
        [
            launcher,
            .. flavor == MpiFlavor.OpenMpi ? ["--oversubscribe", "--bind-to", "none"] : Array.Empty<string>(),
            .. flavor == MpiFlavor.OpenMpi && Environment.UserName == "root" ? ["--allow-run-as-root"] : Array.Empty<string>(),
            "-n", ranks.ToString(CultureInfo.InvariantCulture), program, .. hosted ? own : own[1..],
        ];

        // In a session of its own it does not see the terminal's Ctrl-C, at which it would end the ranks without a checkpoint.
        var start = new ProcessStartInfo("setsid", arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment[RankWatch.Variable] = address;

        // Open MPI's ranks read large messages in each other's memory, and say so where it is gone, or closed to them as in containers.
        start.Environment.TryAdd("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
        start.Environment["TERM"] = "dumb"; // Open MPI gives ranks a terminal, which the reader of their output need not have
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

    private static int Run(Process process, RankWatch watch)
    {
        LauncherOutput output = new(Console.Out), errors = new(Console.Error);
        process.StandardInput.Close();
        process.OutputDataReceived += (_, line) => output.Take(line.Data);
        process.ErrorDataReceived += (_, line) => errors.Take(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        using var interruption = new Interruption(again: () => _ = Kill(process.Id, Terminate));
        using CancellationTokenRegistration request =
            interruption.Token.Register(() => _ = Kill(process.Id, (int)(Interruption.User ?? default)));
        process.WaitForExit();
        (int? exitCode, int? lost) = watch.Ends();
        if (exitCode is { } said)
            return said;

        if (lost is null && (process.ExitCode == 0 || process.ExitCode == CommandLine.BadInput))
            return process.ExitCode;

        string what = lost is null ? "mpirun ended" : $"rank {lost} ended without a word, and mpirun";
        Console.Error.WriteLine($"error: {what} with exit code {process.ExitCode}; the run stops, and resumes from its last checkpoint");
        return PeerException.Lost;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}

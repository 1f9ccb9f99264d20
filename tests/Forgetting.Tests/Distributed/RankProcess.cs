using System.Diagnostics;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>Processes of the command, which start ranks by a launcher.</summary>
internal static class RankProcess
{
    /// <summary>The command's assembly.</summary>
    public static string Program { get; } = Path.Combine(AppContext.BaseDirectory, "Forgetting.Cli.dll");

    /// <summary>Waits for a command that must succeed.</summary>
    public static void Ok(Process process)
    {
        (int code, string said) = Run(process);
        Assert.True(code == 0, said);
    }

    /// <summary>Starts a command, with the launcher as mpirun on the PATH, or for tcp with nothing but what starts a process.</summary>
    /// <param name="folder">Gets what stands on the PATH.</param>
    /// <param name="flavor">openmpi, mpich or tcp; null for what is on the PATH.</param>
    public static Process Start(TemporaryFolder folder, string? flavor, string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Program, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        if (flavor == "tcp")
        {
            string path = Directory.CreateDirectory(folder["tcp"]).FullName, link = Path.Combine(path, "setsid");
            if (!File.Exists(link))
                File.CreateSymbolicLink(link, "/usr/bin/setsid");

            start.Environment["PATH"] = path;
        }
        else if (flavor != null)
        {
            string script = folder.Write($"{flavor}/mpirun", $"#!/bin/sh\nexec {Mpi.Program(flavor)} \"$@\"\n");
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            start.Environment["PATH"] = $"{Path.GetDirectoryName(script)}:{Environment.GetEnvironmentVariable("PATH")}";
        }

        return Process.Start(start)!;
    }

    /// <summary>Waits for a command.</summary>
    /// <returns>Exit code, and what was said on standard error from the signal on, but for progress; without a signal all of it.</returns>
    public static (int Code, string Said) Run(Process process, string? signalAt = null, Action? signal = null)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        var said = new List<string>();
        while (process.StandardError.ReadLine() is { } line)
        {
            if (signalAt != null && line.Contains(signalAt, StringComparison.Ordinal))
            {
                signal!();
                signalAt = null;
                said.Clear();
                continue;
            }

            if (!line.StartsWith("step ", StringComparison.Ordinal) && !line.StartsWith("checkpoint ", StringComparison.Ordinal)
                && !line.StartsWith("stopping after this step", StringComparison.Ordinal))
            {
                said.Add(line);
            }
        }

        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(2)), "the command did not end");
        _ = output.Result;
        return (process.ExitCode, string.Join('\n', said));
    }
}

using System.Diagnostics;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Runs;

/// <summary>The command in a process of its own, killed (SIGKILL) at what it says.</summary>
public sealed class KillTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(4);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SharedDataFact]
    public void A_run_killed_in_every_stage_resumes_to_the_same_bits_and_leaves_nothing_half_written()
    {
        string data = _folder.Write("data.jsonl", string.Join('\n', File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(24)));
        string[] settings =
        [
            "--model", SharedData.Path("stories260K", "hf"), "--data", data, "--prompt-field", "question", "--completion-field", "answer",
            "--epochs", "2", "--batch-size", "8", "--lora-rank", "4", "--learning-rate", "5e-3", "--checkpoint-every", "1",
        ];
        Assert.Equal(0, Run(null, ["tune", "--out", _folder["whole"], .. settings]).Code);

        string run = _folder["run"];
        string[] arguments = ["tune", "--out", run, .. settings];
        foreach (string moment in new[] { "reference/checkpoints/step-000001", "scoring 20 examples", "/checkpoints/step-000002",
            "/checkpoints/step-000005", "writing the model" })
        {
            Assert.Equal(137, Run(moment, arguments).Code);

            // What the process could have been writing at that moment, wherever it was.
            foreach (string half
                in new[] { ".model.aaaaaaaa.bbb.tmp", "checkpoints/.step-000009.aaaaaaaa.bbb.tmp", "reference/.model.aaaaaaaa.bbb.tmp" })
            {
                Directory.CreateDirectory(Path.Combine(run, half));
            }

            arguments = ["tune", "--resume", "--out", run];
        }

        Assert.Equal(0, Run(null, arguments).Code);
        Assert.Equal(
            File.ReadAllBytes(_folder["whole", "model/model.safetensors"]),
            File.ReadAllBytes(Path.Combine(run, "model", "model.safetensors")));
        Assert.Equal(Files(_folder["whole"]), Files(run));

        static IEnumerable<string> Files(string folder) =>
            Directory.GetFileSystemEntries(folder, "*", SearchOption.AllDirectories)
                .Select(f => Path.GetRelativePath(folder, f))
                .Order(StringComparer.Ordinal);
    }

    [SharedDataFact]
    public void A_second_process_in_the_folder_is_refused_in_one_line()
    {
        string data = _folder.Write("data.jsonl", string.Join('\n', File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(24)));
        string[] arguments =
        [
            "tune", "--model", SharedData.Path("stories260K", "hf"), "--data", data, "--prompt-field", "question", "--completion-field",
            "answer", "--method", "full", "--steps", "100000", "--batch-size", "8", "--out", _folder["run"], "--checkpoint-every", "1",
        ];
        (int Code, string Said) second = (0, "");
        Run("checkpoints/step-000001", arguments, () => second = Run(null, [.. arguments, "--resume"]));
        Assert.Equal(2, second.Code);
        Assert.Equal(
            $"error: {_folder["run"]}: another run is at work in this folder (it holds {_folder["run", ".lock"]}); "
                + "wait for it or choose another folder",
            second.Said.Trim());
    }

    /// <summary>Runs the command until it ends, or says something on standard error, upon which it is killed.</summary>
    private static (int Code, string Said) Run(string? killedAt, string[] arguments, Action? first = null)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Forgetting.Cli.dll"), .. arguments])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        var said = new List<string>();
        while (process.StandardError.ReadLine() is { } line)
        {
            said.Add(line);
            if (killedAt == null || !line.Contains(killedAt, StringComparison.Ordinal))
                continue;

            first?.Invoke();
            process.Kill();
        }

        Assert.True(process.WaitForExit(s_patience), "the command did not end");
        _ = output.Result;
        return (process.ExitCode, string.Join('\n', said));
    }
}

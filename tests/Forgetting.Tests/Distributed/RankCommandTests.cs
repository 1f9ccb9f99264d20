using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>forgetting tune on several processes, under the launchers of Open MPI and MPICH.</summary>
public sealed class RankCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _settings;

    public RankCommandTests()
    {
        if (Mpi.Missing != null)
        {
            _settings = [];
            return;
        }

        _settings =
        [
            "--model", SharedData.Path("stories260K", "hf"), "--data", Data("data.jsonl", 0, 16), "--prompt-field", "question",
            "--completion-field", "answer", "--batch-size", "4", "--learning-rate", "1e-3", "--clip", "1",
        ];
    }

    public void Dispose() => _folder.Dispose();

    [MpiTheory]
    [InlineData("full", "--lora-rank", "0")]
    [InlineData("forget", "--lora-rank", "4")]
    [InlineData("lwf", "--lora-rank", "4")]
    public void Losses_are_those_of_one_process_and_the_same_bits_whoever_launches(string method, params string[] more)
    {
        string[] settings = [.. _settings, "--method", method, "--steps", "50", .. more];
        if (method == "lwf")
            settings = [.. settings, "--forget-prompts", Data("prompts.jsonl", 20, 12), "--max-new-tokens", "8", "--forget-interval", "5"];

        RankProcess.Ok(Start(null, ["tune", "--out", _folder["1"], .. settings]));
        StepMetrics[] one = Metrics("1");
        Assert.Equal(50, one.Length);
        StepMetrics[][] many =
        [
            .. new[]
            {
                ("openmpi", "2", "none"), ("mpich", "2", "none"), ("openmpi", "2", "gradients"), ("mpich", "2", "gradients"),
                ("mpich", "4", "optimizer"), ("tcp", "2", "none"),
            }.Select(launch =>
            {
                (string flavor, string ranks, string shard) = launch;
                string run = flavor + ranks + shard;
                RankProcess.Ok(Start(flavor, ["tune", "--ranks", ranks, "--shard", shard, "--out", _folder[run], .. settings]));
                TuneSummary summary = TuneSummary.Read(_folder[run]);

                Assert.InRange(summary.PredictedMemoryBytes, 0.9 * summary.DeviceMemoryBytes, 1.1 * summary.DeviceMemoryBytes);
                return Metrics(run);
            }),
        ];
        Assert.Equal(Numbers(many[0]), Numbers(many[1]));
        Assert.Equal(Numbers(many[2]), Numbers(many[3]));
        Assert.Equal(Numbers(many[0]), Numbers(many[^1]));
        Assert.All(many[1..], found => Assert.All(one.Zip(found), pair =>
        {
            DataParallelTests.Close(pair.First.PositiveLoss, pair.Second.PositiveLoss);
            DataParallelTests.Close(pair.First.NegativeLoss, pair.Second.NegativeLoss);
            DataParallelTests.Close(pair.First.ForgetLoss, pair.Second.ForgetLoss);
        }));

        static IEnumerable<object?> Numbers(StepMetrics[] metrics) =>
            metrics.Select(m => (object?)(m.Loss, m.PositiveLoss, m.NegativeLoss, m.GradNorm, m.ForgetLoss));
    }

    [MpiTheory]
    [InlineData("openmpi", 1)]
    [InlineData("mpich", 0)]
    [InlineData("mpich", 2)]
    [InlineData("tcp", 0)]
    [InlineData("tcp", 1)]
    public void A_rank_that_is_killed_ends_all_in_one_line_and_others_in_number_resume(string flavor, int rank)
    {
        string[] settings = [.. _settings, "--method", "full", "--lora-rank", "0", "--checkpoint-every", "2"];
        using Process process = Start(flavor, ["tune", "--ranks", "3", "--out", _folder["run"], "--steps", "40", .. settings]);
        (int code, string said) = RankProcess.Run(process, "checkpoints/step-000004", () => Signal("KILL", RankOf(process, rank)));
        Assert.Equal(3, code);
        Assert.StartsWith(
            flavor == "tcp"
                ? $"error: rank {rank} has ended without a word; the run stops"
                : $"error: rank {rank} ended without a word, and mpirun",
            said, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', said);

        RankProcess.Ok(Start(flavor, ["tune", "--ranks", "2", "--shard", "optimizer", "--resume", "--out", _folder["run"]]));
        Assert.Equal(40, Metrics("run").Length);
    }

    [MpiTheory]
    [InlineData("openmpi")]
    [InlineData("mpich")]
    [InlineData("tcp")]
    public void A_rank_that_stands_still_ends_all_at_the_deadline_and_a_request_to_stop_leaves_a_checkpoint(string flavor)
    {
        string[] settings =
            [.. _settings, "--method", "full", "--lora-rank", "0", "--steps", "100000", "--checkpoint-every", "2", "--ranks", "2"];
        using Process still = Start(flavor, ["tune", "--out", _folder["still"], "--collective-timeout", "2", .. settings]);
        (int code, string said) = RankProcess.Run(still, "checkpoints/step-000002", () => Signal("STOP", RankOf(still, 1)));
        Assert.Equal(
            (3, "error: rank 1 has given no sign of life for 2 s (--collective-timeout); "
                + "the run stops, and resumes from its last checkpoint"),
            (code, said));

        using Process asked = Start(flavor, ["tune", "--out", _folder["asked"], .. settings]);
        (code, said) = RankProcess.Run(asked, "checkpoints/step-000002", () => Signal("TERM", asked.Id));
        Assert.Equal((130, "interrupted"), (code, said));
        int steps = Metrics("asked").Length;
        Assert.True(Directory.Exists(_folder["asked", $"checkpoints/step-{steps:D6}"]), $"no checkpoint after {steps} steps");
    }

    [MpiTheory]
    [InlineData("openmpi")]
    [InlineData("mpich")]
    public void Ranks_of_other_settings_or_data_are_refused_by_name_before_anything_is_written(string flavor)
    {
        string[] settings = [.. _settings, "--method", "full", "--lora-rank", "0", "--steps", "4", "--out", _folder["run"]];
        Refused(["--seed", "43"], "error: seed is \"43\" on rank 1, expected \"42\" as on rank 0");
        string other = Data("other/data.jsonl", 1, 16);
        Refused(["--data", other], "error: data data.jsonl (sha256) is \"");
        Refused(["--data", "nowhere.jsonl"], "error: rank 1: nowhere.jsonl: no such file");

        void Refused(string[] ofRank1, string expected)
        {
            string[] command = ["dotnet", RankProcess.Program, "tune", .. settings];
            string[] open = flavor == "openmpi" ? ["--allow-run-as-root", "--oversubscribe"] : [];
            using Process process = Process.Start(new ProcessStartInfo(
                Mpi.Program(flavor), [.. open, "-n", "1", .. command, ":", "-n", "1", .. command, .. ofRank1])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            (int code, string said) = RankProcess.Run(process);
            Assert.NotEqual(0, code);
            Assert.Single(said.Split('\n'), line => line.StartsWith("error: ", StringComparison.Ordinal));
            Assert.Contains(expected, said, StringComparison.Ordinal);
            Assert.False(Directory.Exists(_folder["run"]));
        }
    }

    [MpiTheory]
    [InlineData("openmpi", "3", "cpu")]
    [InlineData("tcp", "3", "cpu")]
    public void Doctor_checks_what_ranks_do_together(string flavor, string ranks, string device)
    {
        using Process process = Start(flavor, ["doctor", "--ranks", ranks, "--device", device, "--json"]);
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(2)) && process.ExitCode == 0, errors.Result);
        using var report = JsonDocument.Parse(output);
        Assert.Equal(int.Parse(ranks, CultureInfo.InvariantCulture), report.RootElement.GetProperty("ranks").GetArrayLength());
        JsonElement[] found = [.. report.RootElement.GetProperty("collectives").EnumerateArray()];
        Assert.Equal(device == "cpu" ? 16 : 28, found.Length);
        Assert.All(found, one => Assert.True(one.GetProperty("ok").GetBoolean(), one.ToString()));
    }

    [EmulatedRanksTheory]
    [InlineData("mpich", "2")]
    [InlineData("tcp", "4")]
    public void Doctor_checks_what_emulated_cards_do_together(string flavor, string ranks) =>
        Doctor_checks_what_ranks_do_together(flavor, ranks, "cuda-emu");

    [EmulatedRanksTheory]
    [InlineData("tcp", "2", "0")]
    [InlineData("mpich", "4", "4")]
    public void Emulated_cards_train_as_one_does(string flavor, string ranks, string rank)
    {
        string[] settings =
            [.. _settings, "--method", "full", "--lora-rank", rank, "--steps", "2", "--max-length", "128", "--device", "cuda-emu"];
        RankProcess.Ok(Start(null, ["tune", "--out", _folder["one"], .. settings]));
        RankProcess.Ok(Start(flavor, ["tune", "--ranks", ranks, "--out", _folder["many"], .. settings]));
        RankProcess.Ok(Start(flavor, ["tune", "--ranks", ranks, "--out", _folder["again"], .. settings]));
        StepMetrics[] one = Metrics("one"), many = Metrics("many"), again = Metrics("again");
        Assert.Equal(2, many.Length);
        Assert.Equal(many.Select(m => (m.Loss, m.GradNorm)), again.Select(m => (m.Loss, m.GradNorm)));
        Assert.All(one.Zip(many), pair =>
        {
            DataParallelTests.Close(pair.First.Loss, pair.Second.Loss);
            DataParallelTests.Close(pair.First.GradNorm, pair.Second.GradNorm);
        });
    }

    // The process of a rank, among the descendants of the command, by what its launcher told it.
    private static int RankOf(Process command, int rank)
    {
        foreach (string folder in Directory.GetDirectories("/proc").Where(f => int.TryParse(Path.GetFileName(f), out _)))
        {
            try
            {
                string[] variables = File.ReadAllText(Path.Combine(folder, "environ")).Split('\0');
                if (variables.Any(v => v == $"OMPI_COMM_WORLD_RANK={rank}" || v == $"PMI_RANK={rank}" || v == $"RANK={rank}")
                    && Ancestors(Path.GetFileName(folder)).Contains(command.Id))
                {
                    return int.Parse(Path.GetFileName(folder), CultureInfo.InvariantCulture);
                }
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // It has ended, or is another's.
            }
        }

        throw new InvalidOperationException($"no process of rank {rank}");
    }

    private static IEnumerable<int> Ancestors(string process)
    {
        for (string at = process; at is not ("0" or "1");)
        {
            at = File.ReadLines($"/proc/{at}/status").Single(l => l.StartsWith("PPid:", StringComparison.Ordinal))[5..].Trim();
            yield return int.Parse(at, CultureInfo.InvariantCulture);
        }
    }

    private static void Signal(string name, int process)
    {
        using Process kill = Process.Start("kill", [$"-{name}", $"{process}"]);
        kill.WaitForExit();
    }

    private Process Start(string? flavor, string[] arguments) => RankProcess.Start(_folder, flavor, arguments);

    private string Data(string name, int first, int count) =>
        _folder.Write(name, string.Join('\n', File.ReadLines(SharedData.Path("tofu", "forget05.json")).Skip(first).Take(count)));

    private StepMetrics[] Metrics(string run) => [.. StepMetrics.Read(_folder[run, "metrics.jsonl"])];
}

using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Runs;

/// <summary>A run on several weighted files, and what <c>forgetting data</c> says of them.</summary>
[Collection(CommandCollection.Name)]
public sealed class SeveralFilesTests : IDisposable
{
    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [SharedDataFact]
    public void A_run_sees_the_shares_keeps_them_and_goes_on_with_no_others()
    {
        string a = Write("a", 0, 3), b = Write("b", 3, 9);
        TrainingOptions options = Options([a, b], [3, 1]);
        TuneSummary summary = TuneRun.Execute(options with { Out = _folder["mixed"] }, _backend);
        Assert.Equal((12, 3, $"{a}=3, {b}=1"), (summary.Examples, summary.Steps, summary.Data));

        // The first of three epochs in one file, in the order in which the mixture has them: without shuffling the
        // sums of a step do not depend on it.
        string[] lines = [.. Enumerable.Repeat(File.ReadAllLines(a), 3).SelectMany(l => l), .. File.ReadAllLines(b).Take(3)];
        TuneSummary same = TuneRun.Execute(options with
        {
            Data = new() { Path = _folder.Write("same.jsonl", string.Join('\n', lines)), NoShuffle = true },
            Out = _folder["same"],
        }, _backend);
        Assert.Equal(
            StepMetrics.Read(_folder["same", "metrics.jsonl"])[0].Loss, StepMetrics.Read(_folder["mixed", "metrics.jsonl"])[0].Loss, 1e-5);

        // As one set without weights it sees others.
        TuneRun.Execute(options with { Data = options.Data with { Weights = [] }, Out = _folder["plain"] }, _backend);
        Assert.NotEqual(
            StepMetrics.Read(_folder["same", "metrics.jsonl"])[0].Loss, StepMetrics.Read(_folder["plain", "metrics.jsonl"])[0].Loss, 1e-5);

        // Its record is a recipe of the same run, and other weights are another run.
        TuneRun.Execute(Recipe.Read(_folder["mixed", "run.yaml"], new TrainingOptions()) with { Out = _folder["again"] }, _backend);
        Assert.Equal(
            File.ReadAllBytes(_folder["mixed", "model/model.safetensors"]), File.ReadAllBytes(_folder["again", "model/model.safetensors"]));
        Assert.Contains(
            "data-weights was \"3,1\", found \"1,1\"",
            Assert.Throws<UserException>(() => TuneRun.Execute(
                options with { Data = options.Data with { Weights = [1, 1] }, Out = _folder["mixed"] }, _backend, resume: true)).Message,
            StringComparison.Ordinal);
        File.AppendAllText(b, "\n");
        Assert.Contains(
            $"data {b} has changed",
            Assert.Throws<UserException>(() => TuneRun.Execute(options with { Out = _folder["mixed"] }, _backend, resume: true)).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "data names 1 files, and 2 when the run began",
            Assert.Throws<UserException>(() => TuneRun.Execute(
                options with { Data = options.Data with { Files = [a], Weights = [] }, Out = _folder["plain"] }, _backend,
                resume: true)).Message,
            StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void The_data_command_says_what_an_epoch_sees()
    {
        string a = Write("a", 0, 3), b = Write("b", 3, 9);
        CommandResult result = CommandResult.Of("data", a + "=3", b + "=1", "--show", "0");
        Assert.Contains(
            $"3 of {a}: 9 of 12 examples of an epoch, each of its 3 3 times on average", result.Output, StringComparison.Ordinal);
        Assert.Contains(
            $"9 of {b}: 3 of 12 examples of an epoch, each of its 9 0.33 times on average", result.Output, StringComparison.Ordinal);
        JsonElement summary = JsonDocument.Parse(CommandResult.Of("data", a, b, "--json").Output).RootElement;
        Assert.Equal(12, summary.GetProperty("records").GetInt32());
        Assert.Equal([3, 9], summary.GetProperty("files").EnumerateArray().Select(f => f.GetProperty("examples").GetInt32()));
    }

    private string Write(string name, int first, int count) => _folder.Write(
        $"{name}.jsonl",
        string.Join(
            '\n',
            File.ReadLines(SharedData.Path("tofu", "forget05.json")).Skip(first).Take(count).Select(l => JsonDocument.Parse(l).RootElement)
                .Select(l => JsonSerializer.Serialize(
                    new { prompt = l.GetProperty("question").GetString(), completion = l.GetProperty("answer").GetString() }))));

    private static TrainingOptions Options(string[] files, double[] weights) => new()
    {
        Model = SharedData.Path("stories260K", "hf"),
        Method = TrainingMethod.Full,
        Data = new() { Files = files, Weights = weights, NoShuffle = true },
        Schedule = new() { Epochs = 3, BatchSize = 12 },
        Lora = new() { Rank = 0 },
    };
}

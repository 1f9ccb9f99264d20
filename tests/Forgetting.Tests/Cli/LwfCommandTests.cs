using System.Text.Json;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>
/// The stages of Learning With Forgetting and grids of runs from the command line, on stories260K with a few TOFU examples.
/// </summary>
[Collection(CommandCollection.Name)]
public sealed class LwfCommandTests : IDisposable
{
    private static readonly string[] s_fields = ["--prompt-field", "question", "--completion-field", "answer"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SharedDataFact]
    public void The_stages_one_by_one()
    {
        string model = SharedData.Path("stories260K", "hf"), prompts = Lines("facts", 6, "world_facts_perturbed.json"),
            data = Lines("data", 4, "forget05.json");
        Ok(["elicit", "--model", model, "--data", prompts, data, "--out", _folder["self.jsonl"], "--max-new-tokens", "12", "--num-fewshot",
            "2", "--fewshot-data", data, .. s_fields]);
        Assert.Equal(10, File.ReadAllLines(_folder["self.jsonl"]).Length);
        Ok(["fisher", "--model", model, "--data", data, "--out", _folder["fisher.safetensors"], "--fisher-kind", "true",
            "--fisher-examples", "3", .. s_fields]);
        string said = Ok(
            "confidence", "--model", model, "--learned", model, "--fisher", _folder["fisher.safetensors"], "--data", _folder["self.jsonl"],
            "--forget-alpha", "0.01", "--out", _folder["confidence.jsonl"]);
        Assert.Contains("10 samples", said, StringComparison.Ordinal);
        string[] lines = File.ReadAllLines(_folder["confidence.jsonl"]);
        for (int i = 0; i < lines.Length; i++)
        {
            using JsonDocument line = JsonDocument.Parse(lines[i]);
            Assert.Equal(
                ["index", "confidence", "constant", "linear", "quadratic"], line.RootElement.EnumerateObject().Select(p => p.Name));
            Assert.Equal(i, line.RootElement.GetProperty("index").GetInt32());

            // The model has learnt nothing: what is left is the quadratic term.
            Assert.Equal(line.RootElement.GetProperty("quadratic").GetDouble(), line.RootElement.GetProperty("confidence").GetDouble());
        }

        Bad(
            "--num-fewshot is 2 without --fewshot-data",
            ["elicit", "--model", model, "--data", prompts, "--out", _folder["x"], "--num-fewshot", "2", .. s_fields]);
        Bad(
            "--forget-alpha is missing", "confidence", "--model", model, "--learned", model, "--fisher", _folder["fisher.safetensors"],
            "--data", data, "--out", _folder["x"]);
        Bad(
            "forget-interval is 10 with 1 learning step, which leaves no unlearning step; expected more learning steps: "
                + "raise epochs or steps, or lower batch-size",
            ["tune", "--model", model, "--data", data, "--out", _folder["x"], "--method", "lwf", "--forget-prompts", prompts, .. s_fields]);
        Assert.False(Directory.Exists(_folder["x"]));
        Bad(
            "expected forget-prompts (files of prompts)", "tune", "--model", model, "--data", data, "--out", _folder["x"], "--method",
            "lwf");
    }

    [SharedDataFact]
    public void A_grid_runs_and_continues()
    {
        string recipe = _folder.Write(
            "grid.yaml",
            "method: lwf\nsteps: 3\nforget-interval: 2\nforget-select-by: confidence\nbatch-size: 4\nlora-rank: 2\nmax-new-tokens: "
                + "8\nsweep:\n  forget-select: [high, random]\nseeds: [1, 2]\n");
        string[] command =
        [
            "run", recipe, "--model", SharedData.Path("stories260K", "hf"), "--data", Lines("data", 6, "forget05.json"), "--forget-prompts",
            Lines("facts", 6, "world_facts_perturbed.json"), Lines("retain", 3, "retain50.json"),
            "--out", _folder["grid"], .. s_fields,
        ];
        Assert.Equal(4, Ok([.. command, "--list"]).Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.False(Directory.Exists(_folder["grid"]));
        string said = Ok(command);
        foreach (string run in new[] { "forget-select=high/seed-1", "forget-select=high/seed-2", "forget-select=random/seed-1",
            "forget-select=random/seed-2" })
        {
            Assert.True(File.Exists(_folder["grid", run, "summary.json"]), run);
            Assert.True(File.Exists(_folder["grid", run, "report.html"]), run);
        }

        // Four runs, one elicitation.
        string[] elicited = [.. Directory.EnumerateFiles(_folder["grid"], "stages.jsonl", SearchOption.AllDirectories)
            .SelectMany(File.ReadLines)
            .Where(l => l.Contains("elicit", StringComparison.Ordinal))];
        Assert.Equal((4, 3), (elicited.Length, elicited.Count(l => l.Contains("\"reused\":true", StringComparison.Ordinal))));

        string page = ReportPage.Read(_folder["grid", "forget-select=high/seed-1", "report.html"]);
        Assert.Contains("Forgetting confidence", page, StringComparison.Ordinal);
        Assert.Contains("Where would you find the Eiffel Tower?", page, StringComparison.Ordinal);
        Assert.DoesNotContain(
            "of the highest and of the lowest confidence", ReportPage.Read(_folder["grid", "forget-select=random/seed-1", "report.html"]),
            StringComparison.Ordinal);

        // The last line is the command that compares them.
        string[] compare = said.TrimEnd().Split('\n')[^1].Split(' ');
        Assert.Equal(["forgetting", "compare"], compare[..2]);
        Ok(compare[1..]);
        Assert.True(File.Exists(_folder["grid", "compare.html"]));

        // Again: only what is missing.
        Directory.Delete(_folder["grid", "forget-select=random", "seed-2"], recursive: true);
        Assert.Equal(3, Ok(command).Split("done before").Length - 1);
        Assert.True(File.Exists(_folder["grid", "forget-select=random/seed-2", "summary.json"]));
        File.WriteAllText(recipe, File.ReadAllText(recipe).Replace("forget-interval: 2", "forget-interval: 1", StringComparison.Ordinal));
        Bad("holds a finished run with forget-interval 2, expected 1", command);
    }

    private static string Ok(params string[] arguments)
    {
        CommandResult result = CommandResult.Of(arguments);
        Assert.True(result.ExitCode == 0, result.Error);
        return result.Output;
    }

    private static void Bad(string expected, params string[] arguments)
    {
        CommandResult result = CommandResult.Of(arguments);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
    }

    private string Lines(string name, int count, string source) =>
        _folder.Write($"{name}.jsonl", string.Join('\n', File.ReadLines(SharedData.Path("tofu", source)).Take(count)));
}

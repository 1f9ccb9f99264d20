using System.Text.Json;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>Commands beside tune that several processes share: what they write is what one process writes, to the bit.</summary>
public sealed class RankStageCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [MpiTheory]
    [InlineData("openmpi", "2", "score")]
    [InlineData("tcp", "3", "loss")]
    public void Scores_and_losses_are_the_same_file(string flavor, string ranks, string command)
    {
        string[] settings =
        [
            command, "--model", SharedData.Path("stories260K", "hf"), "--device", "cpu", "--prompt-field", "question",
            "--completion-field", "answer", "--micro-batch-tokens", "300", "--data", Data("data.jsonl", 6, 14),
        ];
        if (command == "score")
        {
            string[] training =
            [
                "tune", .. settings[1..^1], Data("trusted.jsonl", 0, 6), "--method", "full", "--lora-rank", "0", "--steps", "2",
                "--batch-size", "3", "--learning-rate", "1e-3", "--out", _folder["reference"],
            ];
            Ok(null, training);
            settings = [.. settings, "--reference", _folder["reference", "model"]];
        }

        Ok(null, [.. settings, "--out", _folder["one.jsonl"]]);
        Ok(flavor, [.. settings, "--out", _folder["many.jsonl"], "--ranks", ranks]);
        string[] lines = File.ReadAllLines(_folder["one.jsonl"]);
        Assert.Equal(14, lines.Length);
        Assert.Equal(lines, File.ReadAllLines(_folder["many.jsonl"]));
        Refused(flavor, [.. settings, "--out", _folder["many.jsonl"], "--ranks", ranks], "many.jsonl: is there already");
    }

    [MpiTheory]
    [InlineData("mpich", "3")]
    [InlineData("tcp", "2")]
    public void Evaluations_have_the_same_results_and_samples(string flavor, string ranks)
    {
        string[] settings =
        [
            "eval", "--model", SharedData.Path("stories260K", "hf"), "--device", "cpu", "--tasks", "qasc,truthfulqa_gen", "--data-dir",
            SharedData.Folder!, "--limit", "3", "--micro-batch-tokens", "64", "--log-samples",
        ];
        Ok(null, [.. settings, "--out", _folder["one"]]);
        Ok(flavor, [.. settings, "--out", _folder["many"], "--ranks", ranks]);
        Assert.Equal(["results", "samples_qasc", "samples_truthfulqa_gen"], Files("many").Select(f => f.Key));
        Assert.Equal(Files("one"), Files("many"));

        // Without what says when, where and for how long.
        SortedDictionary<string, string> Files(string folder) => new(Directory.GetFiles(_folder[folder]).Select(Path.GetFileName)
            .Where(name => name![0] != '.').ToDictionary(
                name => name![..name!.LastIndexOf('_')],
                name => name!.StartsWith("results", StringComparison.Ordinal)
                    ? JsonDocument.Parse(File.ReadAllText(_folder[folder, name])).RootElement.GetProperty("results").GetRawText()
                    : File.ReadAllText(_folder[folder, name])));
    }

    private void Ok(string? flavor, string[] command) =>
        RankProcess.Ok(RankProcess.Start(_folder, flavor, command));

    private void Refused(string flavor, string[] command, string what)
    {
        (int code, string said) = RankProcess.Run(RankProcess.Start(_folder, flavor, command));
        Assert.Equal(2, code);
        Assert.Contains(what, Assert.Single(said.Split('\n'), line => line.StartsWith("error: ", StringComparison.Ordinal)),
            StringComparison.Ordinal);
    }

    private string Data(string name, int first, int count) =>
        _folder.Write(name, string.Join('\n', File.ReadLines(SharedData.Path("tofu", "forget05.json")).Skip(first).Take(count)));
}

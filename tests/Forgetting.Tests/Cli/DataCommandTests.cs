using System.Diagnostics;
using System.Text.Json;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>What <c>forgetting data</c> says of a file; the numbers are counted by hand or by <c>tokenize</c>.</summary>
[Collection(CommandCollection.Name)]
public sealed class DataCommandTests : IDisposable
{
    private static readonly string s_lines = string.Join('\n',
        """{"prompt":"Who?","completion":"Tom.","id":1}""",
        """{"prompt":"Who?","completion":"Tom.","id":2}""",
        """{"prompt":"Who?","completion":"Lily."}""",
        """{"messages":[{"role":"user","content":"One?"},{"role":"assistant","content":"First."},{"role":"user","content":"Two?"},"""
            + """{"role":"assistant","content":"Second."}]}""");

    private readonly TemporaryFolder _folder = new();

    private static string Model => SharedData.Path("stories260K", "hf");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Without_a_model_records_shapes_and_repetitions_are_counted()
    {
        string data = _folder.Write("d.jsonl", s_lines);
        JsonElement summary = Json("data", data);
        Assert.Equal(
            "4 1 1",
            string.Join(' ', new[] { "records", "repeated", "contradicting" }.Select(name => summary.GetProperty(name).GetInt32())));
        Assert.Equal("""{"pairs":3,"messages":1}""", summary.GetProperty("shapes").GetRawText());
        Assert.Equal("""{"id":2}""", summary.GetProperty("unread").GetRawText());

        string output = CommandResult.Of("data", data, "--show", "4").Output;
        Assert.Contains($"{data}: line 3, pairs\nWho? ⟦Lily.⟧\n", output, StringComparison.Ordinal);
        Assert.Contains("user: One?\nassistant: ⟦First.⟧\nuser: Two?\nassistant: ⟦Second.⟧\n", output, StringComparison.Ordinal);
        Assert.DoesNotContain(
            "⟦First.⟧", CommandResult.Of("data", data, "--show", "4", "--train-on", "last").Output, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void With_a_model_tokens_and_what_is_learnt_of_them_are_shown()
    {
        string data = _folder.Write("d.jsonl", s_lines);
        int[] lengths = [.. new[] { "Who? Tom.", "Who? Tom.", "Who? Lily.", "<|user|>\nOne?\n<|assistant|>\nFirst." }.Select(Count)];
        lengths[3] = lengths[3] + Count("\n<|user|>\nTwo?\n<|assistant|>\nSecond.") - 1;
        JsonElement summary = Json("data", data, "--model", Model), length = summary.GetProperty("lengths");
        int[] with = [.. lengths.Select((n, i) => n + (i == 3 ? 2 : 1))];
        Assert.Equal(with.Sum(), summary.GetProperty("tokens").GetInt32());
        Assert.Equal(
            (with.Min(), with.Max(), with.Average()),
            (length.GetProperty("shortest").GetInt32(), length.GetProperty("longest").GetInt32(), length.GetProperty("mean").GetDouble()));

        JsonElement everything = Json("data", data, "--model", Model, "--train-on", "everything");
        Assert.Equal(with.Sum() - 4, everything.GetProperty("learnt").GetInt32());
        Assert.Contains(
            "<s>Who?⟦ Tom.</s>⟧", CommandResult.Of("data", data, "--model", Model, "--show", "1").Output, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void Examples_that_are_too_long_are_cut_dropped_or_refused_and_counted()
    {
        string data = _folder.Write("d.jsonl", s_lines);
        int longest = Json("data", data, "--model", Model).GetProperty("lengths").GetProperty("longest").GetInt32() - 1;
        string[] common = ["--model", Model, "--max-length", $"{longest}"];
        JsonElement cut = Json(["data", data, .. common]), dropped = Json(["data", data, .. common, "--too-long", "drop"]);
        Assert.Equal((1, longest), (cut.GetProperty("too_long").GetInt32(), cut.GetProperty("lengths").GetProperty("longest").GetInt32()));
        Assert.Equal(
            (1, Math.Max(Count("Who? Lily."), Count("Who? Tom.")) + 1),
            (dropped.GetProperty("too_long").GetInt32(), dropped.GetProperty("lengths").GetProperty("longest").GetInt32()));

        string refusal = $"{data}: line 4: takes {longest + 1} tokens; expected no more than the maximum length of {longest}";
        JsonElement refused = Json(["data", data, .. common, "--too-long", "error"]);
        Assert.Equal((1, refusal), (refused.GetProperty("refused").GetInt32(), refused.GetProperty("refusal").GetString()));
        Assert.Equal(
            (2, $"error: {refusal}\n"),
            CommandResult.Of(["loss", "--data", data, "--out", _folder["p.jsonl"], "--too-long", "error", .. common]) is var bad
                ? (bad.ExitCode, bad.Error)
                : default);

        CommandResult loss = CommandResult.Of(["loss", "--data", data, "--out", _folder["o.jsonl"], "--too-long", "drop", .. common]);
        Assert.Equal(0, loss.ExitCode);
        Assert.Contains($"1 of 4 examples are longer than {longest} tokens and were dropped", loss.Error, StringComparison.Ordinal);
        Assert.Equal([0, 1, 2], File.ReadLines(_folder["o.jsonl"])
            .Select(line => JsonDocument.Parse(line).RootElement.GetProperty("index").GetInt32()));
    }

    [Fact]
    public void Standard_input_is_a_file_to_look_at_and_none_to_train_on()
    {
        var start = new ProcessStartInfo("dotnet", [typeof(Forgetting.Cli.CommandLine).Assembly.Location, "data", "-", "--json"])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false,
        };
        using Process process = Process.Start(start)!;
        process.StandardInput.Write(s_lines);
        process.StandardInput.Close();
        Assert.Equal(4, JsonDocument.Parse(process.StandardOutput.ReadToEnd()).RootElement.GetProperty("records").GetInt32());
        process.WaitForExit();
        Assert.Contains(
            "data is -, standard input, which a run could not read again",
            CommandResult.Of("tune", "--model", "m", "--data", "-", "--out", _folder["o"]).Error, StringComparison.Ordinal);
    }

    private static int Count(string text) =>
        JsonDocument.Parse(CommandResult.Of("tokenize", "--model", Model, "--text", text).Output).RootElement.GetArrayLength();

    private static JsonElement Json(params string[] arguments)
    {
        CommandResult result = CommandResult.Of([.. arguments, "--json"]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        return JsonDocument.Parse(result.Output).RootElement;
    }
}

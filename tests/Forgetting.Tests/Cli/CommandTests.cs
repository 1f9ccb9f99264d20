using System.Text.Json;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

[Collection(CommandCollection.Name)]
public sealed class CommandTests
{
    private static readonly string[] s_tuneFields =
    [
        "step", "loss", "positive_loss", "negative_loss", "lambda", "learning_rate", "grad_norm", "tokens", "tokens_per_second",
        "elapsed_seconds",
    ];

    private static string Model => SharedData.Path("stories260K", "hf");

    [SharedDataFact]
    public void Tokenize_prints_the_ids_of_the_golden_text()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllText(SharedData.Path("stories260K", "golden_greedy.json")));
        int[] expected = [1, .. golden.RootElement.GetProperty("ids").EnumerateArray().Take(4).Select(i => i.GetInt32())];

        CommandResult result = CommandResult.Of("tokenize", "--model", Model, "--text", "Once upon a time");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(expected, JsonSerializer.Deserialize<int[]>(result.Output));

        CommandResult bare = CommandResult.Of("tokenize", "--model", Model, "--text", "Once upon a time", "--no-bos");
        Assert.Equal(expected[1..], JsonSerializer.Deserialize<int[]>(bare.Output));
    }

    [SharedDataFact]
    public void Generate_prints_the_golden_story()
    {
        CommandResult result = CommandResult.Of("generate", "--model", Model, "--max-new-tokens", "256");
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith(
            "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.", result.Output,
            StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void A_run_that_diverges_says_so_in_its_exit_its_output_and_its_report()
    {
        using var folder = new TemporaryFolder();
        CommandResult result = CommandResult.Of(
            "tune", "--model", Model, "--data", Data(folder, 8), "--method", "full", "--out", folder["run"], "--prompt-field", "question",
            "--completion-field", "answer", "--batch-size", "4", "--epochs", "2", "--lora-rank", "0", "--learning-rate", "100");
        Assert.Equal(3, result.ExitCode);
        Assert.Contains(
            "warning: the run diverged: the loss of the first step's tokens to learn rose from ", result.Error, StringComparison.Ordinal);
        Assert.Contains("The run diverged", File.ReadAllText(folder["run", "report.html"]), StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void Score_tune_and_loss_agree_with_each_other()
    {
        using var folder = new TemporaryFolder();
        string data = Data(folder, 24), run = folder["run"], losses = folder["loss.jsonl"], tuned = folder["tuned.jsonl"],
            scores = folder["scores.jsonl"];
        Assert.Equal(0, CommandResult.Of(
            "tune", "--model", Model, "--data", data, "--method", "forget", "--out", run, "--prompt-field", "question",
            "--completion-field", "answer", "--epochs", "2", "--batch-size", "4", "--lora-rank", "4", "--reference-fraction", "0.25",
            "--parts-every", "2").ExitCode);

        foreach (string left in new[] { "model/model.safetensors", "adapter/adapter_model.safetensors", "run.yaml", "report.html",
            "metrics.jsonl", "scores.jsonl" })
        {
            Assert.True(File.Exists(Path.Combine(run, left)), left);
        }

        JsonElement[] steps = [.. File.ReadLines(Path.Combine(run, "metrics.jsonl")).Select(l => JsonDocument.Parse(l).RootElement)];
        Assert.All(s_tuneFields, name => Assert.True(steps[0].TryGetProperty(name, out _), name));
        Assert.True(steps[0].TryGetProperty("gradient_cosine", out _));
        Assert.False(steps[1].TryGetProperty("gradient_cosine", out _));

        string[] fields = ["--prompt-field", "question", "--completion-field", "answer"];
        Assert.Equal(0, CommandResult.Of(["loss", "--model", Model, "--data", data, "--out", losses, .. fields]).ExitCode);
        Assert.Equal(
            0, CommandResult.Of(["loss", "--model", Path.Combine(run, "model"), "--data", data, "--out", tuned, .. fields]).ExitCode);
        Assert.Equal(0, CommandResult.Of(
            ["score", "--model", Model, "--reference", Path.Combine(run, "model"), "--data", data, "--out", scores, .. fields]).ExitCode);
        JsonElement[][] lines =
            [.. new[] { losses, tuned, scores }.Select(f => File.ReadLines(f).Select(l => JsonDocument.Parse(l).RootElement).ToArray())];
        int positive = 0, negative = 0;
        for (int i = 0; i < lines[0].Length; i++)
        {
            float[] before = Numbers(lines[0][i], "loss"), after = Numbers(lines[1][i], "loss"),
                influence = Numbers(lines[2][i], "influence"), sign = Numbers(lines[2][i], "sign");
            float[] response = Numbers(lines[0][i], "response");
            Assert.Equal(0, before[0]);
            for (int t = 0; t < before.Length; t++)
            {
                // What is no response is not scored.
                Assert.Equal(response[t] == 1 ? before[t] - after[t] : 0, influence[t], 1e-5);
                Assert.Equal(response[t] == 1, sign[t] != 0);
                positive += sign[t] > 0 ? 1 : 0;
                negative += sign[t] < 0 ? 1 : 0;
            }
        }

        Assert.Equal((int)Math.Floor(0.7m * (positive + negative)), positive);
    }

    [SharedDataFact]
    public void Merged_adapter_is_the_tuned_model()
    {
        using var folder = new TemporaryFolder();
        string run = folder["run"], merged = folder["merged"];
        Assert.Equal(0, CommandResult.Of(
            "tune", "--model", Model, "--data", Data(folder, 8), "--method", "full", "--out", run, "--prompt-field", "question",
            "--completion-field", "answer", "--batch-size", "4", "--lora-rank", "4").ExitCode);
        Assert.Equal(0, CommandResult.Of("merge", "--model", Model, "--adapter", Path.Combine(run, "adapter"), "--out", merged).ExitCode);
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(run, "model", "model.safetensors")),
            File.ReadAllBytes(Path.Combine(merged, "model.safetensors")));
    }

    public static TheoryData<string, string[]> BadCommands => new()
    {
        { "no such model", ["loss", "--model", "nowhere", "--data", "d.jsonl", "--out", "o.jsonl"] },
        { "rho is 1.5, expected a number in (0, 1]", ["tune", "--model", "m", "--data", "d", "--out", "o", "--rho", "1.5"] },
        { "method is \"sft\", expected full, ignore, forget", ["tune", "--model", "m", "--data", "d", "--out", "o", "--method", "sft"] },
        { "--data is missing", ["tune", "--model", "m", "--out", "o"] },
        { "expected one of --text and --file", ["tokenize", "--model", "m"] },
        { "--learning-rat is no option of tune; the nearest is --learning-rate", ["tune", "--learning-rat", "1"] },
        { "holds no run", ["compare", "nowhere", "--out", "o.html"] },
    };

    [Theory]
    [MemberData(nameof(BadCommands))]
    public void Bad_commands_end_in_one_line_and_code_2(string expected, string[] arguments)
    {
        CommandResult result = CommandResult.Of(arguments);
        Assert.Equal(2, result.ExitCode);
        Assert.Equal("", result.Output);
        Assert.StartsWith("error: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(expected, result.Error, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
    }

    [SharedDataTheory]
    [InlineData("{\"prompt\": \"a\", \"completion\": \"b\"}\nnot json\n", "data.jsonl: line 2")]
    [InlineData("{\"prompt\": \"a\"}\n", "'completion' is missing")]
    [InlineData("", "no examples")]
    public void Bad_data_names_its_line_and_leaves_nothing(string content, string expected)
    {
        using var folder = new TemporaryFolder();
        string data = folder["data.jsonl"], run = folder["run"];
        File.WriteAllText(data, content);
        CommandResult result = CommandResult.Of("tune", "--model", Model, "--data", data, "--out", run, "--method", "full");
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(run));
    }

    [SharedDataTheory]
    [InlineData("--tasks", "qasc,boolqq", "no task \"boolqq\"")]
    [InlineData("--tasks", "qasc,asdiv", "no file for task asdiv")]
    [InlineData("--tasks", "qasc,sst5", "test.jsonl: line 2")]
    [InlineData("--limit", "0", "limit 0: expected")]
    [InlineData("--out", "test.jsonl", "test.jsonl: is a file, expected a folder to write to")]
    [InlineData("--out", "test.jsonl/x", "test.jsonl is a file, expected a folder")]
    public void A_bad_input_of_eval_is_found_before_anything_is_computed(string option, string value, string expected)
    {
        using var folder = new TemporaryFolder();
        folder.Write("test.jsonl", "{\"sentence\": \"a\", \"label\": 1}\n{\"sentence\": \"a\"}\n");
        File.Copy(SharedData.Path("qasc", "dev.json"), folder["dev.json"]);
        var arguments = new Dictionary<string, string>
        {
            ["--model"] = Model,
            ["--data-dir"] = folder.Path,
            ["--tasks"] = "qasc",
            ["--out"] = folder["out"],
        };
        arguments[option] = option == "--out" ? folder[value] : value;
        CommandResult result = CommandResult.Of(["eval", .. arguments.SelectMany(pair => new[] { pair.Key, pair.Value })]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
        Assert.Equal(["dev.json", "test.jsonl"], Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName).Order());
    }

    [SharedDataTheory]
    [InlineData("loss")]
    [InlineData("score", "--reference", "nowhere")]
    public void A_file_that_cannot_be_written_is_found_before_anything_is_computed(params string[] arguments)
    {
        using var folder = new TemporaryFolder();
        CommandResult result = CommandResult.Of([.. arguments, "--model", Model, "--data", "nowhere.jsonl", "--out", folder.Path]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("is a folder, expected a file to write", result.Error, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void A_perplexity_beyond_a_double_is_written_as_infinite()
    {
        using var folder = new TemporaryFolder();

        // One word of a thousand letters, of more than 710 nats.
        folder.Write("text.txt", string.Concat(Enumerable.Repeat("xyzqw", 200)));
        CommandResult result = CommandResult.Of(
            "eval", "--model", Model, "--data-dir", folder["text.txt"], "--tasks", "perplexity", "--out", folder["out"], "--json",
            "--log-samples");
        Assert.Equal(0, result.ExitCode);
        using JsonDocument json = JsonDocument.Parse(result.Output);
        JsonElement values = json.RootElement.GetProperty("results").GetProperty("perplexity");
        Assert.Equal("Infinity", values.GetProperty("word_perplexity,none").GetString());
        Assert.True(values.GetProperty("byte_perplexity,none").GetDouble() > 1);
        Assert.Single(Directory.EnumerateFiles(folder["out"], "results_*.json"));
    }

    [Theory]
    [InlineData("elicit", "file for the samples")]
    [InlineData("score", "0.7 unless given")]
    [InlineData("confidence", "samples to judge")]
    public void Help_says_what_a_setting_means_to_the_command(string command, string expected)
    {
        CommandResult result = CommandResult.Of(command, "--help");
        Assert.Contains(expected, result.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("else one is trained", result.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("tuned model", result.Output, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void Evaluations_are_compared_on_the_terminal_and_as_json()
    {
        using var folder = new TemporaryFolder();
        string[] common = ["--data-dir", SharedData.Folder!, "--tasks", "qasc", "--limit", "6", "--log-samples"];
        using (JsonDocument results =
            JsonDocument.Parse(CommandResult.Of(["eval", "--model", Model, "--out", folder["a"], "--json", .. common]).Output))
        {
            Assert.Equal(6, results.RootElement.GetProperty("n-samples").GetProperty("qasc").GetProperty("effective").GetInt32());
        }

        Assert.Equal(0, CommandResult.Of(["eval", "--model", Model, "--out", folder["b"], "--num-fewshot", "1", .. common]).ExitCode);
        CommandResult compared = CommandResult.Of("compare", folder["a"], folder["b"], "--out", folder["c.html"]);
        Assert.Equal(0, compared.ExitCode);
        Assert.Contains("McNemar", compared.Output, StringComparison.Ordinal);
        Assert.Contains("acc_norm", File.ReadAllText(folder["c.html"]), StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse(CommandResult.Of("compare", folder["a"], folder["b"], "--json").Output);
        JsonElement second = json.RootElement.GetProperty("evaluations")[0].GetProperty("runs")[1];
        Assert.Equal(6, second.GetProperty("paired").GetInt32());
        Assert.InRange(second.GetProperty("p_value").GetDouble(), 0, 1);
    }

    // A folder of runs stands for the finished ones below it, and a run for itself, whatever runs it has
    // inside; a folder given twice counts once.
    [SharedDataFact]
    public void A_folder_of_runs_is_compared_run_by_run()
    {
        using var folder = new TemporaryFolder();
        string data = folder.Write(
            "data.jsonl", string.Concat(Enumerable.Repeat("{\"prompt\": \"Once upon\", \"completion\": \" a time there was\"}\n", 4)));
        foreach (string seed in new[] { "1", "2" })
        {
            string[] arguments = ["tune", "--model", Model, "--data", data, "--out", folder["grid", "full", $"seed-{seed}"], "--seed", seed,
                "--method", "full", "--lora-rank", "2", "--steps", "2"];
            Assert.Equal(0, CommandResult.Of(arguments).ExitCode);
        }

        Directory.CreateDirectory(folder["grid", "begun"]);
        File.Copy(folder["grid", "full", "seed-1", "run.yaml"], folder["grid", "begun", "run.yaml"]);
        CommandResult result = CommandResult.Of("compare", folder["grid"], folder["grid", "full", "seed-1"], "--json");
        Assert.Equal(0, result.ExitCode);
        using JsonDocument json = JsonDocument.Parse(result.Output);
        Assert.Equal(
            [folder["grid", "full", "seed-1"], folder["grid", "full", "seed-2"]],
            json.RootElement.GetProperty("runs").EnumerateArray().Select(run => run.GetProperty("folder").GetString()));
        Assert.Contains("begun: left out, the run is not finished", result.Error, StringComparison.Ordinal);
        Assert.Contains("full (2 seeds)", CommandResult.Of("compare", folder["grid"]).Output, StringComparison.Ordinal);
    }

    [SharedDataTheory]
    [InlineData("--reference", "nowhere", "nowhere: no such model")]
    [InlineData("--reference-data", "nowhere.jsonl", "nowhere.jsonl")]
    [InlineData("--scores", "nowhere.jsonl", "nowhere.jsonl: no such file")]
    [InlineData("--lora-targets", "query", "LoRA target 'query' matches no linear layer")]
    [InlineData("--reference-fraction", "0.1", "leaves no examples for the reference")]
    public void A_bad_input_of_tune_leaves_nothing_and_costs_no_training(string option, string value, string expected)
    {
        using var folder = new TemporaryFolder();
        string data = folder.Write("data.jsonl", string.Concat(Enumerable.Repeat("{\"prompt\": \"a\", \"completion\": \"b\"}\n", 4)));
        CommandResult result = CommandResult.Of("tune", "--model", Model, "--data", data, "--out", folder["run"], option, value);
        Assert.Equal(2, result.ExitCode);
        Assert.StartsWith("error: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder["run"]));
    }

    [Fact]
    public void Quick_demo_leaves_table_and_report()
    {
        using var folder = new TemporaryFolder();
        CommandResult result = CommandResult.Of("demo", "--quick", "--seeds", "1", "--out", folder["demo"]);
        Assert.Equal(0, result.ExitCode);
        string report = ReportPage.Read(folder["demo", "report.html"]);
        foreach (string said in new[]
        {
            "Independent errors", "Misconceptions", "Both at once", "Learning with forgetting", "base", "full", "ignore", "forget (ascent)",
            "forget (belief)", "untrusted", "vanilla", "lwf, by increase", "Do not forget where the base never believed what is wrong",
        })
        {
            Assert.Contains(said, result.Output, StringComparison.Ordinal);
            Assert.Contains(said, report, StringComparison.Ordinal);
        }

        Assert.Contains("<svg", report, StringComparison.Ordinal);
        Assert.Contains("class=\"heat\"", report, StringComparison.Ordinal);
        Assert.DoesNotContain("http", report, StringComparison.Ordinal);
    }

    private static float[] Numbers(JsonElement line, string name) =>
        [.. line.GetProperty(name).EnumerateArray().Select(v => v.GetSingle())];

    // The first questions of TOFU, an array in the original.
    private static string Data(TemporaryFolder folder, int count)
    {
        string path = folder["tofu.jsonl"];
        File.WriteAllLines(path, File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(count));
        return path;
    }
}

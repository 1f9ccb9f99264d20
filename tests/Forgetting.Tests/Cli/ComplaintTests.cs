using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>
/// What is said about command lines and files that are wrong: one line with what was found, what was
/// expected, and what may have been meant.
/// </summary>
[Collection(CommandCollection.Name)]
public sealed class ComplaintTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, string[]> Lines => new()
    {
        { "\"tuen\" is no command; the nearest is tune", ["tuen"] },
        { "no command is given, expected one of demo, tune,", [] },
        { "--methd is no option of tune; the nearest is --method", ["tune", "--methd", "full"] },
        { "--sed is no option of run; the nearest is --seed", ["run", "grid.yaml", "--sed", "3"] },
        { "--ot is no option of compare; the nearest is --out", ["compare", "a", "--ot", "b"] },
        { "--methd is no option of tune; the nearest is --method", ["tune", "--forget-prompts", "a", "--methd", "full"] },
        { "--forget is now called --forget-prompts", ["tune", "--method", "lwf", "--forget", "a"] },
        { "found \"full\", expected an option of tune", ["tune", "full"] },
        { "--model, --data and --out are missing", ["tune"] },
        { "--model and --out are missing", ["elicit", "--data", "a"] },
        { "--model, --tasks, --data-dir and --out are missing", ["eval"] },
        { "--seed is \"-3\", expected a whole number of at least 0", ["generate", "--model", "m", "--seed", "-3"] },
        { "--seed is \"-3\", expected a whole number of at least 0", ["tune", "--seed", "-3"] },
        { "--epochs is \"99999999999\", expected a whole number of at least -2147483648 and at most 2147483647", ["tune", "--epochs",
            "99999999999"] },
        { "--top-k is \"x\", expected a whole number", ["generate", "--model", "m", "--top-k", "x"] },
        { "--limit is \"x\", expected a number", ["eval", "--model", "m", "--tasks", "t", "--data-dir", "d", "--out", "o", "--limit",
            "x"] },
        { "--method has no value, expected NAME", ["tune", "--method"] },
        { "--method is given 2 times, expected once", ["tune", "--method", "full", "--method", "lwf"] },
        { "--device is \"gpu\", expected auto, cpu, cuda, cuda:N, cuda-emu or cuda-ptx", ["generate", "--model", "m", "--device", "gpu"] },
        { "device is \"gpu\", expected auto, cpu, cuda, cuda:N, cuda-emu or cuda-ptx", ["tune", "--model", "m", "--data", "d", "--out", "o",
            "--device", "gpu"] },
        { "--rho is 0.5: method full does not use it, expected method ignore or forget, or scores", ["tune", "--method", "full", "--rho",
            "0.5"] },
        { "--lambda is linear: method full does not use it, expected method forget", ["tune", "--method", "full", "--lambda", "linear"] },
        { "--ascent is npo: method ignore does not use it, expected method forget or lwf", ["tune", "--method", "ignore", "--ascent",
            "npo"] },
        { "--lambda-max is 0.1: method lwf does not use it, expected method forget", ["tune", "--method", "lwf", "--forget-prompts", "p",
            "--lambda-max", "0.1"] },
        { "--ascent-beta is 2: it is used only with ascent weighted or ascent satimp or ascent npo or ascent belief", ["tune",
            "--ascent-beta", "2"] },
        { "--lora-alpha is 8: it is used only with lora-rank or adapter", ["tune", "--lora-rank", "0", "--lora-alpha", "8"] },
    };

    [Theory]
    [MemberData(nameof(Lines))]
    public void A_wrong_command_line_gets_one_line(string expected, string[] arguments)
    {
        CommandResult result = CommandResult.Of(arguments);
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
        Assert.StartsWith("error: " + expected, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
    }

    [Fact]
    public void A_grid_refuses_from_outside_what_it_goes_through()
    {
        string grid = _folder.Write("grid.yaml", "model: m\ndata: d\nout: o\nseeds: [1, 2]\n");
        Assert.Contains("--seed is given, and", CommandResult.Of("run", grid, "--seed", "3", "--list").Error, StringComparison.Ordinal);
        Assert.Equal("o/seed-1\no/seed-2\n", CommandResult.Of("run", grid, "--epochs", "3", "--list").Output);
    }

    [SharedDataFact]
    public void A_file_of_another_kind_is_called_what_it_is()
    {
        string text = "{\"prompt\": \"a\", \"completion\": \"b\"}\n", data = _folder.Write("d.jsonl", text);
        File.WriteAllBytes(_folder["d.jsonl.gz"], [0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        string parquet = _folder.Write("d.parquet", "PAR1 and more"), zip = _folder.Write("d.zip", "PK\u0003\u0004 and more"),
            empty = Directory.CreateDirectory(_folder["folder"]).FullName;
        string model = SharedData.Path("stories260K", "hf");
        Assert.Contains("d.jsonl.gz: is damaged", Loss(_folder["d.jsonl.gz"]), StringComparison.Ordinal);
        Assert.Contains("d.parquet: cannot be read as Parquet", Loss(parquet), StringComparison.Ordinal);
        Assert.Contains("d.zip: is a zip file, expected JSON Lines", Loss(zip), StringComparison.Ordinal);
        Assert.Contains("folder: holds no data files, expected names that end in .jsonl", Loss(empty), StringComparison.Ordinal);
        Assert.Contains(
            "folder: is a folder, expected a file", CommandResult.Of("tune", "--recipe", empty).Error, StringComparison.Ordinal);
        Assert.Contains(
            "folder: is a folder, expected a file", CommandResult.Of("tokenize", "--model", model, "--file", empty).Error,
            StringComparison.Ordinal);
        Assert.Contains(
            "d.jsonl: is JSON, expected plain text",
            CommandResult.Of("eval", "--model", model, "--data-dir", data, "--tasks", "perplexity", "--out", _folder["e"]).Error,
            StringComparison.Ordinal);
        Assert.Contains(
            "d.jsonl: is JSON, expected plain text",
            CommandResult.Of("pretrain", "--config", model, "--data", data, "--out", _folder["p"]).Error, StringComparison.Ordinal);

        string Loss(string path) => CommandResult.Of("loss", "--model", model, "--data", path, "--out", _folder["l"]).Error;
    }

    [SharedDataFact]
    public void A_path_may_have_commas_and_a_runs_folder_stands_for_its_model()
    {
        string model = SharedData.Path("stories260K", "hf"), run = _folder["run"];
        string lines = string.Concat(Enumerable.Repeat("{\"prompt\": \"Once upon\", \"completion\": \"a time\"}\n", 6)),
            data = _folder.Write("d.jsonl", lines), prompts = _folder.Write("a, b.jsonl", lines);
        CommandResult tuned = CommandResult.Of(
            "tune", "--model", model, "--data", data, "--out", run, "--method", "lwf", "--forget-prompts", prompts, "--batch-size", "2",
            "--forget-interval", "1", "--max-new-tokens", "4", "--lora-rank", "2");
        Assert.True(tuned.ExitCode == 0, tuned.Error);
        Assert.Equal([prompts], Forgetting.Training.Recipe.Read(Path.Combine(run, "run.yaml"), new()).Unlearning.Prompts);
        string text = CommandResult.Of("generate", "--model", run, "--max-new-tokens", "8").Output;
        Assert.Equal(CommandResult.Of("generate", "--model", Path.Combine(run, "model"), "--max-new-tokens", "8").Output, text);
        Assert.NotEqual("", text);
    }
}

using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Cases;

/// <content>Templates, recipes and tasks that once crashed, hung or took all memory; tokenizers whose
/// patterns .NET reads otherwise.</content>
public partial class SharedCasesTests
{
    /// <summary>Each template of the folder ends the command with 0 or 2, and 2 comes with one line.</summary>
    [SharedCaseFact]
    public void Hostile_templates_end()
    {
        using TemporaryFolder folder = new();
        folder.Write("chat.jsonl", """{"messages":[{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi there"}]}""");
        AllEnd("*.jinja", file =>
        [
            "loss", "--model", SharedData.Path("stories260K", "hf"), "--data", Path.Combine(folder.Path, "chat.jsonl"), "--template", file,
            "--out", Path.Combine(folder.Path, "out.jsonl"),
        ]);
    }

    /// <summary>The same for recipes.</summary>
    [SharedCaseFact]
    public void Hostile_recipes_end() => AllEnd("*.yaml", file => ["run", file, "--list"]);

    /// <summary>The same for tasks.</summary>
    [SharedCaseFact]
    public void Hostile_tasks_end()
    {
        using TemporaryFolder folder = new();
        foreach (string tasks in Directory.GetDirectories(Hostile(), "tasks-*"))
        {
            string name = Directory.GetFiles(tasks, "*.yaml")
                .SelectMany(File.ReadLines)
                .First(line => line.StartsWith("task: ", StringComparison.Ordinal))["task: ".Length..];
            AssertEnds(tasks, CommandResult.Of(
                "eval", "--model", SharedData.Path("stories260K", "hf"), "--include", tasks, "--tasks", name, "--data-dir", tasks, "--out",
                folder.Path, "--log-samples"));
        }
    }

    /// <summary>Right values as Hugging Face's tokenizers gives them.</summary>
    [SharedCaseFact]
    public void Tokenizers_split_as_their_patterns_say()
    {
        Assert.Equal([49, 256, 49], Tokenizer.Load(SharedCases.Path("tokenizer-zero-width")).Encode("1111"));
        Assert.Equal([49], Tokenizer.Load(SharedCases.Path("tokenizer-posix-class")).Encode("a1b"));
    }

    private static string Hostile() => SharedCases.Path("hostile");

    private static void AllEnd(string pattern, Func<string, string[]> command)
    {
        string[] files = Directory.GetFiles(Hostile(), pattern);
        Assert.NotEmpty(files);
        Assert.All(files, file => AssertEnds(file, CommandResult.Of(command(file))));
    }

    private static void AssertEnds(string file, CommandResult result)
    {
        Assert.True(result.ExitCode is 0 or 2, $"{file}: exit code {result.ExitCode}");
        if (result.ExitCode == 2)
        {
            Assert.StartsWith("error: ", result.Error, StringComparison.Ordinal);
            Assert.Single(result.Error.TrimEnd('\n').Split('\n'));
            Assert.InRange(result.Error.Length, 10, 2100);
        }
    }
}

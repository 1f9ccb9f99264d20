using System.Diagnostics;
using Forgetting.Cli;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>What shells are told of words that are not typed to their end.</summary>
public sealed class CompletionTests
{
    [Theory]
    [InlineData("forgetting ser", "serve")]
    [InlineData("forgetting tune --tens", "--tensorboard")]
    [InlineData("forgetting tune --method ", "forget full ignore lwf unlearn")]
    [InlineData("forgetting generate --device ", "auto cpu cuda cuda-emu cuda-ptx")]
    [InlineData("forgetting tune --device cuda-", "cuda-emu cuda-ptx")]
    [InlineData("forgetting completion ", "bash powershell zsh")]
    [InlineData("forgetting tune --no-such-thing", "")]
    public void Words_are_told(string line, string expected)
    {
        CommandResult result = CommandResult.Of($"[suggest:{line.Length}]", line);

        // Where a value is due, options that may stand there too are told behind the values.
        IEnumerable<string> found = result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Where(word => word[0] != '-' || line.EndsWith("tens", StringComparison.Ordinal));
        Assert.Equal((0, expected), (result.ExitCode, string.Join(' ', found.Order(StringComparer.Ordinal))));
    }

    [Theory]
    [InlineData("forgetting tune --mod", "--model")]
    [InlineData("forgetting tune --method forg", "forget")]
    [InlineData("forgetting sch", "schema")]
    public void Bash_completes_with_what_the_command_prints(string line, string expected)
    {
        if (!File.Exists("/bin/bash"))
            return;

        // The command itself, under its name, and the line as bash would give it.
        using var folder = new TemporaryFolder();
        string script = folder.Write("complete.sh", $$"""
            forgetting() { dotnet '{{Path.Combine(AppContext.BaseDirectory, "Forgetting.Cli.dll")}}' "$@"; }
            eval "$(forgetting completion bash)"
            COMP_LINE='{{line}}' COMP_POINT={{line.Length}} COMP_WORDS=({{line}}) COMP_CWORD={{line.Split(' ').Length - 1}}
            _forgetting
            echo "${COMPREPLY[@]}"
            """);
        using Process process = Process.Start(new ProcessStartInfo("/bin/bash", script) { RedirectStandardOutput = true })!;
        string[] found = process.StandardOutput.ReadToEnd().Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        Assert.Contains(expected, found);
        Assert.All(found, word => Assert.StartsWith(line.Split(' ')[^1], word, StringComparison.Ordinal));
    }
}

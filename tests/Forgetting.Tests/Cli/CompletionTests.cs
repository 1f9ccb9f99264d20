using System.Diagnostics;
using Forgetting.Cli;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>What shells are told of words that are not typed to their end.</summary>
public sealed class CompletionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    // The command itself, under its name.
    public CompletionTests()
    {
        string command = _folder.Write(
            "forgetting", $"#!/bin/sh\nexec dotnet '{Path.Combine(AppContext.BaseDirectory, "Forgetting.Cli.dll")}' \"$@\"\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(command, UnixFileMode.UserRead | UnixFileMode.UserExecute);
    }

    /// <summary>Words as they are typed, and one of those that they may become.</summary>
    public static TheoryData<string, string> Typed => new()
    {
        { "forgetting tune --mod", "--model" }, { "forgetting tune --method forg", "forget" }, { "forgetting sch", "schema" },
    };

    public void Dispose() => _folder.Dispose();

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

    [ShellTheory("bash")]
    [MemberData(nameof(Typed))]
    public void Bash_completes_with_what_the_command_prints(string line, string expected)
    {
        // The line as bash would give it.
        string script = _folder.Write("complete.sh", $$"""
            PATH='{{_folder.Path}}':$PATH
            eval "$(forgetting completion bash)"
            COMP_LINE='{{line}}' COMP_POINT={{line.Length}} COMP_WORDS=({{line}}) COMP_CWORD={{line.Split(' ').Length - 1}}
            _forgetting
            echo "${COMPREPLY[@]}"
            """);
        string[] found = Run("bash", script).Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains(expected, found);
        Assert.All(found, word => Assert.StartsWith(line.Split(' ')[^1], word, StringComparison.Ordinal));
    }

    // A terminal of its own, in which the line and a tab are typed; another key then tells what stands there.
    [ShellTheory("zsh")]
    [InlineData("forgetting tune --mod", "forgetting tune --model ")]
    [InlineData("forgetting tune --method forg", "forgetting tune --method forget ")]
    [InlineData("forgetting sch", "forgetting schema ")]
    public void Zsh_completes_what_is_typed(string line, string expected)
    {
        string script = _folder.Write("type.zsh", $$"""
            zmodload zsh/zpty
            cd '{{_folder.Path}}'
            wait_for() { for i in {1..600}; do [[ -s $1 ]] && return; zpty -r -t typed ignored; sleep 0.1; done }
            zpty -b typed zsh -f -i
            zpty -w typed 'PS1=; unset zle_bracketed_paste; PATH={{_folder.Path}}:$PATH'
            zpty -w typed 'autoload -U compinit; compinit -u -D; eval "$(forgetting completion zsh)"'
            zpty -w typed 'tell() { print -r -- "$BUFFER" >! told }; zle -N tell; bindkey "^X" tell; print ready >! ready'
            wait_for ready
            zpty -w -n typed "$1"$'\t\x18'
            wait_for told
            cat told
            """);
        Assert.Equal(expected, Run("zsh", "-f", script, line).TrimEnd('\n'));
    }

    [ShellTheory("pwsh")]
    [MemberData(nameof(Typed))]
    public void PowerShell_completes_what_is_typed(string line, string expected)
    {
        string script = _folder.Write("type.ps1", $$"""
            $env:PATH = '{{_folder.Path}}' + [IO.Path]::PathSeparator + $env:PATH
            forgetting completion powershell | Out-String | Invoke-Expression
            $found = [System.Management.Automation.CommandCompletion]::CompleteInput('{{line}}', {{line.Length}}, $null)
            $found.CompletionMatches | ForEach-Object { $_.CompletionText }
            """);
        Assert.Contains(expected, Run("pwsh", "-NoProfile", "-File", script).Split('\n'));
    }

    private static string Run(string shell, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(shell, arguments) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        return output;
    }

    /// <summary>Skipped where the shell is not there.</summary>
    private sealed class ShellTheoryAttribute : TheoryAttribute
    {
        public ShellTheoryAttribute(string shell)
        {
            string[] places = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
            if (OperatingSystem.IsWindows() || !places.Any(place => File.Exists(Path.Combine(place, shell))))
                Skip = $"{shell} is not on this machine";
        }
    }
}

using System.CommandLine;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting completion</c>: the lines by which a shell completes this command's words.</summary>
internal static class CompletionCommand
{
    // Where the program knows no word, the shell completes paths.
    private const string Bash = """
        _forgetting() {
            local IFS=$'\n'
            COMPREPLY=($(compgen -W "$(forgetting "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
        }
        complete -o default -F _forgetting forgetting
        """;

    private const string Zsh = """
        #compdef forgetting
        _forgetting() {
            local -a words_found
            words_found=("${(@f)$(forgetting "[suggest:$CURSOR]" "$BUFFER" 2>/dev/null)}")
            if [[ -n "${words_found[1]}" ]]; then compadd -a words_found; else _files; fi
        }
        compdef _forgetting forgetting
        """;

    private const string PowerShell = """
        Register-ArgumentCompleter -Native -CommandName forgetting -ScriptBlock {
            param($wordToComplete, $commandAst, $cursorPosition)
            forgetting "[suggest:$cursorPosition]" "$commandAst" 2>$null | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
                [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
            }
        }
        """;

    public static Subcommand Entry { get; } = new(
        "completion",
        "Print what makes a shell complete commands and options: eval \"$(forgetting completion bash)\" in ~/.bashrc, the same with "
            + "zsh in ~/.zshrc behind compinit, forgetting completion powershell | Out-String | Invoke-Expression in $PROFILE.",
        Fill);

    private static void Fill(Command command)
    {
        var shell = new Argument<string>("shell") { Description = "bash, zsh or powershell" };
        shell.AcceptOnlyFromAmong("bash", "zsh", "powershell");
        command.Fill(shell);
        command.SetAction(
            parsed => Console.Out.WriteLine(parsed.GetValue(shell) switch { "bash" => Bash, "zsh" => Zsh, _ => PowerShell }));
    }
}

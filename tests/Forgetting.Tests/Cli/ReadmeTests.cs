using System.CommandLine;
using Forgetting.Cli;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>Commands that the README and the pages under docs/ show are commands that exist, and files they point to are there.</summary>
public sealed class ReadmeTests
{
    private const string Run = "dotnet run -c Release --project src/Forgetting.Cli -- ";

    private static readonly string[] s_pages = [Repository.Path("README.md"), Repository.Path("CONTRIBUTING.md"),
        .. Directory.EnumerateFiles(Repository.Path("docs"), "*.md", SearchOption.AllDirectories)];

    public static TheoryData<string> Commands() => [.. s_pages.SelectMany(File.ReadLines)
        .Select(line => line.Split('#')[0].Trim())
        .Where(line => !line.Contains('…'))
        .Where(line => line.StartsWith("forgetting ", StringComparison.Ordinal) || line.StartsWith(Run, StringComparison.Ordinal))
        .Select(line => line.StartsWith(Run, StringComparison.Ordinal) ? line[Run.Length..] : line["forgetting ".Length..])
        .Distinct()];

    [Theory]
    [MemberData(nameof(Commands))]
    public void Command_of_a_page_parses(string command) => Assert.Empty(CommandLine.Create().Parse(command).Errors);

    [Fact]
    public void Commands_of_the_readme_are_all_commands()
    {
        string readme = File.ReadAllText(s_pages[0]);
        Assert.All(CommandLine.Create().Subcommands, command => Assert.Contains($"`{command.Name}`", readme, StringComparison.Ordinal));
    }

    [Fact]
    public void Links_between_pages_lead_to_files()
    {
        foreach (string page in s_pages)
        {
            foreach (string target in System.Text.RegularExpressions.Regex.Matches(File.ReadAllText(page), @"\]\(([^)#:]+)(#[^)]*)?\)")
                .Select(m => m.Groups[1].Value))
            {
                string path = Path.Combine(Path.GetDirectoryName(page)!, target);
                Assert.True(File.Exists(path) || Directory.Exists(path), $"{page}: {target}");
            }
        }
    }

    [Fact]
    public void The_readme_is_short() => Assert.InRange(File.ReadLines(s_pages[0]).Count(), 20, 120);
}

using System.CommandLine;
using Forgetting.Cli;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>Commands that the README shows are commands that exist.</summary>
public sealed class ReadmeTests
{
    private const string Run = "dotnet run -c Release --project src/Forgetting.Cli -- ";

    public static TheoryData<string> Commands() => [.. File.ReadLines(Repository.Path("README.md"))
        .Select(line => line.Split('#')[0].Trim())
        .Where(line => line.StartsWith("forgetting ", StringComparison.Ordinal) || line.StartsWith(Run, StringComparison.Ordinal))
        .Select(line => line.StartsWith(Run, StringComparison.Ordinal) ? line[Run.Length..] : line["forgetting ".Length..])];

    [Theory]
    [MemberData(nameof(Commands))]
    public void Command_of_the_readme_parses(string command) => Assert.Empty(CommandLine.Create().Parse(command).Errors);

    [Fact]
    public void Commands_of_the_readme_are_all_commands()
    {
        string readme = File.ReadAllText(Repository.Path("README.md"));
        Assert.All(CommandLine.Create().Subcommands, command => Assert.Contains($"`{command.Name}`", readme, StringComparison.Ordinal));
    }
}

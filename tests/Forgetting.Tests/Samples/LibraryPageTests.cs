using System.Text.RegularExpressions;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Samples;

/// <summary>C# on the pages is C# of the samples, which are built and run.</summary>
public sealed class LibraryPageTests
{
    [Theory]
    [InlineData("docs/library.md")]
    [InlineData("src/Forgetting/README.md")]
    [InlineData("src/Forgetting.Extensions.AI/README.md")]
    public void Every_block_of_code_stands_in_a_sample(string page)
    {
        string[] samples = [.. Directory.GetFiles(Repository.Path("samples"), "Program.cs", SearchOption.AllDirectories)
            .Select(file => Lines(File.ReadAllText(file)))];
        string[] blocks =
            [.. Regex.Matches(
                File.ReadAllText(Repository.Path(page.Split('/'))).ReplaceLineEndings("\n"), "```csharp\n(.*?)```", RegexOptions.Singleline)
                .Select(match => match.Groups[1].Value)];
        Assert.NotEmpty(blocks);
        Assert.All(blocks, block => Assert.Contains(samples, sample => sample.Contains(Lines(block), StringComparison.Ordinal)));
    }

    // Without indentation, which a page has none of.
    private static string Lines(string code) =>
        "\n" + string.Concat(code.ReplaceLineEndings("\n").Trim().Split('\n').Select(line => line.Trim() + "\n"));
}

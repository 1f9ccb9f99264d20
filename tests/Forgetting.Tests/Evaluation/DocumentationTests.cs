using Forgetting.Evaluation;
using Forgetting.Evaluation.Readers;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>docs/evaluation.md names what there is.</summary>
public class DocumentationTests
{
    private static readonly string s_text = File.ReadAllText(Repository.Path("docs", "evaluation.md"));

    [Fact]
    public void Every_task_has_a_line()
    {
        // The parts of TOFU are explained by figure.
        foreach (string name in new TaskLibrary().Names.Where(name => !name.StartsWith("tofu_", StringComparison.Ordinal)))
        {
            Assert.Contains($"`{name.Replace("*", "SUBJECT", StringComparison.Ordinal)}`", s_text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_key_and_format_is_named() =>
        Assert.All(TaskFile.Keys.Concat(DocumentReaders.All.Keys), name => Assert.Contains(name, s_text, StringComparison.Ordinal));
}

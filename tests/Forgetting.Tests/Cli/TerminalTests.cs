using Forgetting.Cli;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>How tables fit a terminal.</summary>
public class TerminalTests
{
    private static readonly string[] s_header = ["tuning", "most", "in the stage", "weights"];
    private static readonly string[][] s_rows = [["forget, ignore, LoRA r 64", "136.7 MiB", "reference", "2.4 MiB"]];

    // One at the edge, and two behind each column: 1 + 25 + 9 + 12 + 7 + 8. "in the stage" folds to the width of "reference".
    [Theory]
    [InlineData(62, new[] { 0, 1, 2, 3 }, 12)]
    [InlineData(61, new[] { 0, 1, 2, 3 }, 9)]
    [InlineData(59, new[] { 0, 1, 2, 3 }, 9)]
    [InlineData(58, new[] { 0, 1, 3 }, 9)]
    [InlineData(46, new[] { 0, 1 }, 9)]
    [InlineData(10, new[] { 0 }, 9)]
    public void Heads_fold_between_words_and_then_columns_go(int room, int[] shown, int stage)
    {
        (IReadOnlyList<int> columns, int[] widths) = Terminal.Fit(s_header, s_rows, [2], room);
        Assert.Equal(shown, columns);
        Assert.Equal(stage, widths[2]);
    }
}

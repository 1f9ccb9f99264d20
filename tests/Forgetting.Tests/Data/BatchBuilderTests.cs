using Forgetting.Data;
using Xunit;

namespace Forgetting.Tests.Data;

public class BatchBuilderTests
{
    private static readonly EncodedExample[] s_step =
    [
        new() { Index = 4, Ids = [10, 11, 12], Response = [false, true, true] },
        new() { Index = 9, Ids = [20, 21], Response = [false, false] },
        new() { Index = 2, Ids = [30, 31, 32, 33], Response = [false, false, true, false] },
    ];

    private static readonly float[][] s_weights = [[9, 1, 2], [9, 9], [9, 9, 3, 9]];

    [Fact]
    public void Puts_examples_end_to_end_and_predictions_one_row_before_their_token()
    {
        TokenBatch batch = BatchBuilder.Create(s_step, new MicroBatch(0, 3, 0), s_weights, s_weights);
        Assert.Equal([10, 11, 12, 20, 21, 30, 31, 32, 33], batch.Ids);
        Assert.Equal([0, 1, 2, 0, 1, 0, 1, 2, 3], batch.Positions);
        Assert.Equal([0, 3, 5, 9], batch.Offsets);
        Assert.Equal([4, 9, 2], batch.Examples);
        Assert.Equal([0, 1, 2, 3, 4, 5, 6, 7, 8], batch.RowKeys);
        Assert.Equal([0, 1, 6], batch.HeadRows);
        Assert.Equal([0, 2, 2, 3], batch.HeadOffsets);
        Assert.Equal([11, 12, 32], batch.Targets);
        Assert.Equal([1, 2, 3], batch.Weights);
        Assert.Equal([1f, 2f, 3f], batch.BaseLogProbabilities!);
    }

    [Fact]
    public void Scoring_all_tokens_leaves_out_only_the_first_of_each_example()
    {
        TokenBatch batch = BatchBuilder.ForScoring(s_step, new MicroBatch(1, 2, 3), allTokens: true);
        Assert.Equal([20, 30, 31, 32], batch.Ids);
        Assert.Equal([0, 1, 4], batch.Offsets);
        Assert.Equal([0, 1, 2, 3], batch.HeadRows);
        Assert.Equal([21, 31, 32, 33], batch.Targets);
        Assert.Equal([0, 1, 4], batch.HeadOffsets);
    }

    [Fact]
    public void Scoring_a_response_reads_no_further_than_its_last_prediction()
    {
        TokenBatch batch = BatchBuilder.ForScoring(s_step, new MicroBatch(0, 3, 0), allTokens: false);
        Assert.Equal([10, 11, 30, 31], batch.Ids);
        Assert.Equal([0, 2, 2, 4], batch.Offsets);
        Assert.Equal([0, 1, 3], batch.HeadRows);
        Assert.Equal([11, 12, 32], batch.Targets);
        Assert.Equal([0, 2, 2, 3], batch.HeadOffsets);
    }

    [Theory]
    [InlineData(1, "0:1:0 1:1:3 2:1:5")]
    [InlineData(4, "0:1:0 1:1:3 2:1:5")]
    [InlineData(5, "0:2:0 2:1:5")]
    [InlineData(9, "0:3:0")]
    public void Micro_batches_are_consecutive_within_the_limit_and_keep_row_keys(int most, string expected)
    {
        IReadOnlyList<MicroBatch> runs = BatchBuilder.MicroBatches(s_step, most);
        Assert.Equal(expected, string.Join(' ', runs.Select(r => $"{r.First}:{r.Count}:{r.FirstRowKey}")));
        Assert.Equal(Enumerable.Range(0, 9), runs.SelectMany(r => BatchBuilder.Create(s_step, r, s_weights).RowKeys));
        Assert.Equal([1f, 2f, 3f], runs.SelectMany(r => BatchBuilder.Create(s_step, r, s_weights).Weights));
    }

    [Theory]
    [InlineData(7, 3, "0,1,2 2,3,4 4,5,6")]
    [InlineData(8, 3, "0,1,2 2,3,4 4,5,6 6,7")]
    [InlineData(3, 5, "0,1,2")]
    [InlineData(2, 2, "0,1")]
    public void Windows_predict_every_token_but_the_first_once(int tokens, int length, string expected)
    {
        IReadOnlyList<EncodedExample> windows = TextWindows.Cut([.. Enumerable.Range(0, tokens)], length);
        Assert.Equal(expected, string.Join(' ', windows.Select(w => string.Join(',', w.Ids))));
        Assert.Equal(Enumerable.Range(1, tokens - 1), windows.SelectMany(w => w.Ids.Where((_, j) => w.Response[j])));
    }
}

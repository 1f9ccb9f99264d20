using Forgetting.Backends.Cpu;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tests.Models;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Data;

public class BatchFillerTests
{
    [Theory]
    [InlineData(1, 16)]
    [InlineData(16, 16)]
    [InlineData(17, 32)]
    [InlineData(200, 224)]
    [InlineData(700, 768)]
    [InlineData(2048, 2048)]
    [InlineData(8200, 8320)]
    public void Rows_are_filled_up_to_a_multiple_of_about_an_eighth_and_at_most_128(int rows, int filled) =>
        Assert.Equal(filled, BatchFiller.FilledRows(rows));

    [Fact]
    public void What_is_added_is_a_document_of_its_own_and_predictions_of_weight_0_in_rows_without_one()
    {
        TokenBatch batch = Batch(5, 9);
        TokenBatch filled = BatchFiller.Fill(batch, vocabulary: 7, context: 4);
        Assert.Equal((16, 8, 16), (filled.Rows, filled.Documents, filled.HeadRows.Length));
        Assert.Equal([0, 5, 14, 16, 16, 16, 16, 16, 16], filled.Offsets);
        Assert.Equal(batch.Ids, filled.Ids[..14]);
        Assert.Equal([0, 1], filled.Ids[14..]);
        Assert.Equal(batch.HeadRows, filled.HeadRows[..12]);
        Assert.Equal([15, 14, 13, 4], filled.HeadRows[12..]); // the last tokens of documents predict nothing
        Assert.Equal([0, 0, 0, 0], filled.Weights[12..]);
        Assert.Equal(16, filled.HeadOffsets[^1]);
        Assert.All(filled.Positions, position => Assert.InRange(position, 0, 8));
    }

    // In the plain order of the rows, so that sums of the same numbers are the same.
    [Fact]
    public void Filling_up_changes_neither_losses_nor_gradients()
    {
        ModelConfig config = ReferenceConfigs.All["gpt2"];
        TokenBatch batch = Batch(5, 9);
        TokenBatch filled = BatchFiller.Fill(batch, config.VocabularySize, config.ContextLength);
        (float[] losses, float[][] gradients) = Pass(config, batch);
        (float[] ofFilled, float[][] filledGradients) = Pass(config, filled);
        for (int i = 0; i < losses.Length; i++)
        {
            Assert.Equal(losses[i], ofFilled[i], 1e-6f);
        }

        for (int p = 0; p < gradients.Length; p++)
        {
            float scale = gradients[p].Max(Math.Abs);
            Assert.All(gradients[p].Zip(filledGradients[p]), pair => Assert.Equal(pair.First, pair.Second, (1e-6f * scale) + 1e-12f));
        }
    }

    private static (float[] Losses, float[][] Gradients) Pass(ModelConfig config, TokenBatch batch)
    {
        using var backend = new CpuBackend(1);
        using var decoder = new Decoder(config, backend);
        decoder.Initialize(3);
        decoder.AllocateGradients();
        var losses = new float[batch.HeadRows.Length];
        decoder.ForwardBackward(batch, new(), new AccumulateSink(backend), losses);
        return (losses, TestModel.GradientsOf(decoder));
    }

    private static TokenBatch Batch(params int[] lengths)
    {
        EncodedExample[] examples = [.. lengths.Select((length, index) => new EncodedExample
        {
            Index = index, Ids = [.. Enumerable.Range(0, length).Select(t => (3 + (index * t)) % 7)],
            Response = [.. Enumerable.Range(0, length).Select(t => t > 0)],
        })];
        return BatchBuilder.Create(
            examples, new MicroBatch(0, lengths.Length, 0), [.. examples.Select(e => Array.ConvertAll(e.Response, r => r ? 0.5f : 0))]);
    }
}

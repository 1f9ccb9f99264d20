using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Operations.Reference;
using Forgetting.Tensors;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>Squared and projected gradients against an explicit loop over single documents with <see cref="AccumulateSink"/>.</summary>
public class GradientSinkTests
{
    [Theory]
    [MemberData(nameof(TestModel.WithAndWithoutLora), MemberType = typeof(TestModel))]
    [InlineData("llama-biases", true, true)]
    [InlineData("phi3", true, true)]
    public void Squares_equal_a_loop_over_documents(string name, bool lora, bool dora = false)
    {
        using TestModel model = Make(name, lora, dora);
        float[][][] single = SingleGradients(model, out TokenBatch batch);
        float[][] summed = Run(model, batch, new AccumulateSink(model.Backend));
        float[][] squares = Run(model, batch, new SquareAccumulateSink(model.Backend));
        List<double> all = [];
        for (int p = 0; p < squares.Length; p++)
        {
            double[] expected = [.. Enumerable.Range(0, squares[p].Length).Select(i => single.Sum(g => (double)g[p][i] * g[p][i]))];
            all.AddRange(expected);
            Assert.True(
                RelativeError(expected, squares[p]) <= 1e-4,
                $"{model.Decoder.TrainableParameters[p]}: {RelativeError(expected, squares[p])}");
        }

        // The square of the batch's gradient is another thing, and this test would notice.
        Assert.True(RelativeError([.. all], [.. summed.SelectMany(g => g).Select(g => g * g)]) > 0.05);
    }

    [Theory]
    [MemberData(nameof(TestModel.WithAndWithoutLora), MemberType = typeof(TestModel))]
    [InlineData("llama-biases", true, true)]
    [InlineData("phi3", true, true)]
    public void Projections_equal_a_loop_over_documents(string name, bool lora, bool dora = false)
    {
        using TestModel model = Make(name, lora, dora);
        float[][][] single = SingleGradients(model, out TokenBatch batch);
        var random = new Random(2);
        using DeviceBuffer memory = model.Backend.Allocate(model.Decoder.TrainableParameters.Sum(p => p.Shape.Count) * 2 * sizeof(float));
        Dictionary<Parameter, Projection> projections = [];
        var a = new float[single[0].Length][];
        var b = new float[single[0].Length][];
        long used = 0;
        for (int p = 0; p < a.Length; p++)
        {
            Parameter parameter = model.Decoder.TrainableParameters[p];
            a[p] = [.. Enumerable.Range(0, (int)parameter.Shape.Count).Select(_ => (float)(random.NextDouble() - 0.5))];
            b[p] = [.. Enumerable.Range(0, (int)parameter.Shape.Count).Select(_ => (float)random.NextDouble())];
            projections[parameter] = new Projection(Put(a[p], parameter.Shape), Put(b[p], parameter.Shape));
        }

        using DeviceBuffer results = model.Backend.Allocate(batch.Documents * 2 * sizeof(float));
        Tensor result = results.AsTensor(new Shape(batch.Documents, 2), DType.Float32);
        model.Backend.Fill(result, 0);
        Run(model, batch, new ProjectSink(model.Backend, projections) { Result = result });
        var found = new float[batch.Documents * 2];
        model.Backend.Download<float>(result, found);
        for (int s = 0; s < batch.Documents; s++)
        {
            double linear = 0, linearSize = 0, quadratic = 0;
            for (int p = 0; p < a.Length; p++)
            {
                for (int i = 0; i < a[p].Length; i++)
                {
                    double g = single[s][p][i];
                    linear += a[p][i] * g;
                    linearSize += Math.Abs(a[p][i] * g);
                    quadratic += b[p][i] * g * g;
                }
            }

            Assert.True(Math.Abs(linear - found[2 * s]) <= 1e-5 * linearSize, $"document {s}: {linear} and {found[2 * s]}");
            Assert.True(
                Math.Abs(quadratic - found[(2 * s) + 1]) <= 1e-4 * quadratic, $"document {s}: {quadratic} and {found[(2 * s) + 1]}");
        }

        Tensor Put(float[] values, Shape shape)
        {
            var tensor = new Tensor(memory.Pointer + (nint)used, shape, DType.Float32);
            used += tensor.Bytes;
            model.Backend.Upload<float>(values, tensor);
            return tensor;
        }
    }

    // Rows are drawn from softmax(logits) with numbers that belong to (example, position): frequencies
    // approach p, batching changes nothing.
    [Fact]
    public void Targets_drawn_from_the_model_follow_its_distribution_and_not_the_batching()
    {
        using TestModel model = Make("llama", lora: false);
        int vocabulary = model.Decoder.Config.VocabularySize;
        Document[] documents = [.. Enumerable.Range(0, 3000).Select(_ => new Document([5, 7], [1]))];
        TokenBatch batch = Batches.Of(documents);
        double[] logits = model.Reference.Logits([5])[0];
        double total = ReferenceLoss.LogSumExp(logits);
        var losses = new float[batch.HeadRows.Length];
        Sample(batch, losses);

        // Each token shows itself by its loss, −log p.
        for (int v = 0; v < vocabulary; v++)
        {
            double p = Math.Exp(logits[v] - total);
            int count = losses.Count(loss => Math.Abs(loss - (total - logits[v])) < 1e-5);
            Assert.InRange(count, (3000 * p) - (5 * Math.Sqrt(3000 * p)) - 1, (3000 * p) + (5 * Math.Sqrt(3000 * p)) + 1);
        }

        var part = new float[3];
        Sample(Batches.Of(documents, 4, 2000, 17), part);
        Assert.Equal([losses[4], losses[2000], losses[17]], part);

        void Sample(TokenBatch chosen, float[] into) =>
            model.Decoder.ForwardBackward(chosen, default, new AccumulateSink(model.Backend), into, targetSeed: 9);
    }

    // 2 rows a chunk, so that every document is a chunk of its own; or 9, so that some share one.
    [Theory]
    [InlineData("gpt2", 2)]
    [InlineData("llama-tied", 9)]
    [InlineData("llama", 9)]
    public void Chunks_of_the_head_change_nothing(string name, int rows)
    {
        using TestModel model = Make(name, lora: false);
        TokenBatch batch = Batches.Of(Batches.Random(model.Decoder.Config.VocabularySize, 4, 9, 1, 3, 3, 13, 1));
        IGradientSink[] sinks = [new AccumulateSink(model.Backend), new SquareAccumulateSink(model.Backend)];
        foreach (IGradientSink sink in sinks)
        {
            model.Decoder.LogitBytes = LossHead.DefaultChunkBytes;
            float[][] whole = Run(model, batch, sink);
            float[] losses = Losses(model, batch);
            model.Decoder.LogitBytes = rows * sizeof(float) * model.Decoder.Config.VocabularySize;
            float[][] chunked = Run(model, batch, sink);
            for (int p = 0; p < whole.Length; p++)
            {
                Assert.True(
                    RelativeError([.. whole[p].Select(x => (double)x)], chunked[p]) <= 1e-6, $"{model.Decoder.TrainableParameters[p]}");
            }

            Assert.Equal(losses, Losses(model, batch));
        }
    }

    private static float[] Losses(TestModel model, TokenBatch batch)
    {
        var losses = new float[batch.HeadRows.Length];
        model.Decoder.Forward(batch, losses);
        return losses;
    }

    private static TestModel Make(string name, bool lora, bool dora = false) =>
        new(ReferenceConfigs.All[name], lora ? new LoraConfig { Rank = 3, Alpha = 5, Dora = dora } : null);

    // Per document: gradients of every trainable parameter. Tokens repeat within and across documents; one document has no head row.
    private static float[][][] SingleGradients(TestModel model, out TokenBatch batch)
    {
        Document[] documents = Batches.Random(model.Decoder.Config.VocabularySize, 4, 9, 1, 13, 6);
        batch = Batches.Of(documents);
        return [.. Enumerable.Range(0, documents.Length).Select(
            s => Run(model, Batches.Of(documents, s), new AccumulateSink(model.Backend)))];
    }

    private static float[][] Run(TestModel model, TokenBatch batch, IGradientSink sink)
    {
        model.Decoder.ZeroGradients();
        model.Decoder.ForwardBackward(batch, Ascent.From(AscentKind.Ascent), sink, new float[batch.HeadRows.Length]);
        return model.Gradients();
    }

    private static double RelativeError(double[] expected, float[] actual) =>
        expected.Zip(actual, (e, x) => Math.Abs(e - x)).Max() / expected.Max(Math.Abs);
}

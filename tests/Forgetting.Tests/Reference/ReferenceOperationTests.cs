using Forgetting.Backends;
using Forgetting.Operations.Reference;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Reference;

/// <summary>The plain versions of the operations against published values and against finite differences of their own forwards.</summary>
public class ReferenceOperationTests
{
    private const double Tolerance = 1e-8;
    private readonly Random _random = new(1);

    [Theory]
    // kat_vectors of Random123: zeros, ones, digits of π.
    [InlineData(
        0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(
        0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(
        0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u, 0x299f31d0u, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void Philox_gives_the_published_vectors(
        uint c0, uint c1, uint c2, uint c3, uint k0, uint k1, uint x0, uint x1, uint x2, uint x3) =>
        Assert.Equal([x0, x1, x2, x3], ReferencePhilox.Draw([c0, c1, c2, c3], k0, k1));

    [Theory]
    [InlineData(0.5, 0.520499877813046537682746653891964528736451575757963700058806)]
    [InlineData(1, 0.842700792949714869341220635082609259296066997966302908459937)]
    [InlineData(2, 0.995322265018952734162069256367252928610891797040060076738352)]
    [InlineData(-3.5, -0.999999256901627658587254476316243904363)]
    public void Erf_gives_published_values(double x, double expected) => Assert.Equal(expected, ReferenceElementwise.Erf(x), 1e-15);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Gelu_derivative(bool tanh)
    {
        double[] x = Values(1);
        for (double at = -5; at < 5; at += 0.37)
        {
            x[0] = at;
            Assert.Equal(
                Differences.Derivative(() => ReferenceElementwise.Gelu(x[0], tanh), x, 0), ReferenceElementwise.GeluDerivative(at, tanh),
                Tolerance);
        }
    }

    [Fact]
    public void Magnitude_factors_are_those_of_the_rows_of_the_sum()
    {
        const int Outputs = 4, Inputs = 6, Rank = 2;
        const double Scale = 0.75;
        double[] w = Values(Outputs * Inputs), a = Values(Rank * Inputs), b = Values(Outputs * Rank), m = Values(Outputs);
        double[] sum = ReferenceDense.Gemm(b, false, a, false, w, Outputs, Inputs, Rank, Scale, 1);
        double[] lengths = [.. sum.Chunk(Inputs).Select(row => Math.Sqrt(row.Sum(x => x * x)))];
        double[] cross = ReferenceDense.Gemm(a, false, w, true, new double[Rank * Outputs], Rank, Outputs, Inputs, 1, 0);
        double[] gram = ReferenceDense.Gemm(a, false, a, true, new double[Rank * Rank], Rank, Rank, Inputs, 1, 0);
        double[] squares = [.. w.Chunk(Inputs).Select(row => row.Sum(x => x * x))];
        double[] found = ReferenceDense.MagnitudeFactors(squares, m, b, cross, gram, Scale);
        Assert.All(lengths, (length, i) => Assert.Equal(1 / length, found[i], Tolerance));
        Assert.All(lengths, (length, i) => Assert.Equal(m[i] / length, found[Outputs + i], Tolerance));
    }

    [Fact]
    public void SwiGlu_backward()
    {
        double[] gate = Values(12), up = Values(12), dY = Values(12);
        (double[] dGate, double[] dUp) = ReferenceElementwise.SwiGluBackward(gate, up, dY);
        double Loss() => Dot(dY, ReferenceElementwise.SwiGlu(gate, up));
        AssertGradient(Loss, gate, dGate);
        AssertGradient(Loss, up, dUp);
    }

    [Fact]
    public void GeGlu_backward()
    {
        double[] gate = Values(12), up = Values(12), dY = Values(12);
        (double[] dGate, double[] dUp) = ReferenceElementwise.GeGluBackward(gate, up, dY);
        double Loss() => Dot(dY, ReferenceElementwise.GeGlu(gate, up));
        AssertGradient(Loss, gate, dGate);
        AssertGradient(Loss, up, dUp);
    }

    [Fact]
    public void Soft_cap_and_its_derivative()
    {
        Assert.Equal(2 * ((Math.Exp(2) - 1) / (Math.Exp(2) + 1)), ReferenceElementwise.SoftCap(2, 2), 1e-15);
        double[] x = [0.3];
        foreach (double at in new[] { -7, -1.3, 0, 0.01, 2, 40 })
        {
            x[0] = at;
            Assert.Equal(
                Differences.Derivative(() => ReferenceElementwise.SoftCap(x[0], 5), x, 0), ReferenceElementwise.SoftCapDerivative(at, 5),
                Tolerance);
        }
    }

    [Fact]
    public void RmsNorm_backward()
    {
        double[] x = Values(3 * 7), gain = Values(7), dY = Values(3 * 7);
        double[] rstd = ReferenceElementwise.RmsNorm(x, gain, 1e-3).Rstd;
        (double[] dX, double[] product) = ReferenceElementwise.RmsNormBackward(dY, x, gain, rstd);
        double Loss() => Dot(dY, ReferenceElementwise.RmsNorm(x, gain, 1e-3).Y);
        AssertGradient(Loss, x, dX);
        AssertGradient(Loss, gain, ReferenceSinks.ColumnGradients(product, [0, 3], 7)[0]);
    }

    [Fact]
    public void LayerNorm_backward()
    {
        double[] x = Values(3 * 7), gain = Values(7), bias = Values(7), dY = Values(3 * 7);
        double[] statistics = ReferenceElementwise.LayerNorm(x, gain, bias, 1e-3).Statistics;
        (double[] dX, double[] product) = ReferenceElementwise.LayerNormBackward(dY, x, gain, statistics);
        double Loss() => Dot(dY, ReferenceElementwise.LayerNorm(x, gain, bias, 1e-3).Y);
        AssertGradient(Loss, x, dX);
        AssertGradient(Loss, gain, ReferenceSinks.ColumnGradients(product, [0, 3], 7)[0]);
        AssertGradient(Loss, bias, ReferenceSinks.ColumnGradients(dY, [0, 3], 7)[0]);
    }

    [Theory]
    [InlineData(2, 2, 0, 0)]
    [InlineData(4, 2, 0, 0)]
    [InlineData(3, 1, 2, 0)]
    [InlineData(4, 2, 3, 0.8f)]
    public void Attention_backward(int heads, int kvHeads, int window, float cap)
    {
        var shape = new AttentionShape(heads, kvHeads, 4, 0.7f, window, cap);
        int[] offsets = [0, 5, 6, 9];
        double[] q = Values(9 * heads * 4), k = Values(9 * kvHeads * 4), v = Values(9 * kvHeads * 4), dO = Values(9 * heads * 4);
        (double[] dQ, double[] dK, double[] dV) = ReferenceAttention.Backward(shape, q, k, v, offsets, dO);
        double Loss() => Dot(dO, ReferenceAttention.Forward(shape, q, k, v, offsets).O);
        AssertGradient(Loss, q, dQ);
        AssertGradient(Loss, k, dK);
        AssertGradient(Loss, v, dV);
    }

    [Fact]
    public void Attention_with_a_cache_is_the_last_rows_of_attention()
    {
        var shape = new AttentionShape(4, 2, 4, 0.5f, 3);
        int[] offsets = [0, 5, 9];
        double[] q = Values(9 * 16), k = Values(9 * 8), v = Values(9 * 8);
        double[] full = ReferenceAttention.Forward(shape, q, k, v, offsets).O;
        double[] newest = [.. q[(3 * 16)..(5 * 16)], .. q[(8 * 16)..]];
        double[] o = ReferenceAttention.WithCache(shape, newest, [0, 2, 3], k, v, [0, 5], [5, 4]);
        Assert.Equal([.. full[(3 * 16)..(5 * 16)], .. full[(8 * 16)..]], o);
    }

    [Fact]
    public void Rope_backward_is_the_inverse_turn()
    {
        double[] x = Values(2 * 12), dY = Values(2 * 12), angles = Values(5 * 3);
        double[] cosine = [.. angles.Select(Math.Cos)], sine = [.. angles.Select(Math.Sin)];
        double[] dX = ReferenceSequence.Rope(dY, [4, 1], cosine, sine, 6, 6, inverse: true);
        AssertGradient(() => Dot(dY, ReferenceSequence.Rope(x, [4, 1], cosine, sine, 6, 6, inverse: false)), x, dX);
    }

    [Fact]
    public void SegmentMean_backward()
    {
        double[] x = Values(6 * 3), dY = Values(2 * 3);
        double[] dX = ReferenceSequence.SegmentMeanBackward(dY, [0, 1, 6], new double[18]);
        AssertGradient(() => Dot(dY, ReferenceSequence.SegmentMean(x, [0, 1, 6], 3)), x, dX);
    }

    [Theory]
    [InlineData(AscentKind.Ascent)]
    [InlineData(AscentKind.Weighted)]
    [InlineData(AscentKind.SatImp)]
    [InlineData(AscentKind.Npo)]
    [InlineData(AscentKind.Hinge)]
    [InlineData(AscentKind.Unlikelihood)]
    [InlineData(AscentKind.Entropy)]
    [InlineData(AscentKind.Belief)]
    [InlineData(AscentKind.Belief, 0.7f)]
    public void Signed_loss_gradient(AscentKind kind, float learningPower = 0)
    {
        Ascent ascent = Ascent.From(kind) with { LearningPower = learningPower };
        foreach (double weight in new[] { 1.7, 0, -0.6 })
        {
            foreach (double favour in new[] { -4.0, 0, 4 })
            {
                double[] logits = Values(9);
                logits[3] += favour;
                double[] gradient = ReferenceLoss.Gradient(logits, 3, weight, ascent, -1.3);
                AssertGradient(() => ReferenceLoss.Objective(logits, 3, weight, ascent, -1.3), logits, gradient);
            }
        }
    }

    [Fact]
    public void Divergence_and_its_gradient()
    {
        // p0 = (1/2, 1/4, 1/4) against p = (1/4, 1/4, 1/2): ½·ln 2 + 0 − ¼·ln 2.
        double[] known = [Math.Log(2), 0, 0], even = [0, 0, Math.Log(2)];
        Assert.Equal(0.25 * Math.Log(2), ReferenceLoss.KlDivergence(even, known), 1e-12);
        double[] logits = Values(9), bases = Values(9);
        foreach (double weight in new[] { 1.7, 0 })
        {
            double[] gradient = ReferenceLoss.KlGradient(logits, bases, weight);
            AssertGradient(() => weight * ReferenceLoss.KlDivergence(logits, bases), logits, gradient);
        }
    }

    [Fact]
    public void Sampling_keeps_the_top_and_inverts_the_cumulative_sum()
    {
        // Probabilities 1/8, 1/2, 1/8, 1/4 at temperature 1; at one half they are squared and normalised.
        double[] logits = [Math.Log(1), Math.Log(4), Math.Log(1), Math.Log(2)];
        Assert.Equal(1, ReferenceLoss.Sample(logits, 0, 0, 1, 0.99).Id);
        Assert.Equal(
            [1, 1, 3, 3, 0, 2], new[] { 0, 0.49, 0.51, 0.74, 0.76, 0.99 }.Select(u => ReferenceLoss.Sample(logits, 1, 0, 1, u).Id));
        Assert.Equal([1, 3], new[] { 0.66, 0.67 }.Select(u => ReferenceLoss.Sample(logits, 1, 2, 1, u).Id));
        Assert.Equal([1, 3, 0], new[] { 0.571, 0.572, 0.99 }.Select(u => ReferenceLoss.Sample(logits, 1, 0, 0.8, u).Id));
        Assert.Equal([1, 3], new[] { 16.0 / 22 - 0.001, 16.0 / 22 + 0.001 }.Select(u => ReferenceLoss.Sample(logits, 0.5, 0, 1, u).Id));
    }

    [Fact]
    public void Squares_of_a_tied_table_complete_with_the_heads_part()
    {
        // (H + G)² summed over sequences, H from the head in full, must equal H² plus what the rows sink adds.
        int[] offsets = [0, 4, 5, 8], headOffsets = [0, 2, 2, 5], rows = [3, 1, 3, 0, 2, 2, 2, 4];
        const int Vocabulary = 6, Columns = 3;
        double[] dY = Values(8 * Columns), dLogits = Values(5 * Vocabulary), x = Values(5 * Columns);
        double[][] head = ReferenceSinks.MatrixGradients(x, dLogits, headOffsets);
        double[][] lookup = ReferenceSinks.RowGradients(rows, dY, offsets, Vocabulary, Columns);
        double[] expected =
            ReferenceSinks.SquareAccumulate([.. head.Zip(lookup, (h, g) => h.Zip(g, (a, b) => a + b).ToArray())], new double[18]);

        double[] packed = ReferenceSinks.HeadRows(dLogits, x, headOffsets, rows, offsets, Vocabulary, Columns);
        double[][] spread = ReferenceSinks.SpreadHead(packed, rows, offsets, Vocabulary, Columns);
        double[] actual = ReferenceSinks.SquareAccumulate(lookup, ReferenceSinks.SquareAccumulate(head, new double[18]), spread);

        Assert.All(expected, (value, i) => Assert.Equal(value, actual[i], 1e-12));
    }

    [Fact]
    public void AdamW_first_step_moves_by_the_learning_rate()
    {
        // m̂/√v̂ is the gradient's sign at step 1, whatever its size.
        double[] master = [2, 2, 2];
        var step = new AdamWStep(0.5f, 0.9f, 0.999f, 0, 0.25f, 1, 3);
        Assert.All(
            ReferenceDense.AdamW(master, [1e-3, -40, 7], new double[3], new double[3], step).Master.Zip([-1.0, 1, -1]),
            pair => Assert.Equal(2 + (0.5 * (pair.Second - (0.25 * 2))), pair.First, 1e-9));
    }

    private static void AssertGradient(Func<double> loss, double[] values, double[] gradient) =>
        Assert.All(Differences.Gradient(loss, values), (expected, i) => Assert.Equal(expected, gradient[i], Tolerance));

    private static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    private double[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => (4 * _random.NextDouble()) - 2)];
}

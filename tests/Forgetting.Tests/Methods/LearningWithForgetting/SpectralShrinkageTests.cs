using Forgetting.Backends.Cpu;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Methods.LearningWithForgetting;

public class SpectralShrinkageTests
{
    private const double Weight = 0.7;

    [Theory]
    [InlineData(5, 9, 1)]
    [InlineData(9, 5, 2)]
    [InlineData(6, 6, 3)]
    [InlineData(1, 4, 1)]
    [InlineData(3, 8, 5)]
    public void Gradient_agrees_with_finite_differences_of_the_singular_values(int n, int width, int count)
    {
        var random = new Random(n * 100 + width);
        double[] features = [.. Enumerable.Range(0, n * width).Select(_ => 2 * random.NextDouble() - 1)];
        var shrinkage = new SpectralShrinkage(Weight, count);
        double[] gradient = shrinkage.Gradient(features, n, width);
        Assert.Equal(Term(features, n, width, count), shrinkage.Value, 1e-10);
        double[] numeric = Numeric(features, x => Term(x, n, width, count));
        Assert.All(gradient.Zip(numeric), pair => Assert.Equal(pair.Second, pair.First, 1e-7));
    }

    [Fact]
    public void Gradient_reaches_the_hidden_states_of_a_ragged_batch()
    {
        int[] offsets = [0, 3, 4, 9, 11];
        const int width = 6, rows = 11;
        var random = new Random(2);
        double[] hidden = [.. Enumerable.Range(0, rows * width).Select(_ => 2 * random.NextDouble() - 1)];
        using var backend = new CpuBackend();
        using var arena = new Arena(backend);
        Tensor x = arena.Take(rows, width), dX = arena.Take(rows, width), starts = arena.Take(1, offsets.Length, DType.Int32);
        backend.Upload<float>(Array.ConvertAll(hidden, v => (float)v), x);
        backend.Upload<int>(offsets, starts);
        backend.Fill(dX, 3); // the loss' gradient, which the term adds to
        new SpectralShrinkage(Weight, 2).AddGradient(backend, arena, x, starts, dX);

        var found = new float[rows * width];
        backend.Download<float>(dX, found);
        double[] numeric = Numeric(hidden, h => Term(Means(h, offsets, width), offsets.Length - 1, width, 2));
        Assert.All(found.Zip(numeric), pair => Assert.Equal(3 + pair.Second, pair.First, 1e-5));
    }

    [Fact]
    public void Eigenvalues_of_a_second_difference_matrix_are_known()
    {
        // 2 on the diagonal, −1 beside it: 2 − 2cos(kπ/(n + 1)).
        const int n = 12;
        double[] matrix = [.. Enumerable.Range(0, n * n).Select(i => Math.Abs(i / n - i % n) switch { 0 => 2.0, 1 => -1.0, _ => 0.0 })];
        (double[] values, double[] vectors) = SymmetricEigen.Decompose(matrix, n);
        Assert.All(
            values.Order().Zip(Enumerable.Range(1, n), (found, k) => (found, expected: 2 - 2 * Math.Cos(k * Math.PI / (n + 1)))),
            pair => Assert.Equal(pair.expected, pair.found, 1e-13));
        AssertEigenpairs(matrix, n, values, vectors);
    }

    [Fact]
    public void Eigenpairs_of_repeated_zero_and_negative_eigenvalues_hold()
    {
        // The matrix of ones has n once and 0 n − 1 times; with its sign turned, −n.
        double[] ones = [.. Enumerable.Repeat(-1.0, 25)];
        (double[] values, double[] vectors) = SymmetricEigen.Decompose(ones, 5);
        Assert.Equal(-5, values.Min(), 1e-13);
        Assert.Equal(4, values.Count(v => Math.Abs(v) < 1e-13));
        AssertEigenpairs(ones, 5, values, vectors);

        (values, vectors) = SymmetricEigen.Decompose([1, 1e-3, 0, 1e-3, 1e8, 5, 0, 5, -3], 3);
        AssertEigenpairs([1, 1e-3, 0, 1e-3, 1e8, 5, 0, 5, -3], 3, values, vectors);
        Assert.Equal([0, 0], SymmetricEigen.Decompose(new double[4], 2).Values);
    }

    private static void AssertEigenpairs(double[] matrix, int n, double[] values, double[] vectors)
    {
        double scale = matrix.Max(Math.Abs);
        for (int a = 0; a < n; a++)
        {
            for (int row = 0; row < n; row++)
            {
                Assert.Equal(values[a] * vectors[a * n + row], Enumerable.Range(0, n)
                    .Sum(c => matrix[row * n + c] * vectors[a * n + c]), 1e-12 * scale);
            }

            for (int b = 0; b < n; b++)
            {
                Assert.Equal(a == b ? 1 : 0, Enumerable.Range(0, n).Sum(c => vectors[a * n + c] * vectors[b * n + c]), 1e-12);
            }
        }
    }

    private static double[] Numeric(double[] x, Func<double[], double> function)
    {
        const double step = 1e-5;
        return [.. Enumerable.Range(0, x.Length).Select(i =>
        {
            double[] up = [.. x], down = [.. x];
            up[i] += step;
            down[i] -= step;
            return (function(up) - function(down)) / (2 * step);
        })];
    }

    private static double[] Means(double[] hidden, int[] offsets, int width) =>
    [
        .. Enumerable.Range(0, offsets.Length - 1).SelectMany(s => Enumerable.Range(0, width).Select(
            c => Enumerable.Range(offsets[s], offsets[s + 1] - offsets[s]).Average(t => hidden[t * width + c]))),
    ];

    private static double Term(double[] x, int n, int width, int count) =>
        Weight * SquaredSingularValues(x, n, width).Order().Take(count).Sum();

    // One-sided Jacobi (Hestenes): turn pairs of rows (or columns, whichever are fewer) until all are
    // orthogonal; their squared lengths are the σ².
    // It works on the matrix itself, not on its Gram matrix, and shares nothing with the code under test.
    private static double[] SquaredSingularValues(double[] x, int n, int width)
    {
        double[][] lines = n <= width
            ? [.. Enumerable.Range(0, n).Select(i => x[(i * width)..((i + 1) * width)])]
            : [.. Enumerable.Range(0, width).Select(c => Enumerable.Range(0, n).Select(i => x[i * width + c]).ToArray())];
        for (int sweep = 0; sweep < 40; sweep++)
        {
            for (int p = 0; p < lines.Length; p++)
            {
                for (int q = p + 1; q < lines.Length; q++)
                {
                    double angle = 0.5 * Math.Atan2(2 * Dot(lines[p], lines[q]), Dot(lines[p], lines[p]) - Dot(lines[q], lines[q]));
                    (double cosine, double sine) = (Math.Cos(angle), Math.Sin(angle));
                    for (int i = 0; i < lines[p].Length; i++)
                    {
                        (lines[p][i], lines[q][i]) = (cosine * lines[p][i] + sine * lines[q][i], cosine * lines[q][i] - sine * lines[p][i]);
                    }
                }
            }
        }

        return [.. lines.Select(line => Dot(line, line))];
    }

    private static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();
}

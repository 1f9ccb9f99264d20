using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>
/// The baseline SRS of arXiv 2505.19715, most likely Tuning Stable Rank Shrinkage (CVPR 2024; what could be read of the papers does not
/// say, and details are this project's choice): adds η times the mean over blocks of ‖f(x + ε) − f(x)‖ / ‖f(x)‖, with normal noise ε on the
/// input of one block and f the output of that block and each above it. The norm is of a document's whole output, the mean also over
/// documents, and cross-entropy is that of the noisy pass.
/// </summary>
/// <param name="weight">η.</param>
/// <param name="deviation">Standard deviation of ε.</param>
/// <param name="first">The block whose input is disturbed, from 0.</param>
/// <param name="blocks">Blocks of the model.</param>
internal sealed class StableRankShrinkage(double weight, double deviation, int first, int blocks) : IPairRegularizer
{
    private ulong _seed;
    private int _documents;
    private float[] _noise = [];

    /// <inheritdoc/>
    public double Value { get; private set; }

    /// <inheritdoc/>
    public IRegularizer Disturbance => new NoiseAlone(this);

    /// <inheritdoc/>
    public void BeginStep(ulong seed, int documents) => (_seed, _documents, Value) = (seed, documents, 0);

    /// <inheritdoc/>
    public void Disturb(IBackend backend, Arena arena, TokenBatch batch, int block, Tensor x)
    {
        if (block != first)
            return;

        int rows = batch.Rows / 2;
        ArenaMark mark = arena.Mark();
        Tensor noise = arena.Take(rows, x.Columns), sum = arena.Take(rows, x.Columns); // [T/2, C] both
        if (_noise.Length < noise.Count)
            _noise = new float[noise.Count];

        for (int row = 0; row < rows; row++)
        {
            Noise(_seed, batch.RowKeys[rows + row], _noise.AsSpan(row * x.Columns, x.Columns));
        }

        backend.Upload<float>(_noise.AsSpan(0, (int)noise.Count), noise);
        backend.Copy(x.RowRange(rows, rows), sum);
        backend.Axpy((float)deviation, noise, sum);
        backend.Copy(sum, x.RowRange(rows, rows));
        arena.Release(mark);
    }

    /// <inheritdoc/>
    public void AddBlockGradient(IBackend backend, Arena arena, TokenBatch batch, int block, Tensor output, Tensor dOutput)
    {
        if (block < first)
            return;

        int rows = batch.Rows / 2, documents = batch.Documents / 2, width = output.Columns;
        ArenaMark mark = arena.Mark();
        Tensor clean = arena.Take(rows, width), moved = arena.Take(rows, width); // [T/2, C]: f(x), f(x + ε) − f(x)
        Tensor gradient = arena.Take(2 * rows, width), sums = arena.Take(1, 2 * documents);
        backend.Copy(output.RowRange(0, rows), clean);
        backend.Copy(output.RowRange(rows, rows), moved);
        backend.Axpy(-1, clean, moved);
        backend.Copy(dOutput, gradient);
        backend.Fill(sums, 0);
        for (int d = 0; d < documents; d++)
        {
            backend.SumOfSquares(Of(batch, moved, d), sums, 2 * d);
            backend.SumOfSquares(Of(batch, clean, d), sums, (2 * d) + 1);
        }

        var squares = new float[2 * documents];
        backend.Download(sums, squares.AsSpan());
        double share = weight / ((double)(blocks - first) * _documents);
        for (int d = 0; d < documents; d++)
        {
            double change = Math.Sqrt(squares[2 * d]), size = Math.Sqrt(squares[(2 * d) + 1]);
            if (change == 0 || size == 0)
                continue;

            Value += share * change / size;
            float toward = (float)(share / (change * size));
            Tensor difference = Of(batch, moved, d), dClean = Of(batch, gradient, d);
            backend.Axpy(toward, difference, Of(batch, gradient, documents + d));
            backend.Axpy(-toward, difference, dClean);
            backend.Axpy((float)(-share * change / (size * size * size)), Of(batch, clean, d), dClean);
        }

        backend.Copy(gradient, dOutput);
        arena.Release(mark);
    }

    /// <summary>
    /// Standard normal numbers of a row, a function of the step's seed, the row's place in the step and the column alone.
    /// </summary>
    internal static void Noise(ulong seed, int rowKey, Span<float> row)
    {
        Span<float> four = stackalloc float[4];
        for (int column = 0; column < row.Length; column += 4)
        {
            (uint x, uint y, uint z, uint w) = Philox.Words(seed, (uint)rowKey, (uint)column / 4, 0, RandomDomain.Noise);
            (four[0], four[1]) = Initializer.Gaussians(x, y);
            (four[2], four[3]) = Initializer.Gaussians(z, w);
            four[..Math.Min(4, row.Length - column)].CopyTo(row[column..]);
        }
    }

    // A document's rows of a tensor that begins with the batch's first.
    private static Tensor Of(TokenBatch batch, Tensor rows, int document) =>
        rows.RowRange(batch.Offsets[document], batch.Offsets[document + 1] - batch.Offsets[document]);

    /// <summary>The noise without the term.</summary>
    private sealed class NoiseAlone(StableRankShrinkage whole) : IRegularizer
    {
        public void Disturb(IBackend backend, Arena arena, TokenBatch batch, int block, Tensor x) =>
            whole.Disturb(backend, arena, batch, block, x);
    }
}

using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// The trainable low-rank part of a weight (arXiv 2106.09685): s·B·A beside W [out, in] of a linear layer, s·A·Bᵀ beside a table [V, C]
/// whose rows are looked up, where PEFT's <c>lora_embedding_A</c> [r, V] is held as [V, r].
/// </summary>
/// <param name="weight">The frozen weight.</param>
/// <param name="a">[r, in]; of a table [V, r].</param>
/// <param name="b">[out, r]; of a table [C, r].</param>
/// <param name="magnitude">[1, out] of a weight that is m ∘ V / ‖V‖ with V = W + s·B·A (<see cref="LoraConfig.Dora"/>), else null.</param>
/// <param name="scale">s.</param>
/// <param name="dropout">Rate on the input of A; a table's has none, as in PEFT.</param>
/// <param name="stream">Number of the layer's place in the model, for its dropout mask.</param>
internal sealed class LoraAdapter(
    Parameter weight, Parameter a, Parameter b, Parameter? magnitude, float scale, float dropout, int stream) : IDisposable
{
    private const int PreparedRows = 1024;
    private const float TinyEpsilon = 1e-30f;

    private DeviceBuffer? _squares; // Float32 [1, out] of the weight's rows

    public Parameter Weight => weight;

    public Parameter A => a;

    public Parameter B => b;

    /// <summary>m, or null where the update is added and no more.</summary>
    public Parameter? Magnitude => magnitude;

    public float Scale => scale;

    /// <summary>Float32 [1, out] sum of squares of each row of the weight.</summary>
    private Tensor Squares => _squares!.AsTensor(new Shape(weight.Shape.Rows), DType.Float32);

    /// <summary>r.</summary>
    public int Rank => b.Shape.Columns;

    /// <summary>Whether the update is part of the weight, so that the low-rank part is not computed.</summary>
    public bool IsMerged { get; private set; }

    /// <summary>The mask on the input of A, where there is dropout; a function of place, so that the backward makes it again.</summary>
    public DropoutMask? Mask(Pass pass) => dropout > 0 && pass.Dropout ? pass.Mask(dropout, stream) : null;

    /// <summary>
    /// Takes the lengths of the weight's rows, once, and sets a magnitude that is 0 to its row's: V begins as W, and a file has none of 0.
    /// </summary>
    public void Prepare(IBackend backend)
    {
        if (magnitude is null || _squares is not null)
            return;

        int outputs = weight.Shape.Rows, inputs = weight.Shape.Columns, rows = Math.Min(outputs, PreparedRows);
        using DeviceBuffer whole = backend.Allocate(weight.Shape.Count * sizeof(float));
        using DeviceBuffer normed = backend.Allocate((long)rows * inputs * sizeof(float));
        using DeviceBuffer ones = backend.Allocate((long)inputs * sizeof(float)), inverse = backend.Allocate((long)outputs * sizeof(float));
        Tensor values = whole.AsTensor(weight.Shape, DType.Float32), gain = ones.AsTensor(new Shape(inputs), DType.Float32);
        Tensor rstd = inverse.AsTensor(new Shape(outputs, 1), DType.Float32);
        backend.Copy(weight.Value, values);
        backend.Fill(gain, 1);
        for (int first = 0; first < outputs; first += rows)
        {
            int count = Math.Min(rows, outputs - first);
            Tensor scratch = normed.AsTensor(new Shape(count, inputs), DType.Float32);
            backend.RmsNorm(values.RowRange(first, count), default, gain, 0, TinyEpsilon, scratch, rstd.RowRange(first, count));
        }

        // rstd is 1 / √(mean + ε).
        var numbers = new float[outputs];
        backend.Download<float>(rstd, numbers);
        var lengths = new float[outputs];
        for (int i = 0; i < outputs; i++)
        {
            numbers[i] = (float)Math.Max(0, inputs * ((1 / ((double)numbers[i] * numbers[i])) - TinyEpsilon));
            lengths[i] = MathF.Sqrt(numbers[i]);
        }

        _squares = backend.Allocate((long)outputs * sizeof(float));
        backend.Upload<float>(numbers, Squares);
        var set = new float[outputs];
        using (DeviceBuffer exact = backend.Allocate((long)outputs * sizeof(float)))
        {
            backend.Copy(magnitude.Value, exact.AsTensor(new Shape(outputs), DType.Float32));
            backend.Download<float>(exact.AsTensor(new Shape(outputs), DType.Float32), set);
        }

        if (set.All(value => value == 0))
            magnitude.SetRows(backend, 0, lengths);
    }

    /// <summary>What the columns of x·Vᵀ are multiplied with: 1 / ‖V‖ and m / ‖V‖.</summary>
    /// <param name="factors">Float32 [2, out], overwritten.</param>
    /// <param name="scratch">Float32 [r + 1, out], overwritten.</param>
    /// <param name="gram">Float32 [r, r], overwritten.</param>
    public void GetFactors(IBackend backend, Tensor factors, Tensor scratch, Tensor gram)
    {
        Tensor cross = scratch.RowRange(0, Rank), m = magnitude!.Master;
        if (m.IsEmpty)
        {
            m = scratch.RowRange(Rank, 1);
            backend.Copy(magnitude.Value, m);
        }

        backend.Gemm(a.Value, false, weight.Value, true, cross);
        backend.Gemm(a.Value, false, a.Value, true, gram);
        backend.MagnitudeFactors(Squares, m, b.Value, cross, gram, scale, factors);
    }

    /// <summary>
    /// Adds the update to the weight, rounded once to storage type; the low-rank part is not computed from then on. A quantised weight
    /// stays as it is, and the update beside it.
    /// </summary>
    public void Merge(IBackend backend)
    {
        if (IsMerged || weight.Value.DType == DType.NormalFloat4)
            return;

        if (weight.Value.DType == DType.Float32)
        {
            AddUpdate(backend, weight.Value, 1);
        }
        else
        {
            using DeviceBuffer buffer = backend.Allocate(weight.Shape.Count * sizeof(float));
            Tensor sum = buffer.AsTensor(weight.Shape, DType.Float32);
            backend.Copy(weight.Value, sum);
            AddUpdate(backend, sum, 1);
            backend.Copy(sum, weight.Value);
        }

        IsMerged = true;
    }

    /// <summary>Adds <paramref name="factor"/> times the update to <paramref name="sum"/>.</summary>
    /// <param name="sum">Float32, the weight's shape.</param>
    public void AddUpdate(IBackend backend, Tensor sum, float factor)
    {
        if (magnitude is not null)
        {
            AddTurnedUpdate(backend, sum, factor);
        }
        else if (weight.Kind == ParameterKind.Embedding)
        {
            backend.Gemm(a.Value, false, b.Value, true, sum, factor * scale, beta: 1);
        }
        else
        {
            backend.Gemm(b.Value, false, a.Value, false, sum, factor * scale, beta: 1);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _squares?.Dispose();

    // Adds m ∘ V / ‖V‖ − W, on the host since it is seldom wanted.
    private void AddTurnedUpdate(IBackend backend, Tensor sum, float factor)
    {
        Prepare(backend);
        int outputs = weight.Shape.Rows, inputs = weight.Shape.Columns;
        Shape[] shapes = [new(2, outputs), new(Rank + 1, outputs), new(Rank, Rank), weight.Shape];
        DeviceBuffer[] buffers = [.. shapes.Select(shape => backend.Allocate(shape.Count * sizeof(float)))];
        try
        {
            Tensor[] tensors = [.. buffers.Zip(shapes, (buffer, shape) => buffer.AsTensor(shape, DType.Float32))];
            (Tensor factors, Tensor update) = (tensors[0], tensors[3]);
            GetFactors(backend, factors, tensors[1], tensors[2]);
            float[] before = new float[weight.Shape.Count], after = new float[before.Length], scales = new float[factors.Count];
            backend.Copy(weight.Value, update);
            backend.Download<float>(update, before);
            backend.Gemm(b.Value, false, a.Value, false, update, scale, beta: 1);
            backend.Download<float>(update, after);
            backend.Download<float>(factors, scales);
            for (int i = 0; i < after.Length; i++)
            {
                after[i] = (scales[outputs + (i / inputs)] * after[i]) - before[i];
            }

            backend.Upload<float>(after, update);
            backend.Axpy(factor, update, sum);
        }
        finally
        {
            Array.ForEach(buffers, buffer => buffer.Dispose());
        }
    }
}

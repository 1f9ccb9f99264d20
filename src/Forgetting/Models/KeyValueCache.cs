using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Turned keys and values of the tokens seen so far, one matrix of each per block. A sequence owns a run of rows as long as it may become;
/// a sequence that ends leaves its rows unused and costs nothing more.
/// </summary>
internal sealed class KeyValueCache : IDisposable
{
    private readonly DeviceBuffer[] _keys;
    private readonly DeviceBuffer[] _values;
    private readonly Shape _shape; // [R, G·D]
    private readonly DType _dtype;
    private (int[] Rows, int[] Starts, int[] Lengths) _placement = ([], [], []);
    private int[] _known = [];
    private Tensor _rows; // Int32 [1, T] cache row of each new token

    /// <summary>Room for <paramref name="rows"/> tokens.</summary>
    public KeyValueCache(ModelConfig config, IBackend backend, int rows)
    {
        _shape = new Shape(rows, config.KeyValueHeads * config.HeadSize);
        _dtype = backend.StorageType;
        _keys = new DeviceBuffer[config.Layers];
        _values = new DeviceBuffer[config.Layers];
        for (int layer = 0; layer < config.Layers; layer++)
        {
            _keys[layer] = backend.Allocate(_shape.Count * _dtype.Size());
            _values[layer] = backend.Allocate(_shape.Count * _dtype.Size());
        }
    }

    /// <summary>R.</summary>
    public int Rows => _shape.Rows;

    /// <summary>Int32 [1, n]: first row of each sequence of the pass.</summary>
    public Tensor Starts { get; private set; }

    /// <summary>Int32 [1, n]: tokens of each sequence, those of the pass included.</summary>
    public Tensor Lengths { get; private set; }

    /// <summary>[R, G·D] of one block.</summary>
    public Tensor Keys(int layer) => _keys[layer].AsTensor(_shape, _dtype);

    /// <summary>[R, G·D] of one block.</summary>
    public Tensor Values(int layer) => _values[layer].AsTensor(_shape, _dtype);

    /// <summary>Says where the tokens of the next pass belong.</summary>
    /// <param name="rows">[T] cache row of each new token.</param>
    /// <param name="starts">[n].</param>
    /// <param name="lengths">[n].</param>
    /// <param name="known">[n] tokens of each sequence that are known, those not read yet included; where null, those read.</param>
    public void Place(int[] rows, int[] starts, int[] lengths, int[]? known = null)
    {
        _placement = (rows, starts, lengths);
        _known = known ?? lengths;
    }

    /// <summary>Tokens of a sequence of the pass that are known, those not read yet included.</summary>
    public int Known(int sequence) => _known[sequence];

    /// <summary>Uploads what <see cref="Place"/> was told, as a pass begins.</summary>
    public void Begin(Pass pass)
    {
        (_rows, Starts, Lengths) = pass.Upload(_placement.Rows, _placement.Starts, _placement.Lengths);
    }

    /// <summary>Writes the keys and values [T, G·D] of the pass' tokens to their rows.</summary>
    public void Append(Pass pass, int layer, ColumnView keys, ColumnView values)
    {
        pass.Backend.ScatterRows(keys, _rows, Keys(layer));
        pass.Backend.ScatterRows(values, _rows, Values(layer));
    }

    /// <summary>Copies rows of a cache of the same model, which may be this one where the rows do not overlap.</summary>
    public void CopyFrom(IBackend backend, KeyValueCache other, int from, int to, int rows)
    {
        for (int layer = 0; layer < _keys.Length; layer++)
        {
            backend.Copy(other.Keys(layer).RowRange(from, rows), Keys(layer).RowRange(to, rows));
            backend.Copy(other.Values(layer).RowRange(from, rows), Values(layer).RowRange(to, rows));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _keys.Concat(_values))
        {
            buffer.Dispose();
        }
    }
}

using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// What the layers share during one pass over a batch: where to compute, where to put activations, and the batch's index vectors.
/// </summary>
internal sealed class Pass(IBackend backend, Arena arena, RotaryTable? rotary)
{
    private Tensor _dropoutSeed; // Int32 [1, 2]
    private Tensor _rowKeys; // Int32 [1, T]

    public IBackend Backend => backend;

    /// <summary>Activations. What a layer takes in its forward it finds again in its backward; scratch is released at once.</summary>
    public Arena Arena => arena;

    /// <summary>Angles of rotary positions; null where positions are learned.</summary>
    public RotaryTable? Rotary => rotary;

    /// <summary>T.</summary>
    public int Rows { get; private set; }

    /// <summary>Int32 [1, T].</summary>
    public Tensor Ids { get; private set; }

    /// <summary>Int32 [1, T].</summary>
    public Tensor Positions { get; private set; }

    /// <summary>Int32 [1, n + 1].</summary>
    public Tensor Offsets { get; private set; }

    /// <summary>Whether dropout is on.</summary>
    public bool Dropout => !_rowKeys.IsEmpty;

    /// <summary>Keys and values of earlier tokens while generating, else null.</summary>
    public KeyValueCache? Cache { get; private set; }

    /// <summary>Starts a pass: gives back all activations of the last one and uploads the index vectors.</summary>
    /// <param name="rowKeys">[T], read only with <paramref name="dropoutSeed"/>.</param>
    public void Begin(
        ReadOnlySpan<int> ids, ReadOnlySpan<int> positions, ReadOnlySpan<int> offsets,
        ReadOnlySpan<int> rowKeys = default, ulong? dropoutSeed = null, KeyValueCache? cache = null)
    {
        arena.Reset();
        Rows = ids.Length;
        Ids = Upload(ids);
        Positions = Upload(positions);
        Offsets = Upload(offsets);
        _dropoutSeed = dropoutSeed is { } seed ? Upload([(int)seed, (int)(seed >> 32)]) : default;
        _rowKeys = dropoutSeed is null ? default : Upload(rowKeys);
        Cache = cache;
        cache?.Begin(this);
        if (rotary is not null)
        {
            int last = 0;
            foreach (int position in positions)
            {
                last = Math.Max(last, position);
            }

            rotary.Extend(last + 1);
        }
    }

    /// <summary>The mask of the layer numbered <paramref name="stream"/>, where dropout is on.</summary>
    public DropoutMask Mask(float rate, int stream) => new(rate, stream, _dropoutSeed, _rowKeys);

    /// <summary>[T, <paramref name="columns"/>] in storage type.</summary>
    public Tensor Take(int columns) => arena.Take(Rows, columns, backend.StorageType);

    /// <summary>A vector of the host's integers.</summary>
    public Tensor Upload(ReadOnlySpan<int> values)
    {
        Tensor tensor = arena.Take(new Shape(values.Length), DType.Int32);
        backend.Upload(values, tensor);
        return tensor;
    }

    /// <summary>A vector of the host's numbers.</summary>
    public Tensor Upload(ReadOnlySpan<float> values)
    {
        Tensor tensor = arena.Take(new Shape(values.Length));
        backend.Upload(values, tensor);
        return tensor;
    }
}

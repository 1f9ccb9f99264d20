using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Copies of weights in the layout of the products' provider. A copy is made by the first product after its weight was written and
/// serves until the next write. Writes are seen because every operation announces its outputs (<see cref="Written"/>) and every freed
/// block is announced (<see cref="Freed"/>).
/// </summary>
/// <remarks>
/// A weight needs one copy for x·Wᵀ and one for dY·W. Copies count as allocated memory of the backend. When they would pass
/// <paramref name="mostBytes"/> or the memory is short, products pack for themselves, with the same bits in the result.
/// </remarks>
internal sealed unsafe class PackedWeights(IMemory memory, IMatMul products, long mostBytes) : IDisposable
{
    private readonly List<Weight> _weights = []; // by address
    private bool _short;

    /// <summary>Bytes of all copies.</summary>
    public long Bytes { get; private set; }

    /// <summary>A tensor that many products will read as B between two writes. Declaring it again changes nothing.</summary>
    public void Declare(Tensor weight)
    {
        int index = Find(weight.Pointer);
        if (index < 0)
        {
            _weights.Insert(~index, new Weight(weight.Pointer, weight.Bytes));
        }
        else if (_weights[index].Bytes != weight.Bytes)
        {
            Release(_weights[index]);
            _weights[index] = new Weight(weight.Pointer, weight.Bytes);
        }
    }

    /// <summary>The product's B packed, or null where B is no weight or is better left as it is.</summary>
    public void* Packed(in Product product)
    {
        int index = product.TransposeA ? -1 : Find((nint)product.B);
        if (index < 0 || _weights[index].Bytes != sizeof(float) * (long)product.N * product.K)
            return null;

        long bytes = products.PackedBytes(product);
        if (bytes == 0)
            return null;

        ref Copy copy = ref _weights[index].Copies[product.TransposeB ? 0 : 1];
        if (copy.Memory?.Bytes != bytes || copy.Rows != product.N)
        {
            Release(ref copy);
            copy = new Copy(Allocate(bytes), product.N, Fresh: false);
        }

        if (copy.Memory is null)
            return null;

        if (!copy.Fresh)
        {
            products.Pack(product, (void*)copy.Memory.Pointer);
            copy = copy with { Fresh = true };
        }

        return (void*)copy.Memory.Pointer;
    }

    /// <summary>Says that memory is about to be written.</summary>
    public void Written(nint start, long bytes)
    {
        for (int i = First(start, bytes); i < _weights.Count && _weights[i].Start < start + (nint)bytes; i++)
        {
            foreach (ref Copy copy in _weights[i].Copies.AsSpan())
            {
                copy = copy with { Fresh = false };
            }
        }
    }

    /// <summary>Says that a block of memory goes: what comes to lie there later is no weight until declared.</summary>
    public void Freed(nint start, long bytes)
    {
        int first = First(start, bytes);
        while (first < _weights.Count && _weights[first].Start < start + (nint)bytes)
        {
            Weight weight = _weights[first];
            _weights.RemoveAt(first);
            Release(weight);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Weight weight in _weights)
        {
            Release(weight);
        }

        _weights.Clear();
    }

    // Index of the weight that begins at an address, or the complement of where it would stand.
    private int Find(nint start)
    {
        int low = 0;
        int high = _weights.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            nint found = _weights[middle].Start;
            if (found == start)
                return middle;

            (low, high) = found < start ? (middle + 1, high) : (low, middle - 1);
        }

        return ~low;
    }

    // The first weight that ends behind start; for an empty range none.
    private int First(nint start, long bytes)
    {
        if (bytes == 0)
            return _weights.Count;

        int index = Find(start);
        index = index < 0 ? ~index : index;
        return index > 0 && _weights[index - 1].Start + (nint)_weights[index - 1].Bytes > start ? index - 1 : index;
    }

    private DeviceBuffer? Allocate(long bytes)
    {
        if (_short || Bytes + bytes > mostBytes)
            return null;

        try
        {
            DeviceBuffer buffer = memory.Allocate(bytes);
            Bytes += bytes;
            return buffer;
        }
        catch (DeviceMemoryException)
        {
            _short = true;
            return null;
        }
    }

    private void Release(Weight weight)
    {
        foreach (ref Copy copy in weight.Copies.AsSpan())
        {
            Release(ref copy);
        }
    }

    private void Release(ref Copy copy)
    {
        Bytes -= copy.Memory?.Bytes ?? 0;
        copy.Memory?.Dispose();
        copy = default;
    }

    /// <param name="Rows">N of the products it serves.</param>
    private readonly record struct Copy(DeviceBuffer? Memory, int Rows, bool Fresh);

    private sealed record Weight(nint Start, long Bytes)
    {
        /// <summary>For products with the weight transposed, and as it is.</summary>
        public Copy[] Copies { get; } = new Copy[2];
    }
}

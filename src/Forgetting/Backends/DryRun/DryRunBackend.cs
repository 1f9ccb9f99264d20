using Forgetting.Backends.Cpu;
using Forgetting.Backends.Cuda;
using Forgetting.Tensors;

namespace Forgetting.Backends.DryRun;

/// <summary>
/// A backend without memory: it hands out addresses, counts bytes, and computes nothing; what is read from it is zero. Whatever runs on it
/// asks for just the memory that it would ask for on the device, which is how memory is predicted.
/// </summary>
internal sealed unsafe partial class DryRunBackend : IBackend
{
    private const long Alignment = 256;

    private readonly PackedWeights? _weights;
    private long _next = Alignment; // 0 means "no tensor"
    private long _scratchBytes;

    /// <summary>Stands for a device that keeps no copies of weights.</summary>
    /// <param name="name">The device.</param>
    /// <param name="storageType">Element type of activations and weights there.</param>
    public DryRunBackend(string name, DType storageType) => (Name, StorageType) = (name, storageType);

    /// <summary>Stands for the CPU, which keeps copies of weights in the layout of its products.</summary>
    /// <param name="products">What would compute them; not disposed with the backend.</param>
    public DryRunBackend(IMatMul products)
        : this("cpu", DType.Float32) => _weights = new PackedWeights(this, new DryRunMatMul(products), CpuBackend.MaxPackedBytes);

    public string Name { get; }

    public DType StorageType { get; }

    public MemoryUse Use { get; } = new();

    public long TotalBytes => long.MaxValue;

    public DeviceBuffer Allocate(long bytes)
    {
        var buffer = new DeviceBuffer(this, (nint)_next, bytes);
        _next += Math.Max(bytes + Alignment - 1, Alignment) / Alignment * Alignment;
        Use.Add(bytes);
        return buffer;
    }

    public void Free(DeviceBuffer buffer)
    {
        _weights?.Freed(buffer.Pointer, buffer.Bytes);
        Use.Remove(buffer.Bytes);
    }

    public void DeclareWeight(Tensor weight) => _weights?.Declare(weight);

    public void Gemm(ColumnView a, bool transposeA, ColumnView b, bool transposeB, ColumnView c, float alpha = 1, float beta = 0)
    {
        if (b.DType == DType.NormalFloat4)
        {
            Scratch(CudaBackend.ScratchBytes(CudaBackend.SlabBytes(b.Whole, transposeB, StorageType)));
            return;
        }

        if (b.DType != StorageType)
            return; // the CPU has what it widens beside what it counts

        int inner = transposeA ? a.Rows : a.Columns;
        _weights?.Packed(new Product(
            transposeA, transposeB, c.Rows, c.Columns, inner, alpha, (float*)a.Pointer, a.Stride, (float*)b.Pointer, b.Stride, beta,
            (float*)c.Pointer, c.Stride));
    }

    // A card keeps the largest that was asked for; the CPU has such memory beside what it counts.
    private void Scratch(long bytes)
    {
        if (_weights is null && bytes > _scratchBytes)
        {
            Use.Add(bytes - _scratchBytes);
            _scratchBytes = bytes;
        }
    }

    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
        where T : unmanaged
    {
    }

    public void Download<T>(Tensor source, Span<T> destination)
        where T : unmanaged => destination.Clear();

    public void Copy(Tensor source, Tensor destination)
    {
    }

    public void Fill(Tensor destination, float value)
    {
    }

    public bool Records => _weights is null; // as the CPU does not

    public void Repeat<TKey, TState>(TKey key, TState state, Action<TState> operations)
        where TKey : notnull => operations(state);

    public void Synchronize()
    {
    }

    public void Dispose() => _weights?.Dispose();

    /// <summary>Products that say how much memory packed weights take, and pack nothing.</summary>
    private sealed class DryRunMatMul(IMatMul inner) : IMatMul
    {
        public string Name => inner.Name;

        public string Description => inner.Description;

        public DType OperandType => inner.OperandType;

        public void Gemm(in Product product, void* packedB = null)
        {
        }

        public long PackedBytes(in Product product) => inner.PackedBytes(product);

        public void Pack(in Product product, void* packedB)
        {
        }

        public void Dispose()
        {
        }
    }
}

using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// The operations in host memory: Float32 throughout, vectorised, on a fixed set of threads. Results do not depend on the number of
/// threads. Operations return when they are done. Where products work on bfloat16, operands are rounded for each
/// product and all storage stays Float32.
/// </summary>
/// <remarks>One file per group of operations. An instance serves one calling thread at a time.</remarks>
internal sealed unsafe partial class CpuBackend : IBackend
{
    // Copies of weights in the products' layout take at most this share of the machine's memory.
    private const int PackedShare = 4;

    private readonly WorkerPool _pool;
    private readonly IMatMul _products;
    private readonly PackedWeights _weights;

    /// <summary>A backend with managed products.</summary>
    /// <param name="threads">Number of threads that work, the caller's included, at least 1; null for one per processor.</param>
    /// <param name="operandType">Type to which the operands of products are rounded, to nearest even; sums and
    /// everything else are Float32.</param>
    public CpuBackend(int? threads = null, DType operandType = DType.Float32)
        : this(new WorkerPool(threads ?? Environment.ProcessorCount), pool => new ManagedMatMul(pool, operandType))
    {
    }

    /// <summary>A backend on the given threads with a provider of products that works on them; it owns both.</summary>
    /// <param name="packedBytes">Most bytes of copies of weights in the products' layout; null for a
    /// quarter of the machine's memory.</param>
    internal CpuBackend(WorkerPool pool, Func<WorkerPool, IMatMul> products, long? packedBytes = null)
    {
        HostHeap.ReturnLargeBlocks();
        _pool = pool;
        _products = products(pool);
        _weights = new PackedWeights(this, _products, packedBytes ?? MaxPackedBytes);
    }

    /// <summary>Most bytes of copies of weights on this machine.</summary>
    internal static long MaxPackedBytes => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / PackedShare;

    /// <inheritdoc/>
    public string Name => "cpu";

    /// <inheritdoc/>
    public DType StorageType => DType.Float32;

    /// <summary>Number of threads that work, the caller's included.</summary>
    public int Threads => _pool.Threads;

    /// <summary>What computes dense products, as <c>--products</c> calls it: managed or onednn.</summary>
    public string Products => _products.Name;

    /// <summary>What computes dense products, and with what of this machine.</summary>
    public string ProductsDescription => _products.Description;

    /// <summary>Type to which the operands of products are rounded before they are multiplied.</summary>
    public DType OperandType => _products.OperandType;

    /// <summary>Bytes of the copies of weights that are kept in the products' layout; part of <see cref="Use"/>.</summary>
    public long PackedWeightBytes => _weights.Bytes;

    /// <inheritdoc/>
    public bool Records => false;

    /// <inheritdoc/>
    public void Repeat<TKey, TState>(TKey key, TState state, Action<TState> operations)
        where TKey : notnull => operations(state);

    /// <inheritdoc/>
    public void Synchronize()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _weights.Dispose();
        _pool.Dispose();
        _products.Dispose();
        _workspace.Dispose();
        _packing.Dispose();
        _slab.Dispose();
    }

    private static float* Floats(ColumnView view) => (float*)view.Pointer;

    /// <summary>The elements of what is about to be written: what is kept of it in another layout is stale from now on.</summary>
    private float* Output(ColumnView view)
    {
        _weights.Written(view.Pointer, view.Span);
        return (float*)view.Pointer;
    }

    private bool RoundsOperands => _products.OperandType == DType.BFloat16;

    private static int* Ints(Tensor tensor) => (int*)tensor.Pointer;

    private static int Blocks(long count, int size) => checked((int)((count + size - 1) / size));
}

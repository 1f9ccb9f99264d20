using System.Runtime.CompilerServices;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// The operations in host memory: Float32 throughout, vectorised, on a fixed set of threads. Results do not depend on the number of
/// threads. Operations return when they are done.
/// </summary>
/// <remarks>One file per group of operations. An instance serves one calling thread at a time.</remarks>
public sealed unsafe partial class CpuBackend : IBackend
{
    private readonly WorkerPool _pool;
    private readonly IMatrixProducts _products;

    /// <summary>A backend that works with <paramref name="threads"/> threads, the caller's included.</summary>
    /// <param name="threads">Number of threads, at least 1; null for one per processor.</param>
    public CpuBackend(int? threads = null)
        : this(new WorkerPool(threads ?? Environment.ProcessorCount))
    {
    }

    /// <summary>A backend on the given threads with the given provider of products; it owns both.</summary>
    internal CpuBackend(WorkerPool pool, IMatrixProducts products)
    {
        _pool = pool;
        _products = products;
    }

    private CpuBackend(WorkerPool pool)
        : this(pool, new ManagedProducts(pool))
    {
    }

    /// <inheritdoc/>
    public string Name => "cpu";

    /// <inheritdoc/>
    public DType StorageType => DType.Float32;

    /// <summary>Number of threads that work, the caller's included.</summary>
    public int Threads => _pool.Threads;

    /// <summary>What computes dense products.</summary>
    public string Products => _products.Name;

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
        _pool.Dispose();
        _products.Dispose();
        _workspace.Dispose();
        _packing.Dispose();
    }

    private static float* Floats(Tensor tensor) => (float*)tensor.Pointer;

    private static int* Ints(Tensor tensor) => (int*)tensor.Pointer;

    private static int Blocks(long count, int size) => checked((int)((count + size - 1) / size));

    private static void Require(bool condition, [CallerArgumentExpression(nameof(condition))] string expression = "")
    {
        if (!condition)
        {
            Throw(expression);
        }

        static void Throw(string expression) => throw new ArgumentException($"shapes or types do not fit: expected {expression}");
    }
}

using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

/// <summary>
/// The operations on an NVIDIA card, or on the emulation of one: hand-written kernels (<c>kernels/*.cu</c>) and cuBLAS for dense products.
/// Storage is Float32 or BFloat16, sums are Float32. Everything is launched on one stream and nothing waits for the card but
/// <see cref="Download{T}"/> and <see cref="Synchronize"/>.
/// </summary>
/// <remarks>
/// One file per group of operations; each launch mirrors the comment at the top of the kernel's source. Kernels are written for each
/// element type and named after it; the type is that of the tensors, not of the backend, so that Float32 tensors work beside BFloat16 ones.
/// An instance serves one calling thread at a time.
/// </remarks>
internal sealed unsafe partial class CudaBackend : IBackend
{
    private const int BlockThreads = 256;

    private readonly CudaDevice _device;
    private readonly StagingRing _staging;
    private readonly GraphCache _graphs;

    /// <summary>Takes over a device; disposes of it where it fails.</summary>
    internal CudaBackend(CudaDevice device, DType storageType)
    {
        _device = device;
        StorageType = storageType;
        try
        {
            if (storageType is not (DType.Float32 or DType.BFloat16))
            {
                throw new ArgumentException(
                    $"storage type {storageType}, expected {DType.Float32} or {DType.BFloat16}", nameof(storageType));
            }

            _staging = new StagingRing(device);
            _graphs = new GraphCache(device);
        }
        catch
        {
            device.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public string Name => _device.Chosen.ToString();

    /// <summary>Whether the kernels run on this machine's processor.</summary>
    public bool IsEmulated => _device.Chosen.IsEmulated;

    /// <inheritdoc/>
    public DType StorageType { get; }

    /// <summary>Name of the card.</summary>
    public string DeviceName => _device.Name;

    internal CudaDevice Device => _device;

    internal GraphCache Graphs => _graphs;

    /// <inheritdoc/>
    public bool Records => true;

    /// <inheritdoc/>
    public void Repeat<TKey, TState>(TKey key, TState state, Action<TState> operations)
        where TKey : notnull => _graphs.Run(key, state, operations);

    /// <inheritdoc/>
    public void Synchronize() => _device.Synchronize();

    /// <inheritdoc/>
    public void Dispose()
    {
        _graphs.Dispose();
        _staging.Dispose();
        ReleaseScratch();
        _device.Dispose();
    }

    /// <summary>Elements of <paramref name="type"/> in a 16-byte access.</summary>
    private static int Wide(DType type) => 16 / type.Size();

    private static int Blocks(long count, int size) => checked((int)((count + size - 1) / size));

    private static string Suffix(DType type) => type switch
    {
        DType.Float32 => "f32",
        DType.BFloat16 => "bf16",
        _ => throw new ArgumentException($"no kernels for {type} elements"),
    };

    /// <summary>
    /// One thread for <paramref name="perThread"/> elements of a flat array; the kernels stride over what a capped grid leaves.
    /// </summary>
    private void LaunchFlat(string kernel, string suffix, long count, int perThread, params ReadOnlySpan<KernelArgument> arguments)
    {
        if (count > 0)
        {
            long blocks = (count + (BlockThreads * perThread) - 1) / (BlockThreads * perThread);
            _device.Launch(kernel, suffix, new((int)Math.Min(blocks, 8L * _device.Multiprocessors)), BlockThreads, 0, arguments);
        }
    }

    /// <summary>One block a row, a thread for each of the row's <paramref name="accesses"/>, between a warp and 512.</summary>
    private void LaunchRows(string kernel, string suffix, int rows, int accesses, params ReadOnlySpan<KernelArgument> arguments)
    {
        if (rows > 0)
        {
            int threads = Math.Clamp(Blocks(accesses, 32) * 32, 32, 512);
            _device.Launch(kernel, suffix, new(rows), threads, 0, arguments);
        }
    }
}

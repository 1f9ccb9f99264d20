using System.Runtime.InteropServices;
using Forgetting.Core;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

/// <summary>Blocks of a launch.</summary>
internal readonly record struct Grid(int X, int Y = 1, int Z = 1);

/// <summary>
/// A card with the kernels loaded: memory, one stream, launches and cuBLAS. With <see cref="StagingRing"/> and <c>Selection.CardSurvey</c>
/// the only place that knows the bindings.
/// </summary>
internal sealed unsafe class CudaDevice : IDisposable
{
    private const int MaxArguments = 32;
    private const int SharedBytesWithoutAsking = 48 << 10;

    [ThreadStatic]
    private static CudaDevice? s_current;

    private readonly PrimaryContext _context;
    private readonly CudaStream _stream = null!; // until the constructor ends
    private readonly CUmodule _module;
    private readonly CudaBlas _blas;
    private readonly nint _blasWorkspace;
    private readonly Dictionary<(string Kernel, string Suffix), CudaKernel> _kernels = [];

    // A launch copies its arguments before it returns, so one block of them and one list of their addresses serve all launches.
    private readonly long* _arguments;
    private readonly nint[] _addresses = new nint[MaxArguments];

    /// <summary>Takes over a context with the kernels loaded and cuBLAS created in it; disposes of them where it fails.</summary>
    /// <param name="context">Context of the card.</param>
    /// <param name="module">The kernels.</param>
    /// <param name="blas">cuBLAS.</param>
    /// <param name="chosen">What the card is called, and whether the driver is the emulation.</param>
    /// <exception cref="CudaException">The driver fails.</exception>
    /// <exception cref="CudaBlasException">cuBLAS fails.</exception>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public CudaDevice(PrimaryContext context, CUmodule module, CudaBlas blas, DeviceName chosen)
    {
        (_context, _module, _blas, Chosen) = (context, module, blas, chosen);
        Nvtx.Enable();
        _arguments = (long*)NativeMemory.AllocZeroed(MaxArguments, sizeof(long));
        for (int i = 0; i < MaxArguments; i++)
        {
            _addresses[i] = (nint)(_arguments + i);
        }

        try
        {
            MakeCurrent();
            CudaDeviceProperties properties = _context.GetDeviceInfo();
            Name = properties.DeviceName;
            Multiprocessors = properties.MultiProcessorCount;
            ComputeCapability = properties.ComputeCapability;
            _stream = new CudaStream(CUStreamFlags.NonBlocking);
            _blas.Stream = _stream.Stream;
            _blas.MathMode = CublasMath.DisallowReducedPrecisionReduction;

            // Without memory of its own cuBLAS would allocate some in every graph. The sizes are those that its documentation recommends.
            long workspace = ComputeCapability.Major >= 9 ? 32 << 20 : 4 << 20;
            _blasWorkspace = Allocate(workspace, inUse: 0);
            CublasStatus status = CudaBlasNativeMethods.cublasSetWorkspace_v2(_blas.CublasHandle, Pointer(_blasWorkspace), workspace);
            if (status != CublasStatus.Success)
                throw CudaFailure.Of(status, "cublasSetWorkspace");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>What <c>--device</c> calls it.</summary>
    public DeviceName Chosen { get; }

    /// <summary>Name of the card.</summary>
    public string Name { get; } = "";

    /// <summary>Multiprocessors of the card.</summary>
    public int Multiprocessors { get; }

    /// <summary>Compute capability.</summary>
    public Version ComputeCapability { get; } = new();

    /// <summary>Bytes free on the card.</summary>
    public long FreeBytes
    {
        get
        {
            MakeCurrent();
            return (long)(ulong)_context.GetFreeDeviceMemorySize();
        }
    }

    /// <summary>Calls of <see cref="Allocate"/> so far.</summary>
    public int Allocations { get; private set; }

    /// <summary>Bytes of the card.</summary>
    public long TotalBytes
    {
        get
        {
            MakeCurrent();
            return (long)(ulong)_context.GetTotalDeviceMemorySize();
        }
    }

    /// <summary>The stream on which everything runs.</summary>
    public CUstream Stream => _stream.Stream;

    /// <summary>Waits for everything launched so far.</summary>
    public void Synchronize()
    {
        MakeCurrent();
        _stream.Synchronize();
    }

    /// <summary>Memory of the card, aligned to 256 bytes.</summary>
    /// <param name="inUse">Bytes that the backend already holds, for the message.</param>
    /// <exception cref="DeviceMemoryException">Not enough.</exception>
    public nint Allocate(long bytes, long inUse)
    {
        MakeCurrent();
        CUdeviceptr pointer = default;
        CUResult result = DriverAPINativeMethods.MemoryManagement.cuMemAlloc_v2(ref pointer, bytes);
        if (result == CUResult.ErrorOutOfMemory)
        {
            throw new DeviceMemoryException(
                $"{Name}: not enough memory: asked for {Mebibytes(bytes)} with {Mebibytes(inUse)} in use and {Mebibytes(FreeBytes)} free; "
                + "lower --micro-batch-tokens or --max-length, use --recompute, train an adapter (--lora-rank), or take --device cpu");
        }

        Check(result, "cuMemAlloc");
        Allocations++;
        return (nint)(ulong)pointer.Pointer;
    }

    /// <summary>Gives memory back, after waiting for the launches that use it.</summary>
    public void Free(nint pointer)
    {
        MakeCurrent();
        Check(DriverAPINativeMethods.MemoryManagement.cuMemFree_v2(Pointer(pointer)), "cuMemFree");
    }

    /// <summary>Starts a copy from page-locked host memory.</summary>
    public void CopyToDevice(nint source, nint destination, long bytes)
    {
        MakeCurrent();
        Check(
            DriverAPINativeMethods.AsynchronousMemcpy_v2.cuMemcpyHtoDAsync_v2(Pointer(destination), source, bytes, Stream),
            "cuMemcpyHtoDAsync");
    }

    /// <summary>Copies to host memory and waits for it.</summary>
    public void CopyToHost(nint source, nint destination, long bytes)
    {
        MakeCurrent();
        Check(
            DriverAPINativeMethods.AsynchronousMemcpy_v2.cuMemcpyDtoHAsync_v2(destination, Pointer(source), bytes, Stream),
            "cuMemcpyDtoHAsync");
        _stream.Synchronize();
    }

    /// <summary>Starts a copy within the card.</summary>
    public void CopyOnDevice(nint source, nint destination, long bytes)
    {
        MakeCurrent();
        Check(
            DriverAPINativeMethods.AsynchronousMemcpy_v2.cuMemcpyDtoDAsync_v2(Pointer(destination), Pointer(source), bytes, Stream),
            "cuMemcpyDtoDAsync");
    }

    /// <summary>Launches kernel_suffix (or kernel, where the suffix is empty).</summary>
    /// <param name="threads">Threads of a block.</param>
    /// <param name="sharedBytes">Dynamic shared memory of a block.</param>
    public void Launch(string kernel, string suffix, Grid grid, int threads, int sharedBytes, params ReadOnlySpan<KernelArgument> arguments)
    {
        MakeCurrent();
        CudaKernel function = Kernel(kernel, suffix, sharedBytes);
        for (int i = 0; i < arguments.Length; i++)
        {
            _arguments[i] = arguments[i].Bits;
        }

        CUResult result = DriverAPINativeMethods.Launch.cuLaunchKernel(
            function.CUFunction, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)threads, 1, 1, (uint)sharedBytes, Stream, _addresses,
            null);
        if (result != CUResult.Success)
            throw CudaFailure.Of(result, $"launch of {function.KernelName} failed");
    }

    /// <summary>Records what <paramref name="work"/> launches, instead of launching it; for <see cref="Destroy"/>.</summary>
    // ManagedCuda's classes have no capture, hence the functions themselves.
    public CUgraphExec Record(Action work)
    {
        MakeCurrent();

        // Calls that are not allowed meanwhile, like an allocation, fail on this thread; other threads do what they like.
        Check(DriverAPINativeMethods.Streams.cuStreamBeginCapture(Stream, CUstreamCaptureMode.Local), "cuStreamBeginCapture");
        CUgraph graph = default;
        try
        {
            work();
        }
        catch
        {
            // Where a call was refused this fails too; what it failed of is on its way up.
            if (DriverAPINativeMethods.Streams.cuStreamEndCapture(Stream, ref graph) == CUResult.Success)
                Check(DriverAPINativeMethods.GraphManagment.cuGraphDestroy(graph), "cuGraphDestroy");

            throw;
        }

        Check(DriverAPINativeMethods.Streams.cuStreamEndCapture(Stream, ref graph), "cuStreamEndCapture");
        CUgraphExec executable = default;
        CUResult result = DriverAPINativeMethods.GraphManagment.cuGraphInstantiate(ref executable, graph, CUgraphInstantiate_flags.None);
        Check(DriverAPINativeMethods.GraphManagment.cuGraphDestroy(graph), "cuGraphDestroy");
        Check(result, "cuGraphInstantiate");
        return executable;
    }

    /// <summary>Launches everything that was recorded, at once.</summary>
    public void Launch(CUgraphExec graph)
    {
        MakeCurrent();
        Check(DriverAPINativeMethods.GraphManagment.cuGraphLaunch(graph, Stream), "cuGraphLaunch");
    }

    /// <summary>Destroys what was recorded.</summary>
    public void Destroy(CUgraphExec graph)
    {
        MakeCurrent();
        Check(DriverAPINativeMethods.GraphManagment.cuGraphExecDestroy(graph), "cuGraphExecDestroy");
    }

    /// <summary>
    /// C = α·op(A)·op(B) + β·C, all row-major; sums in Float32, never TF32. cuBLAS chooses how to compute it by the shapes: the same
    /// shapes give the same bits, but a row of C need not have the same last bits in products of different numbers of rows.
    /// </summary>
    public void Gemm(
        ColumnView a, bool transposeA, ColumnView b, bool transposeB, ColumnView c, int inner, float alpha, float beta)
    {
        MakeCurrent();
        // cuBLAS reads columns: a row-major matrix is the transpose of what it sees, and Cᵀ = op(B)ᵀ·op(A)ᵀ.
        CublasStatus status = CudaBlasNativeMethods.cublasGemmEx(
            _blas.CublasHandle, OperationOf(transposeB), OperationOf(transposeA), c.Columns, c.Rows, inner,
            (nint)(&alpha), Pointer(b.Pointer), TypeOf(b), b.Stride, Pointer(a.Pointer), TypeOf(a), a.Stride,
            (nint)(&beta), Pointer(c.Pointer), TypeOf(c), c.Stride, ComputeType.Compute32F, GemmAlgo.Default);
        if (status != CublasStatus.Success)
        {
            string product = $"{a.Shape}{(transposeA ? "ᵀ" : "")} · {b.Shape}{(transposeB ? "ᵀ" : "")} of {a.DType}";
            throw CudaFailure.Of(status, $"cublasGemmEx for {product}");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        MakeCurrent();
        _blas.Dispose();
        if (_blasWorkspace != 0)
            Free(_blasWorkspace);

        _stream?.Dispose();
        _context.UnloadModule(_module);
        _context.Dispose();
        NativeMemory.Free(_arguments);
        s_current = null;
    }

    /// <summary>Makes the context the calling thread's, as every call of the driver needs.</summary>
    public void MakeCurrent()
    {
        if (s_current != this)
        {
            _context.SetCurrent();
            s_current = this;
        }
    }

    private CudaKernel Kernel(string kernel, string suffix, int sharedBytes)
    {
        if (!_kernels.TryGetValue((kernel, suffix), out CudaKernel? function))
        {
            string name = suffix.Length == 0 ? kernel : $"{kernel}_{suffix}";
            try
            {
                function = new CudaKernel(name, _module);
            }
            catch (CudaException error) when (error.CudaError == CUResult.ErrorNotFound)
            {
                string target = Chosen.Kind == DeviceName.Emulation ? "emulation" : "kernels";
                throw new UserException(
                    $"the compiled kernels have no {name}: they are of another version than this program; "
                        + $"./build.sh {target} makes them anew",
                    error);
            }

            if (sharedBytes > SharedBytesWithoutAsking)
            {
                function.MaxDynamicSharedSizeBytes = sharedBytes; // a kernel always has the same
            }

            _kernels.Add((kernel, suffix), function);
        }

        return function;
    }

    private static void Check(CUResult result, string call)
    {
        if (result != CUResult.Success)
            throw CudaFailure.Of(result, call);
    }

    private static CUdeviceptr Pointer(nint pointer) => new((ulong)pointer);

    private static Operation OperationOf(bool transpose) => transpose ? Operation.Transpose : Operation.NonTranspose;

    private static cudaDataType TypeOf(ColumnView view) =>
        view.DType == DType.BFloat16 ? cudaDataType.CUDA_R_16BF : cudaDataType.CUDA_R_32F;

    private static string Mebibytes(long bytes) => $"{bytes >> 20} MiB";
}

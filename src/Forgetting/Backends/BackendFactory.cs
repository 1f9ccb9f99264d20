using Forgetting.Backends.Cpu;
using Forgetting.Backends.Cpu.OneDnn;
using Forgetting.Backends.Cuda;
using Forgetting.Tensors;

namespace Forgetting.Backends;

/// <summary>Makes the backend that <c>--device</c>, <c>--dtype</c> and <c>--products</c> name.</summary>
public static class BackendFactory
{
    /// <summary>
    /// The backend for <paramref name="device"/>: cpu; cuda, the first card; cuda-emu, the card's kernels on this processor; or auto, a card where there is
    /// one and else the CPU.
    /// </summary>
    /// <param name="device">Name of a device.</param>
    /// <param name="threads">Threads of the CPU backend; null for one per processor.</param>
    /// <param name="dtype">
    /// On a card the storage type of activations and weights, on the CPU the type of the operands of products: fp32 or bf16; null for bf16 on a card and
    /// fp32 elsewhere.
    /// </param>
    /// <param name="products">What computes products on the CPU: auto, managed or onednn.</param>
    /// <exception cref="UserException">No such device, type or provider, one of them cannot be used here, or fewer than one thread.</exception>
    public static IBackend Create(string device = "auto", int? threads = null, string? dtype = null, string products = "auto")
    {
        if (threads < 1)
        {
            throw new UserException($"threads is {threads}, expected at least 1");
        }

        DType? type = TypeOf(dtype);
        return device switch
        {
            "cpu" => Cpu(threads, type ?? DType.Float32, products),
            "cuda" => CudaBackend.Open(type ?? DType.BFloat16),
            "cuda-emu" => CudaBackend.OpenEmulation(type ?? DType.Float32, checks: false),
            "auto" => CudaBackend.IsAvailable ? CudaBackend.Open(type ?? DType.BFloat16) : Cpu(threads, type ?? DType.Float32, products),
            _ => throw UnknownDevice(device),
        };
    }

    /// <summary>What <see cref="Create"/> would have to be given as dtype to make this backend: fp32 or bf16.</summary>
    public static string DtypeOf(IBackend backend) =>
        (backend is CpuBackend cpu ? cpu.OperandType : backend.StorageType) == DType.BFloat16 ? "bf16" : "fp32";

    /// <summary>What makes the provider of the CPU's products that <c>--products</c> and <c>--dtype</c> name.</summary>
    /// <exception cref="UserException">There is no such provider here, or it has no such type.</exception>
    // oneDNN has bf16 instructions, which the managed provider lacks; in Float32 whole steps were faster with the managed products on AVX-512, and on AVX2
    // weight gradients were and the rest about equal (docs/performance.md). The rule asks which instructions there are, never a clock: the same machine always computes the same bits.
    internal static Func<WorkerPool, IMatrixProducts> CpuProducts(DType type, string products)
    {
        if (products is not ("auto" or "managed" or "onednn"))
        {
            throw new UserException($"products is \"{products}\", expected auto, managed or onednn");
        }

        string missing = "";
        OneDnnLibrary? library = products == "managed" ? null : OneDnnLibrary.Find(out missing);
        if (products == "onednn" && library is null)
        {
            throw new UserException($"products is onednn, but oneDNN is {missing}");
        }

        if (products == "onednn" && !library!.Supports(type))
        {
            throw new UserException(
                $"products is onednn with dtype bf16, expected managed: {library.Name} finds no bf16 instructions (AVX-512 BF16 or AMX) on this processor");
        }

        bool native = library is not null && (products == "onednn" || (type == DType.BFloat16 && library.IsFasterInBFloat16));
        return native ? pool => new OneDnnProducts(pool, library!, type) : pool => new ManagedProducts(pool, type);
    }

    private static CpuBackend Cpu(int? threads, DType type, string products) =>
        new(new WorkerPool(threads ?? Environment.ProcessorCount), CpuProducts(type, products));

    /// <summary>The device that a name stands for on this machine and the element type of activations and weights there; opens nothing, so the device need not be here.</summary>
    /// <exception cref="UserException">No such device or type.</exception>
    public static (string Device, DType StorageType) Describe(string device, string? dtype)
    {
        string resolved = device == "auto" ? (CudaBackend.IsAvailable ? "cuda" : "cpu") : device;
        DType standard = resolved switch
        {
            "cpu" or "cuda-emu" => DType.Float32,
            "cuda" => DType.BFloat16,
            _ => throw UnknownDevice(device),
        };
        return (resolved, resolved == "cpu" ? standard : TypeOf(dtype) ?? standard);
    }

    private static DType? TypeOf(string? dtype) => dtype switch
    {
        null => null,
        "fp32" => DType.Float32,
        "bf16" => DType.BFloat16,
        _ => throw new UserException($"dtype is \"{dtype}\", expected fp32 or bf16"),
    };

    private static UserException UnknownDevice(string device) => new($"device is \"{device}\", expected auto, cpu, cuda or cuda-emu");
}

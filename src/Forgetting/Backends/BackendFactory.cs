using Forgetting.Backends.Cpu;
using Forgetting.Backends.Cuda;
using Forgetting.Tensors;

namespace Forgetting.Backends;

/// <summary>Makes the backend that <c>--device</c> and <c>--dtype</c> name.</summary>
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
    /// <exception cref="UserException">No such device or type, the device cannot be used, or fewer than one thread.</exception>
    public static IBackend Create(string device = "auto", int? threads = null, string? dtype = null)
    {
        if (threads < 1)
        {
            throw new UserException($"--threads: found {threads}, expected at least 1");
        }

        DType? type = dtype switch
        {
            null => null,
            "fp32" => DType.Float32,
            "bf16" => DType.BFloat16,
            _ => throw new UserException($"--dtype: found '{dtype}', expected fp32 or bf16"),
        };
        return device switch
        {
            "cpu" => new CpuBackend(threads, type ?? DType.Float32),
            "cuda" => CudaBackend.Open(type ?? DType.BFloat16),
            "cuda-emu" => CudaBackend.OpenEmulation(type ?? DType.Float32, checks: false),
            "auto" => CudaBackend.IsAvailable ? CudaBackend.Open(type ?? DType.BFloat16) : new CpuBackend(threads, type ?? DType.Float32),
            _ => throw new UserException($"--device: found '{device}', expected auto, cpu, cuda or cuda-emu"),
        };
    }
}

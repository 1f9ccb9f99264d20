using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;
using Forgetting.Tensors;
using Forgetting.Testing;

namespace Forgetting.Cuda.Tests;

/// <summary>Both storage types on the emulation with every memory access checked; opened once for all tests of a class.</summary>
public sealed class EmulatedBackends : IDisposable
{
    private readonly CudaBackend? _float32;
    private readonly CudaBackend? _bfloat16;

    public EmulatedBackends()
    {
        if (Emulation.Missing is null)
        {
            CudaLibrary.UseEmulation(Emulation.Driver);
            CudaEmulation.SetThreadOrder("forward");
            _float32 = CardSurvey.OpenEmulation(DType.Float32);
            _bfloat16 = CardSurvey.OpenEmulation(DType.BFloat16);
        }
    }

    /// <summary>The backend of a storage type.</summary>
    internal CudaBackend Of(DType type) => (type == DType.Float32 ? _float32 : _bfloat16)!;

    public void Dispose()
    {
        _float32?.Dispose();
        _bfloat16?.Dispose();
    }
}

using System.Runtime.InteropServices;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// One context for all tests of the emulation, which run one after the other: the thread order is a setting of the process.
/// </summary>
public sealed class EmulationFixture : IDisposable
{
    public EmulationFixture()
    {
        if (Emulation.Missing is null)
        {
            CudaLibrary.UseEmulation(Emulation.Driver);
            Context = new PrimaryContext();
            Context.SetCurrent();
            Module = Context.LoadModule(Emulation.BrokenKernels);
            if (Emulation.MissingPtx is null)
                Interpreted = Context.LoadModule(Emulation.BrokenPtx);
        }
    }

    public PrimaryContext Context { get; } = null!;

    /// <summary>The kernels of kernels/emulation/broken as compiled for this processor.</summary>
    public CUmodule Module { get; }

    /// <summary>The same as nvcc compiles them, where it is there.</summary>
    public CUmodule Interpreted { get; }

    /// <summary>Makes the context current on the thread of the test that begins, and the order the default.</summary>
    public void Begin(string order = "forward")
    {
        Context.SetCurrent();
        CudaEmulation.SetThreadOrder(order);
    }

    public CudaKernel Kernel(string name, uint threads, uint blocks = 1, bool interpreted = false) =>
        new(name, interpreted ? Interpreted : Module) { BlockDimensions = new dim3(threads), GridDimensions = new dim3(blocks) };

    public static CudaDeviceVariable<T> Upload<T>(params T[] values)
        where T : unmanaged
    {
        var variable = new CudaDeviceVariable<T>(values.Length);
        variable.CopyToDevice(values);
        return variable;
    }

    public static T[] Download<T>(CudaDeviceVariable<T> variable)
        where T : unmanaged
    {
        var values = new T[(int)variable.Size];
        variable.CopyToHost(values);
        return values;
    }

    /// <summary>What the emulation says of a call that fails, which the message of the exception may leave out.</summary>
    public static Fault Fails(Action call)
    {
        CUResult error = Assert.Throws<CudaException>(call).CudaError;
        nint text = 0;
        Assert.Equal(CUResult.Success, DriverAPINativeMethods.ErrorHandling.cuGetErrorString(error, ref text));
        return new(error, Marshal.PtrToStringUTF8(text)!);
    }

    public void Dispose() => Context?.Dispose();
}

/// <summary>A failed call of the driver, and what the driver says of it.</summary>
public sealed record Fault(CUResult Error, string Report);

[CollectionDefinition("emulation")]
#pragma warning disable CA1711 // xunit's own word
public sealed class EmulationCollection : ICollectionFixture<EmulationFixture>;

using System.Runtime.InteropServices;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>The bindings: memory, streams, events, graphs, modules, errors. Against the emulation, whose driver API is the same.</summary>
[Collection("emulation")]
public sealed class DriverTests(EmulationFixture emulation)
{
    private readonly EmulationFixture _emulation = emulation;

    [EmulationFact]
    public void DeviceProperties()
    {
        _emulation.Begin();
        Assert.Equal(1, CudaContext.GetDeviceCount());
        CudaDeviceProperties properties = _emulation.Context.GetDeviceInfo();
        Assert.Equal("CUDA emulation", properties.DeviceName);
        Assert.Equal(new Version(8, 0), properties.ComputeCapability);
        Assert.Equal(1024, properties.MaxThreadsPerBlock);
        Assert.Equal((ulong)_emulation.Context.GetTotalDeviceMemorySize(), (ulong)properties.TotalGlobalMemory);
        Assert.ThrowsAny<Exception>(() => CudaContext.GetDeviceName(1));
    }

    // What ManagedCuda calls and the bindings here do not.
    [EmulationFact]
    public unsafe void The_emulation_has_what_other_bindings_call()
    {
        _emulation.Begin();
        nint library = NativeLibrary.Load(Emulation.Driver);
        var attribute = (delegate* unmanaged<int*, int, int, CUResult>)NativeLibrary.GetExport(library, "cuDeviceGetAttribute");
        int value = -1;
        foreach (int number in (int[])[11, 15, 40, 95, 133])
        {
            Assert.Equal((CUResult.Success, 0), (attribute(&value, number, 0), value));
        }

        Assert.Equal(CUResult.ErrorInvalidValue, attribute(&value, 5000, 0));
        var allocate = (delegate* unmanaged<byte**, nint, CUResult>)NativeLibrary.GetExport(library, "cuMemAllocHost_v2");
        var free = (delegate* unmanaged<byte*, CUResult>)NativeLibrary.GetExport(library, "cuMemFreeHost");
        byte* memory = null;
        Assert.Equal(CUResult.Success, allocate(&memory, 100));
        memory[99] = 5;
        Assert.Equal(CUResult.Success, free(memory));
        using var first = new CudaEvent();
        using var second = new CudaEvent();
        first.Record();
        second.Record();
        second.Synchronize();
        var elapsed = (delegate* unmanaged<float*, CUevent, CUevent, CUResult>)NativeLibrary.GetExport(library, "cuEventElapsedTime_v2");
        float milliseconds = -1;
        Assert.Equal(CUResult.Success, elapsed(&milliseconds, first.Event, second.Event));
        Assert.InRange(milliseconds, 0, float.MaxValue);
    }

    [EmulationFact]
    public void CopiesAndFills()
    {
        _emulation.Begin();
        using CudaDeviceVariable<int> x = EmulationFixture.Upload(1, 2, 3, 4), y = new(4);
        y.CopyToDevice(x);
        Assert.Equal([1, 2, 3, 4], EmulationFixture.Download(y));
        y.Memset(7u);
        Assert.Equal([7, 7, 7, 7], EmulationFixture.Download(y));
        y.Memset((byte)1);
        Assert.Equal(0x01010101, EmulationFixture.Download(y)[3]);
    }

    [EmulationFact]
    public void AsynchronousCopiesThroughPageLockedMemory()
    {
        _emulation.Begin();
        using var stream = new CudaStream(CUStreamFlags.NonBlocking);
        using var host = new CudaPageLockedHostMemory<float>(100);
        using CudaDeviceVariable<float> x = new(100), y = new(100);
        for (int i = 0; i < 100; i++)
        {
            host[i] = i;
        }

        host.AsyncCopyToDevice(x.DevicePointer, stream.Stream);
        y.AsyncCopyToDevice(x, stream.Stream);
        stream.Synchronize();
        for (int i = 0; i < 100; i++)
        {
            host[i] = 0;
        }

        host.AsyncCopyFromDevice(y.DevicePointer, stream.Stream);
        stream.Synchronize();
        Assert.True(stream.Query());
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (float)i), Enumerable.Range(0, 100).Select(i => host[i]));
    }

    [EmulationFact]
    public void EventsAreOrderedInTime()
    {
        _emulation.Begin();
        using var stream = new CudaStream();
        using CudaEvent first = new(), second = new(), never = new();
        first.Record(stream.Stream);
        stream.WaitEvent(first.Event);
        second.Record(stream.Stream);
        second.Synchronize();
        Assert.True(second.Query());
        Assert.True(CudaEvent.ElapsedTime(first, second) >= 0);
        Assert.Throws<CudaException>(() => CudaEvent.ElapsedTime(first, never));
    }

    [EmulationFact]
    public void ModulesLoadFromAFileAndFromMemory()
    {
        _emulation.Begin();
        CUmodule module = _emulation.Context.LoadModulePTX(File.ReadAllBytes(Emulation.BrokenKernels));
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(1f), y = EmulationFixture.Upload(1f);
        new CudaKernel("axpy", module) { BlockDimensions = 1 }.Run(1f, x.DevicePointer, y.DevicePointer, 1);
        Assert.Equal([2f], EmulationFixture.Download(y));
        Fault missing = EmulationFixture.Fails(() => _ = new CudaKernel("no_such_kernel", module));
        Assert.Equal(CUResult.ErrorNotFound, missing.Error);
        Assert.Contains("no_such_kernel", missing.Report, StringComparison.Ordinal);
        _emulation.Context.UnloadModule(module);
        Assert.Throws<CudaException>(() => _emulation.Context.UnloadModule(module));
        Assert.Equal(
            CUResult.ErrorInvalidImage,
            Assert.Throws<CudaException>(() => _emulation.Context.LoadModulePTX([1, 2, 3, 4, 0, 0, 0, 0])).CudaError);
        Fault absent = EmulationFixture.Fails(() => _emulation.Context.LoadModule("/no/such/file"));
        Assert.Equal(new Fault(CUResult.ErrorFileNotFound, "cuModuleLoad: cannot read /no/such/file"), absent);
        Assert.Equal(
            "a load: CUDA_ERROR_FILE_NOT_FOUND (301), cuModuleLoad: cannot read /no/such/file",
            CudaFailure.Of(absent.Error, "a load").Message);
    }

    [EmulationFact]
    public void OutOfMemorySaysWhatWasAskedFor()
    {
        _emulation.Begin();
        long free = _emulation.Context.GetFreeDeviceMemorySize();
        Fault error = EmulationFixture.Fails(() => _ = new CudaDeviceVariable<byte>(free + 1));
        Assert.Equal(CUResult.ErrorOutOfMemory, error.Error);
        Assert.Contains($"{free + 1} bytes", error.Report, StringComparison.Ordinal);
        using (new CudaDeviceVariable<byte>(1 << 20))
        {
            Assert.True(_emulation.Context.GetFreeDeviceMemorySize() <= free - (1 << 20));
        }

        Assert.Equal(free, (long)_emulation.Context.GetFreeDeviceMemorySize());
    }

    [EmulationFact]
    public void AThreadWithoutAContextIsToldSo()
    {
        CudaException? error = null;
        var thread = new Thread(() => error = Assert.Throws<CudaException>(() => new CudaDeviceVariable<int>(1)));
        thread.Start();
        thread.Join();
        Assert.Equal(CUResult.ErrorInvalidContext, error!.CudaError);
    }

    [EmulationFact]
    public void DisposedObjectsSaySo()
    {
        _emulation.Begin();
        var stream = new CudaStream();
        stream.Dispose();
        stream.Dispose();
        Assert.Throws<ObjectDisposedException>(stream.Synchronize);
        Assert.Throws<CudaException>(() => CudaEmulation.SetThreadOrder("sideways"));
    }
}

using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>Kernels with planted bugs (kernels/emulation/broken): each must be reported, with the place, in every thread order.</summary>
[Collection("emulation")]
public sealed class BrokenKernelTests(EmulationFixture emulation)
{
    private readonly EmulationFixture _emulation = emulation;

    [EmulationTheory]
    [InlineData("forward")]
    [InlineData("reverse")]
    [InlineData("random:7")]
    public void MissingBarrier(string order)
    {
        using CudaDeviceVariable<float> x = Ramp(128), y = new(128);
        Fault error = Fails("missing_barrier", 64, 2, order, x.DevicePointer, y.DevicePointer);
        Assert.Contains("shared memory", error.Report, StringComparison.Ordinal);
        Assert.Matches(@"kernel missing_barrier, block \([01], 0, 0\), thread \(\d+, 0, 0\)", error.Report);
    }

    [EmulationTheory]
    [InlineData("forward")]
    [InlineData("reverse")]
    [InlineData("random:7")]
    public void MissingBarrierBetweenTwoUses(string order)
    {
        using CudaDeviceVariable<float> x = Ramp(64), y = new(64);
        Fault error = Fails("missing_second_barrier", 64, 1, order, x.DevicePointer, y.DevicePointer);
        Assert.Contains("race in shared memory", error.Report, StringComparison.Ordinal);
    }

    [EmulationTheory]
    [InlineData("forward")]
    [InlineData("reverse")]
    public void MissingWarpBarrier(string order)
    {
        using CudaDeviceVariable<float> x = Ramp(32), y = new(32);
        Fault error = Fails("missing_warp_barrier", 32, 1, order, x.DevicePointer, y.DevicePointer);
        Assert.Contains("shared memory", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void OffByOneNamesTheThreadAndTheAllocation()
    {
        using CudaDeviceVariable<float> x = new(100);
        Fault error = Fails("off_by_one", 32, 4, "forward", x.DevicePointer, 100);
        Assert.Equal(CUResult.ErrorIllegalAddress, error.Error);
        Assert.Contains("kernel off_by_one, block (3, 0, 0), thread (4, 0, 0)", error.Report, StringComparison.Ordinal);
        Assert.Contains($"write of 4 bytes at 0x{(ulong)x.DevicePointer.Pointer + 400:x}", error.Report, StringComparison.Ordinal);
        Assert.Contains("0 bytes past the end of the 400 bytes", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void MisalignedVector()
    {
        using CudaDeviceVariable<float> x = Ramp(8), y = new(1);
        Fault error = Fails("misaligned_vector", 1, 1, "forward", x.DevicePointer, y.DevicePointer);
        Assert.Equal(CUResult.ErrorMisalignedAddress, error.Error);
        Assert.Contains("broken.cu:", error.Report, StringComparison.Ordinal);
    }

    [EmulationTheory]
    [InlineData("divergent_barrier")]
    [InlineData("stuck_shuffle")]
    public void DivergentBarrier(string kernel)
    {
        using CudaDeviceVariable<float> x = Ramp(64);
        Fault error = Fails(kernel, 64, 1, "forward", x.DevicePointer);
        Assert.Equal(CUResult.ErrorLaunchFailed, error.Error);
        Assert.Contains($"kernel {kernel}, block (0, 0, 0)", error.Report, StringComparison.Ordinal);
        Assert.Contains("divergent barrier", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void UseAfterFree()
    {
        using CudaDeviceVariable<float> y = new(32);
        CUdeviceptr freed;
        using (CudaDeviceVariable<float> x = Ramp(32))
        {
            freed = x.DevicePointer;
        }

        Fault error = Fails("copy", 32, 1, "forward", freed, y.DevicePointer, 32);
        Assert.Equal(CUResult.ErrorIllegalAddress, error.Error);
        Assert.Contains("use after free, 0 bytes into the 128 bytes", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void ReadOfUnwrittenMemory()
    {
        using CudaDeviceVariable<float> x = new(32), y = new(32);
        x.CopyToDevice(new float[20]);
        Fault error = Fails("copy", 32, 1, "forward", x.DevicePointer, y.DevicePointer, 32);
        Assert.Contains("thread (20, 0, 0)", error.Report, StringComparison.Ordinal);
        Assert.Contains("never written", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public unsafe void HostMemoryIsNotDeviceMemory()
    {
        using CudaDeviceVariable<float> y = new(1);
        float local = 1;
        Fault error = Fails("copy", 1, 1, "forward", new CUdeviceptr((long)&local), y.DevicePointer, 1);
        Assert.Contains("not device memory", error.Report, StringComparison.Ordinal);
        Assert.Contains(
            "null pointer", Fails("copy", 1, 1, "forward", default(CUdeviceptr), y.DevicePointer, 1).Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void ShuffleFromALaneThatHasReturned()
    {
        using CudaDeviceVariable<float> x = Ramp(32);
        Fault error = Fails("mask_names_absent_lanes", 32, 1, "forward", x.DevicePointer);
        Assert.Contains("reads lane 20, which has returned", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void MaskWithoutItsCaller()
    {
        using CudaDeviceVariable<float> x = Ramp(32);
        Fault error = Fails("mask_without_caller", 32, 1, "forward", x.DevicePointer);
        Assert.Contains("mask 0x0000ffff, which leaves out the calling lane 16", error.Report, StringComparison.Ordinal);
    }

    [EmulationTheory]
    [InlineData("forward")]
    [InlineData("reverse")]
    public void SharedMemoryOfAnotherBlock(string order)
    {
        using CudaDeviceVariable<float> y = new(64);
        Fault error = Fails("unwritten_shared", 32, 2, order, y.DevicePointer);
        Assert.Contains("block (1, 0, 0)", error.Report, StringComparison.Ordinal);
        Assert.Contains("which this block never wrote", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void OverrunOfStaticSharedMemory()
    {
        using CudaDeviceVariable<float> y = new(32);
        Fault error = Fails("static_shared_overrun", 32, 1, "forward", y.DevicePointer, 3);
        Assert.Contains("thread (29, 0, 0)", error.Report, StringComparison.Ordinal);
        Assert.Contains("array index 32 out of bounds", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void OverrunOfDynamicSharedMemory()
    {
        _emulation.Begin();
        CudaKernel kernel = _emulation.Kernel("dynamic_shared_overrun", 32);
        kernel.DynamicSharedMemory = 128;
        kernel.Run(0);
        Fault error = EmulationFixture.Fails(() => kernel.Run(1));
        Assert.Contains("thread (31, 0, 0)", error.Report, StringComparison.Ordinal);
        Assert.Contains("128 bytes into the 128 bytes of dynamic shared memory", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void AsynchronousCopyThatIsNotWaitedFor()
    {
        using CudaDeviceVariable<float> x = Ramp(128), y = new(128);
        Fault error = Fails("missing_copy_wait", 32, 1, "forward", x.DevicePointer, y.DevicePointer);
        Assert.Contains("never wrote", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void OverflowOfAnIndex()
    {
        using CudaDeviceVariable<float> x = Ramp(2);
        Fault error = Fails("index_overflow", 1, 1, "forward", x.DevicePointer, 1 << 16, 1 << 16);
        Assert.Contains("signed multiplication overflows", error.Report, StringComparison.Ordinal);
    }

    [EmulationFact]
    public void AFailedLaunchLeavesTheNextOneUnharmed()
    {
        using CudaDeviceVariable<float> x = Ramp(64), y = new(64);
        Fails("missing_barrier", 64, 1, "forward", x.DevicePointer, y.DevicePointer);
        _emulation.Kernel("reverse_blocks", 64).Run(x.DevicePointer, y.DevicePointer);
        Assert.Equal(Enumerable.Range(0, 64).Select(i => 63f - i), EmulationFixture.Download(y));
    }

    private static CudaDeviceVariable<float> Ramp(int count) =>
        EmulationFixture.Upload(Enumerable.Range(0, count).Select(i => (float)i).ToArray());

    private Fault Fails(string kernel, uint threads, uint blocks, string order, params object[] arguments)
    {
        _emulation.Begin(order);
        return EmulationFixture.Fails(() => _emulation.Kernel(kernel, threads, blocks).Run(arguments));
    }
}

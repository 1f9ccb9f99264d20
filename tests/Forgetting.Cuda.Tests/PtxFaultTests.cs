using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// The kernels with planted bugs (kernels/emulation/broken) as nvcc compiles them: each must be reported, with
/// the place, in every order of warps.
/// </summary>
[Collection("emulation")]
public sealed class PtxFaultTests(EmulationFixture emulation)
{
    private static readonly string[] s_allOrders = ["forward", "reverse", "random:7"];

    private readonly EmulationFixture _emulation = emulation;

    public static TheoryData<string> Orders => [.. s_allOrders];

    [PtxTheory]
    [MemberData(nameof(Orders))]
    public void Missing_barriers(string order)
    {
        using CudaDeviceVariable<float> x = Ramp(128), y = new(128);
        string between = Fails("missing_barrier", 64, 2, order, x.DevicePointer, y.DevicePointer).Report;
        Assert.Contains("shared memory", between, StringComparison.Ordinal);
        Assert.Matches(@"kernel missing_barrier, block \([01], 0, 0\), thread \(\d+, 0, 0\), broken\.cu:\d+: ", between);
        string second = Fails("missing_second_barrier", 64, 1, order, x.DevicePointer, y.DevicePointer).Report;
        Assert.Contains("race in shared memory", second, StringComparison.Ordinal);
        string warp = Fails("missing_warp_barrier", 32, 1, order, x.DevicePointer, y.DevicePointer).Report;
        Assert.Contains("shared memory", warp, StringComparison.Ordinal);
    }

    [PtxTheory]
    [InlineData("divergent_barrier")]
    [InlineData("stuck_shuffle")]
    public void Divergent_barriers(string kernel)
    {
        using CudaDeviceVariable<float> x = Ramp(64);
        foreach (string order in s_allOrders)
            Assert.Contains("divergent barrier", Fails(kernel, 64, 1, order, x.DevicePointer).Report, StringComparison.Ordinal);
    }

    [PtxFact]
    public void Accesses_out_of_bounds()
    {
        using CudaDeviceVariable<float> x = new(100), y = new(32);
        Fault error = Fails("off_by_one", 32, 4, "forward", x.DevicePointer, 100);
        Assert.Equal(CUResult.ErrorIllegalAddress, error.Error);
        Assert.Contains("kernel off_by_one, block (3, 0, 0), thread (4, 0, 0)", error.Report, StringComparison.Ordinal);
        Assert.Contains($"write of 4 bytes at 0x{(ulong)x.DevicePointer.Pointer + 400:x}", error.Report, StringComparison.Ordinal);
        string overrun = Fails("static_shared_overrun", 32, 1, "forward", y.DevicePointer, 3).Report;
        Assert.Contains("thread (29, 0, 0)", overrun, StringComparison.Ordinal);
        Assert.Contains("128 bytes into the 128 bytes of static shared memory", overrun, StringComparison.Ordinal);
    }

    [PtxFact]
    public void Accesses_out_of_bounds_of_dynamic_shared_memory()
    {
        _emulation.Begin();
        CudaKernel kernel = _emulation.Kernel("dynamic_shared_overrun", 32, interpreted: true);
        kernel.DynamicSharedMemory = 128;
        kernel.Run(0);
        Fault error = EmulationFixture.Fails(() => kernel.Run(1));
        Assert.Contains("thread (31, 0, 0)", error.Report, StringComparison.Ordinal);
        Assert.Contains("128 bytes into the 128 bytes of dynamic shared memory", error.Report, StringComparison.Ordinal);
    }

    [PtxFact]
    public void Accesses_that_are_misaligned_or_to_memory_that_is_freed_or_unwritten()
    {
        using CudaDeviceVariable<float> x = Ramp(128), y = new(128), partly = new(32);
        Assert.Equal(
            CUResult.ErrorMisalignedAddress, Fails("misaligned_vector", 1, 1, "forward", x.DevicePointer, y.DevicePointer).Error);
        CUdeviceptr freed;
        using (CudaDeviceVariable<float> gone = Ramp(32))
        {
            freed = gone.DevicePointer;
        }

        Assert.Contains("use after free", Fails("copy", 32, 1, "forward", freed, y.DevicePointer, 32).Report, StringComparison.Ordinal);
        partly.CopyToDevice(new float[20]);
        string unwritten = Fails("copy", 32, 1, "forward", partly.DevicePointer, y.DevicePointer, 32).Report;
        Assert.Contains("thread (20, 0, 0)", unwritten, StringComparison.Ordinal);
        Assert.Contains("never written", unwritten, StringComparison.Ordinal);
        Assert.Contains(
            "null pointer", Fails("copy", 1, 1, "forward", default(CUdeviceptr), y.DevicePointer, 1).Report, StringComparison.Ordinal);
    }

    [PtxTheory]
    [MemberData(nameof(Orders))]
    public void Shared_memory_that_was_not_written(string order)
    {
        using CudaDeviceVariable<float> x = Ramp(128), y = new(64);
        string message = Fails("unwritten_shared", 32, 2, order, y.DevicePointer).Report;
        Assert.Contains("block (1, 0, 0)", message, StringComparison.Ordinal);
        Assert.Contains("which this block never wrote", message, StringComparison.Ordinal);
        string copy = Fails("missing_copy_wait", 32, 1, order, x.DevicePointer, y.DevicePointer).Report;
        Assert.Contains("into which an asynchronous copy is under way", copy, StringComparison.Ordinal);
    }

    [PtxFact]
    public void Shuffles_whose_lanes_are_not_there()
    {
        using CudaDeviceVariable<float> x = Ramp(32);
        Assert.Contains(
            "reads lane 20, which has returned", Fails("mask_names_absent_lanes", 32, 1, "forward", x.DevicePointer).Report,
            StringComparison.Ordinal);
        Assert.Contains(
            "mask 0x0000ffff, which leaves out the calling lane 16",
            Fails("mask_without_caller", 32, 1, "forward", x.DevicePointer).Report, StringComparison.Ordinal);
    }

    private static CudaDeviceVariable<float> Ramp(int count) =>
        EmulationFixture.Upload(Enumerable.Range(0, count).Select(i => (float)i).ToArray());

    private Fault Fails(string kernel, uint threads, uint blocks, string order, params object[] arguments)
    {
        _emulation.Begin(order);
        return EmulationFixture.Fails(() => _emulation.Kernel(kernel, threads, blocks, interpreted: true).Run(arguments));
    }
}

using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// Correct kernels that exercise barriers, warps, atomics and tensor cores: the emulation must run them as the card would, in any order.
/// </summary>
[Collection("emulation")]
public sealed class KernelSemanticsTests(EmulationFixture emulation)
{
    private readonly EmulationFixture _emulation = emulation;

    /// <summary>
    /// Orders of threads, with the kernels as compiled for this processor and, where nvcc is there, as compiled for the card.
    /// </summary>
    public static TheoryData<string, bool> Orders
    {
        get
        {
            var rows = new TheoryData<string, bool>();
            foreach (string order in (string[])["forward", "reverse", "random:1", "random:2"])
            {
                rows.Add(order, false);
                if (Emulation.MissingPtx is null)
                    rows.Add(order, true);
            }

            return rows;
        }
    }

    [EmulationTheory]
    [MemberData(nameof(Orders))]
    public void ElementwiseOverAnOddSize(string order, bool interpreted)
    {
        _emulation.Begin(order);
        float[] a = Values(1001), b = Values(1001);
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(a), y = EmulationFixture.Upload(b);
        _emulation.Kernel("axpy", 128, 8, interpreted: interpreted).Run(0.5f, x.DevicePointer, y.DevicePointer, 1001);
        Assert.Equal(a.Zip(b, (p, q) => q + 0.5f * p), EmulationFixture.Download(y));
    }

    [EmulationTheory]
    [MemberData(nameof(Orders))]
    public void SharedMemoryAndBarrier(string order, bool interpreted)
    {
        _emulation.Begin(order);
        float[] a = Values(3 * 96);
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(a), y = new(a.Length);
        _emulation.Kernel("reverse_blocks", 96, 3, interpreted: interpreted).Run(x.DevicePointer, y.DevicePointer);
        Assert.Equal(Enumerable.Range(0, a.Length).Select(i => a[i / 96 * 96 + 95 - i % 96]), EmulationFixture.Download(y));
    }

    [EmulationTheory]
    [MemberData(nameof(Orders))]
    public void WarpBarrier(string order, bool interpreted)
    {
        _emulation.Begin(order);
        float[] a = Values(32);
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(a), y = new(32);
        _emulation.Kernel("warp_exchange", 32, interpreted: interpreted).Run(x.DevicePointer, y.DevicePointer);
        Assert.Equal(Enumerable.Range(0, 32).Select(i => a[i ^ 1]), EmulationFixture.Download(y));
    }

    [EmulationTheory]
    [MemberData(nameof(Orders))]
    public void ThreadsThatReturnedDoNotHoldBackABarrier(string order, bool interpreted)
    {
        _emulation.Begin(order);
        float[] a = Values(100);
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(a), y = new(100);
        _emulation.Kernel("early_return", 256, interpreted: interpreted).Run(x.DevicePointer, y.DevicePointer, 100);
        Assert.Equal(a.Reverse(), EmulationFixture.Download(y));
    }

    [EmulationTheory]
    [MemberData(nameof(Orders))]
    public void ShufflesAndVotesHonourTheirMask(string order, bool interpreted)
    {
        _emulation.Begin(order);
        int[] a = [.. Enumerable.Range(0, 32).Select(i => i * i + i / 16)];
        using CudaDeviceVariable<int> x = EmulationFixture.Upload(a), sums = new(32);
        using CudaDeviceVariable<uint> votes = new(32);
        _emulation.Kernel("half_warps", 32, interpreted: interpreted).Run(x.DevicePointer, sums.DevicePointer, votes.DevicePointer);
        int low = a[..16].Sum(), high = a[16..].Sum();
        Assert.Equal(Enumerable.Range(0, 32).Select(i => i < 16 ? low : high), EmulationFixture.Download(sums));
        uint odd = a.Select((value, i) => (uint)(value % 2) << i).Aggregate((p, q) => p | q);
        Assert.Equal(Enumerable.Range(0, 32).Select(i => i < 16 ? odd & 0xffff : odd & 0xffff0000), EmulationFixture.Download(votes));
    }

    [EmulationTheory]
    [MemberData(nameof(Orders))]
    public void BarrierPredicates(string order, bool interpreted)
    {
        _emulation.Begin(order);
        using CudaDeviceVariable<int> x = EmulationFixture.Upload(Enumerable.Range(0, 48).ToArray()), y = new(48);
        _emulation.Kernel("barrier_predicates", 48, interpreted: interpreted).Run(x.DevicePointer, y.DevicePointer);
        Assert.All(EmulationFixture.Download(y), value => Assert.Equal(24 * 100 + 1, value));
    }

    [EmulationTheory]
    [MemberData(nameof(Orders))]
    public void Atomics(string order, bool interpreted)
    {
        _emulation.Begin(order);
        int[] a = [.. Enumerable.Range(0, 500).Select(i => i * 7 % 11)];
        using CudaDeviceVariable<int> x = EmulationFixture.Upload(a), counts = new(4);
        counts.Memset((byte)0);
        _emulation.Kernel("histogram", 64, 8, interpreted: interpreted).Run(x.DevicePointer, counts.DevicePointer, 500);
        Assert.Equal(Enumerable.Range(0, 4).Select(k => a.Count(v => (v & 3) == k)), EmulationFixture.Download(counts));
    }

    [EmulationTheory]
    [MemberData(nameof(Orders))]
    public void TensorCoreProductThroughLdmatrixAndAsynchronousCopies(string order, bool interpreted)
    {
        _emulation.Begin(order);
        float[] a = [.. Values(16 * 16).Select(Rounded)], b = [.. Values(16 * 8).Select(Rounded)];
        using CudaDeviceVariable<ushort> x = EmulationFixture.Upload(a.Select(Bits).ToArray()),
            y = EmulationFixture.Upload(b.Select(Bits).ToArray());
        using CudaDeviceVariable<float> d = new(16 * 8);
        _emulation.Kernel("tensor_core", 32, interpreted: interpreted).Run(x.DevicePointer, y.DevicePointer, d.DevicePointer);
        float[] result = EmulationFixture.Download(d);
        for (int i = 0; i < 16 * 8; i++)
        {
            double expected = Enumerable.Range(0, 16).Sum(k => (double)a[i / 8 * 16 + k] * b[k * 8 + i % 8]);
            Assert.Equal(expected, result[i], 1e-5);
        }
    }

    [EmulationFact]
    public void LaunchBoundsAreKept()
    {
        _emulation.Begin();
        using CudaDeviceVariable<int> x = EmulationFixture.Upload(new int[65]), y = new(65);
        CudaKernel kernel = _emulation.Kernel("barrier_predicates", 65);
        Assert.Equal(64, kernel.MaxThreadsPerBlock);
        CudaException error = Assert.Throws<CudaException>(() => kernel.Run(x.DevicePointer, y.DevicePointer));
        Assert.Equal(CUResult.ErrorLaunchOutOfResources, error.CudaError);
    }

    private static float[] Values(int count)
    {
        var random = new Random(count);
        return [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() * 2 - 1)];
    }

    private static ushort Bits(float x) => (ushort)(BitConverter.SingleToUInt32Bits(x) >> 16);

    private static float Rounded(float x) => BitConverter.UInt32BitsToSingle((uint)Bits(x) << 16);
}

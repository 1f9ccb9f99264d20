using System.Diagnostics;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>What the processor reaches at its best, in the same process as what is compared with it.</summary>
internal static class Peak
{
    private const int Repetitions = 8;

    /// <summary>GFLOP/s of the best of some products of 1024 × 1024 × 1024 in storage type; null on a card.</summary>
    public static double? Gemm(IBackend backend)
    {
        if (backend is not CpuBackend)
            return null;

        const int Size = 1024;
        var shape = new Shape(Size, Size);
        using DeviceBuffer a = Ones(backend, shape), b = Ones(backend, shape), c = Ones(backend, shape);
        Tensor x = a.AsTensor(shape, backend.StorageType), y = b.AsTensor(shape, backend.StorageType),
            z = c.AsTensor(shape, backend.StorageType);
        return 2.0 * Size * Size * Size / Best(() => backend.Gemm(x, false, y, true, z)) / 1e9;
    }

    /// <summary>Gigabytes a second that all threads together read from memory, in a sum over 256 MiB; null on a card.</summary>
    public static double? Read(IBackend backend)
    {
        if (backend is not CpuBackend)
            return null;

        var shape = new Shape(1 << 13, 1 << 13);
        using DeviceBuffer memory = backend.Allocate(shape.Count * sizeof(float)), sum = backend.Allocate(sizeof(float));
        Tensor x = memory.AsTensor(shape, DType.Float32), result = sum.AsTensor(new Shape(1), DType.Float32);
        backend.Fill(x, 1);
        backend.Fill(result, 0);
        return x.Bytes / Best(() => backend.SumOfSquares(x, result, 0)) / 1e9;
    }

    private static DeviceBuffer Ones(IBackend backend, Shape shape)
    {
        DeviceBuffer buffer = backend.Allocate(shape.Count * backend.StorageType.Size());
        backend.Fill(buffer.AsTensor(shape, backend.StorageType), 1);
        return buffer;
    }

    // Seconds; the first call is not counted.
    private static double Best(Action work)
    {
        work();
        double best = double.MaxValue;
        for (int i = 1; i < Repetitions; i++)
        {
            long start = Stopwatch.GetTimestamp();
            work();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return best;
    }
}

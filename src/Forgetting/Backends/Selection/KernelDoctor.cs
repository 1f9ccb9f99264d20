using System.Diagnostics;
using Forgetting.Backends.Cpu;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Selection;

/// <summary>What became of one operation.</summary>
/// <param name="Operation">Method of <see cref="IBackend"/>, with what is particular about the call.</param>
/// <param name="Error">Largest relative distance ‖x − x_cpu‖ / ‖x_cpu‖ over the results.</param>
/// <param name="Tolerance">Largest error that is taken for rounding.</param>
/// <param name="Milliseconds">Time of a call at a working size, or null where none was measured.</param>
/// <param name="GigabytesPerSecond">Bytes that must move at that size over its time, for operations bound by memory.</param>
/// <param name="TeraflopsPerSecond">Arithmetic at that size over its time, for products.</param>
internal sealed record KernelCheck(
    string Operation, double Error, double Tolerance, double? Milliseconds, double? GigabytesPerSecond, double? TeraflopsPerSecond)
{
    /// <summary>Whether the device agrees with the CPU.</summary>
    public bool Ok => Error <= Tolerance;
}

/// <summary>
/// Runs every operation on a device and on the CPU backend with the same numbers, and times it at a working size where that means
/// something. The copy and the large product come first: what the card can do is measured, not looked up.
/// </summary>
internal static class KernelDoctor
{
    private const double MeasuredMilliseconds = 50;

    /// <summary>One record an operation, as they are done.</summary>
    /// <param name="backend">The device to examine.</param>
    /// <param name="timings">Whether to measure; for a card, not for its emulation.</param>
    /// <exception cref="DeviceMemoryException">The working sizes do not fit.</exception>
    public static IEnumerable<KernelCheck> Run(IBackend backend, bool timings)
    {
        using var cpu = new CpuBackend();
        double tolerance = backend.StorageType == DType.BFloat16 ? 2e-2 : 1e-4;
        foreach (KernelDoctorCase operation in KernelDoctorCases.All)
        {
            double error = Error(operation, backend, cpu);
            double? milliseconds = timings ? Measure(operation, backend) : null;
            (double bytes, double products) = operation.Work(DoctorSizes.Working, backend.StorageType.Size());
            yield return new KernelCheck(
                operation.Name, error, tolerance, milliseconds,
                bytes > 0 && milliseconds is { } b ? bytes / b / 1e6 : null,
                products > 0 && milliseconds is { } f ? 2 * products / f / 1e9 : null);
        }
    }

    private static double Error(KernelDoctorCase operation, IBackend backend, CpuBackend cpu)
    {
        using var device = new DoctorBench(backend, backend.StorageType);
        using var host = new DoctorBench(cpu, backend.StorageType);
        float[][] actual = device.Results(operation, DoctorSizes.Small), expected = host.Results(operation, DoctorSizes.Small);
        return actual.Zip(expected, Distance).Max();
    }

    private static double Distance(float[] actual, float[] expected)
    {
        double difference = 0, size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow((double)actual[i] - expected[i], 2);
            size += (double)expected[i] * expected[i];
        }

        double distance = Math.Sqrt(difference / Math.Max(size, 1e-30));
        return double.IsNaN(distance) ? double.PositiveInfinity : distance;
    }

    private static double Measure(KernelDoctorCase operation, IBackend backend)
    {
        using var bench = new DoctorBench(backend, backend.StorageType);
        Action call = operation.Prepare(bench, DoctorSizes.Working).Call;
        call();
        backend.Synchronize();
        for (int repetitions = 1; ; repetitions *= 4)
        {
            var watch = Stopwatch.StartNew();
            for (int i = 0; i < repetitions; i++)
            {
                call();
            }

            backend.Synchronize();
            if (watch.Elapsed.TotalMilliseconds >= MeasuredMilliseconds)
                return watch.Elapsed.TotalMilliseconds / repetitions;
        }
    }
}

/// <summary>Sizes of a decoder's step.</summary>
/// <param name="Rows">T, tokens, in three sequences.</param>
/// <param name="Width">C.</param>
/// <param name="Inner">Columns of the MLP.</param>
/// <param name="Vocabulary">V.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key-value heads.</param>
/// <param name="HeadSize">D.</param>
internal sealed record DoctorSizes(int Rows, int Width, int Inner, int Vocabulary, int Heads, int KeyValueHeads, int HeadSize)
{
    /// <summary>Odd enough to have ragged ends everywhere; quick on the emulation.</summary>
    public static DoctorSizes Small { get; } = new(83, 72, 104, 301, 6, 3, 12);

    /// <summary>Llama-3.2-1B at 2048 tokens, with a chunk of its vocabulary.</summary>
    public static DoctorSizes Working { get; } = new(2048, 2048, 8192, 32064, 32, 8, 64);

    /// <summary>First rows of three sequences.</summary>
    public int[] Offsets => [0, Rows / 8, Rows / 2, Rows];

    /// <summary>Pairs of a query and a key that see each other, for one head.</summary>
    public double Pairs => Offsets.Skip(1).Zip(Offsets, (end, begin) => (end - begin) * (end - begin + 1.0) / 2).Sum();

    /// <summary>How an attention layer of these sizes is called.</summary>
    public AttentionShape Attention => new(Heads, KeyValueHeads, HeadSize, 1 / MathF.Sqrt(HeadSize));
}

/// <summary>One operation: how to call it at given sizes, and what it costs.</summary>
/// <param name="Name">Method, and what is particular about the call.</param>
/// <param name="Prepare">Makes the tensors and returns the call and the results it leaves.</param>
/// <param name="Work">Bytes that must move (0 for products) and multiplications (0 where memory is the bound), from the sizes
/// and the bytes of an element.</param>
internal sealed record KernelDoctorCase(
    string Name, Func<DoctorBench, DoctorSizes, (Action Call, Tensor[] Results)> Prepare,
    Func<DoctorSizes, int, (double Bytes, double Products)> Work);

/// <summary>Tensors on one backend, the same numbers on every one.</summary>
internal sealed class DoctorBench(IBackend backend, DType rounding) : IDisposable
{
    private readonly List<DeviceBuffer> _buffers = [];
    private int _drawn;

    public IBackend Backend => backend;

    /// <summary>Random numbers in (−1, 1) that both storage types hold.</summary>
    public Tensor Input(int rows, int columns, DType? type = null)
    {
        Tensor exact = Float32(rows, columns, (uint)++_drawn);
        return (type ?? backend.StorageType) == DType.Float32 ? exact : Narrow(exact);
    }

    /// <summary>Float32 random numbers.</summary>
    public Tensor Input32(int rows, int columns) => Input(rows, columns, DType.Float32);

    /// <summary>Zeros in storage type.</summary>
    public Tensor Output(int rows, int columns) => Output(rows, columns, backend.StorageType);

    /// <summary>Float32 zeros.</summary>
    public Tensor Output32(int rows, int columns) => Output(rows, columns, DType.Float32);

    /// <summary>A row of integers.</summary>
    public Tensor Integers(params int[] values)
    {
        Tensor tensor = Take(1, values.Length, DType.Int32);
        backend.Upload<int>(values, tensor);
        return tensor;
    }

    /// <summary>A row of <paramref name="count"/> integers from 0 to <paramref name="limit"/> − 1, with repetitions.</summary>
    public Tensor Ids(int count, int limit) =>
        Integers([.. Enumerable.Range(0, count).Select(t => (int)(t * 2654435761L % 1000003 % limit))]);

    /// <summary>Random numbers in (−1, 1) in 4 bits.</summary>
    public Tensor Quantized(int rows, int columns)
    {
        var values = new float[rows * columns];
        backend.Download<float>(Float32(rows, columns, (uint)++_drawn), values);
        Tensor tensor = Take(rows, columns, DType.NormalFloat4);
        backend.Upload<byte>(NormalFloat4.Quantize(values), tensor.Raw);
        return tensor;
    }

    /// <summary>A tensor in 8 bits: all codes in turn, scales in [0.5, 1.5).</summary>
    public BlockwiseTensor Blockwise(int rows, int columns)
    {
        Tensor codes = Take(rows, columns, DType.UInt8);
        var all = new byte[codes.Count];
        for (int i = 0; i < all.Length; i++)
        {
            all[i] = (byte)(i * 7);
        }

        backend.Upload<byte>(all, codes);
        int blocks = (int)BlockwiseTensor.ScalesOf(codes.Shape).Count;
        return new(codes, Numbers([.. Enumerable.Range(0, blocks).Select(i => 0.5f + (i % 16 / 16f))]));
    }

    /// <summary>A row of given numbers.</summary>
    public Tensor Numbers(params float[] values)
    {
        Tensor tensor = Take(1, values.Length, DType.Float32);
        backend.Upload<float>(values, tensor);
        return tensor;
    }

    /// <summary>Calls once and returns the results.</summary>
    public float[][] Results(KernelDoctorCase operation, DoctorSizes sizes)
    {
        (Action call, Tensor[] results) = operation.Prepare(this, sizes);
        call();
        return Array.ConvertAll(results, Values);
    }

    public void Dispose() => _buffers.ForEach(buffer => buffer.Dispose());

    private Tensor Output(int rows, int columns, DType type)
    {
        Tensor tensor = Take(rows, columns, type);
        backend.Fill(tensor, 0);
        return tensor;
    }

    private Tensor Float32(int rows, int columns, uint seed)
    {
        var values = new float[(long)rows * columns];
        uint state = seed * 2654435769u;
        for (int i = 0; i < values.Length; i++)
        {
            state = (state * 1664525u) + 1013904223u;
            float value = ((state >> 8) / (float)(1 << 23)) - 1;
            values[i] = rounding == DType.BFloat16
                ? BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(value) & unchecked((int)0xFFFF0000))
                : value;
        }

        Tensor tensor = Take(rows, columns, DType.Float32);
        backend.Upload<float>(values, tensor);
        return tensor;
    }

    private Tensor Narrow(Tensor exact)
    {
        Tensor tensor = Take(exact.Rows, exact.Columns, DType.BFloat16);
        backend.Copy(exact, tensor);
        return tensor;
    }

    private float[] Values(Tensor tensor)
    {
        if (tensor.DType == DType.Int32)
        {
            var integers = new int[tensor.Count];
            backend.Download<int>(tensor, integers);
            return Array.ConvertAll(integers, value => (float)value);
        }

        Tensor exact = tensor;
        if (tensor.DType == DType.BFloat16)
        {
            exact = Take(tensor.Rows, tensor.Columns, DType.Float32);
            backend.Copy(tensor, exact);
        }

        var values = new float[tensor.Count];
        backend.Download<float>(exact, values);
        return values;
    }

    private Tensor Take(int rows, int columns, DType type)
    {
        DeviceBuffer buffer = backend.Allocate(type.Bytes(new Shape(rows, columns)));
        _buffers.Add(buffer);
        return buffer.AsTensor(new Shape(rows, columns), type);
    }
}

using System.Globalization;
using System.Runtime.InteropServices;
using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Operations.Reference;
using Forgetting.Tensors;

namespace Forgetting.Operations;

/// <summary>An operation does not compute what it should.</summary>
/// <param name="message">Case, backend, and everything that is wrong.</param>
internal sealed class OperationFaultException(string message) : Exception(message);

/// <summary>
/// Runs one case on one backend. The plain version computes from the inputs as the backend stores them, so that what is compared is the
/// arithmetic and not the rounding of inputs. Beyond the results it checks that nothing outside the operands was written, that inputs kept
/// their bits, and that a second run gives the same bits as the first.
/// </summary>
internal static class OperationRunner
{
    // Float32: some hundred roundings of 6e-8 that mostly cancel. BFloat16 (half an ulp is 2e-3): a rounded
    // intermediate and the rounded result.
    private const double Float32Tolerance = 2e-5;
    private const double BFloat16Tolerance = 1e-2;

    // Before and behind each operand. 256 bytes keep the alignment that arenas give. What floating-point types read there is NaN, which not
    // even a factor of 0 hides; integers find a row far outside every table.
    private const int BandBytes = 256;
    private const byte FloatBand = 0xFF;
    private const byte IntegerBand = 0xA7;

    /// <summary>Runs <paramref name="operationCase"/> on <paramref name="backend"/> .</summary>
    /// <exception cref="OperationFaultException">A check fails.</exception>
    public static void Check(IBackend backend, OperationCase operationCase)
    {
        (DType[] types, double[][] values, byte[][] before) = Draw(backend, operationCase);
        byte[][] first = Run(backend, operationCase, types, before);
        byte[][] second = Run(backend, operationCase, types, before);

        double[][] expected = [.. values];
        operationCase.Expect(expected);

        List<string> faults = [];
        for (int i = 0; i < values.Length; i++)
        {
            Operand operand = operationCase.Operands[i];
            int start = StartOf(operationCase, i, types[i]), bytes = (int)types[i].Bytes(operand.Shape);
            CheckBand(faults, operand, first[i], before[i], 0, start, "before");
            CheckBand(faults, operand, first[i], before[i], start + bytes, first[i].Length, "behind");
            ReadOnlySpan<byte> data = first[i].AsSpan(start, bytes);
            if (operand.Role == OperandRole.Input)
            {
                if (!data.SequenceEqual(before[i].AsSpan(start, bytes)))
                    faults.Add($"{operand.Name} is an input and was changed");

                continue;
            }

            if (!data.SequenceEqual(second[i].AsSpan(start, bytes)))
                faults.Add($"{operand.Name} differs between two runs on the same inputs");

            Compare(faults, operand, types[i], Decoded(data, types[i]), expected[i]);
        }

        if (faults.Count > 0)
        {
            throw new OperationFaultException(
                $"{operationCase.Name} on {backend.Name} ({backend.StorageType}): {string.Join("; ", faults)}");
        }
    }

    /// <summary>The bytes of all operands after one call, and of what surrounds them; the same inputs as in <see cref="Check"/>.</summary>
    public static byte[][] Results(IBackend backend, OperationCase operationCase)
    {
        (DType[] types, _, byte[][] images) = Draw(backend, operationCase);
        return Run(backend, operationCase, types, images);
    }

    /// <summary>The nearest number that the type holds; ties go to the even one.</summary>
    public static double Stored(double value, DType type) => type switch
    {
        DType.BFloat16 => Decode(Encode(value)),
        DType.Float32 => (float)value,
        _ => value,
    };

    // Quantised tensors lie at aligned addresses: nothing makes parts of them.
    private static int StartOf(OperationCase operationCase, int operand, DType type) => type == DType.NormalFloat4
        ? BandBytes : BandBytes + ((operationCase.Shift + operationCase.Operands[operand].Shift) * type.Size());

    private static (DType[] Types, double[][] Values, byte[][] Images) Draw(IBackend backend, OperationCase operationCase)
    {
        DType[] types = [.. operationCase.Operands.Select(operand => operand.Type ?? backend.StorageType)];
        double[][] values = new double[types.Length][];
        byte[][] images = new byte[types.Length][];
        var random = new Random(Seed(operationCase.Name));
        for (int i = 0; i < values.Length; i++)
        {
            double[] drawn = operationCase.Operands[i].Values(random, values);
            if (drawn.Length != operationCase.Operands[i].Shape.Count)
            {
                throw new InvalidOperationException(
                    $"{operationCase.Name}: {drawn.Length} values for {operationCase.Operands[i].Name}, "
                    + $"expected {operationCase.Operands[i].Shape.Count}");
            }

            DType type = types[i];
            int start = StartOf(operationCase, i, type);
            if (type == DType.NormalFloat4)
            {
                byte[] quantized = NormalFloat4.Quantize(Array.ConvertAll(drawn, value => (float)value));
                values[i] = ReferenceQuantization.NormalFloat4(quantized, drawn.Length);
                images[i] = Surrounded(quantized, start);
            }
            else
            {
                values[i] = Array.ConvertAll(drawn, value => Stored(value, type));
                images[i] = Image(values[i], type, start);
            }
        }

        return (types, values, images);
    }

    private static byte[][] Run(IBackend backend, OperationCase operationCase, DType[] types, byte[][] images)
    {
        var buffers = new DeviceBuffer[images.Length];
        try
        {
            var tensors = new Tensor[images.Length];
            for (int i = 0; i < images.Length; i++)
            {
                buffers[i] = backend.Allocate(images[i].Length);
                backend.Upload<int>(MemoryMarshal.Cast<byte, int>(images[i]), Whole(i));
                nint start = buffers[i].Pointer + StartOf(operationCase, i, types[i]);
                tensors[i] = new Tensor(start, operationCase.Operands[i].Shape, types[i]);
            }

            operationCase.Run(backend, tensors);

            byte[][] results = new byte[images.Length][];
            for (int i = 0; i < images.Length; i++)
            {
                results[i] = new byte[images[i].Length];
                backend.Download(Whole(i), MemoryMarshal.Cast<byte, int>(results[i].AsSpan()));
            }

            return results;
        }
        finally
        {
            foreach (DeviceBuffer? buffer in buffers)
            {
                buffer?.Dispose();
            }
        }

        Tensor Whole(int i) => buffers[i].AsTensor(new Shape(images[i].Length / sizeof(int)), DType.Int32);
    }

    private static byte[] Surrounded(byte[] tensor, int start, byte band = FloatBand)
    {
        byte[] image = new byte[(start + tensor.Length + BandBytes + 3) / 4 * 4];
        image.AsSpan().Fill(band);
        tensor.CopyTo(image, start);
        return image;
    }

    private static byte[] Image(double[] values, DType type, int start)
    {
        byte[] tensor = new byte[values.Length * type.Size()];
        Span<byte> data = tensor;
        for (int i = 0; i < values.Length; i++)
        {
            switch (type)
            {
                case DType.Float32:
                    MemoryMarshal.Write(data[(4 * i)..], (float)values[i]);
                    break;
                case DType.BFloat16:
                    MemoryMarshal.Write(data[(2 * i)..], Encode(values[i]));
                    break;
                case DType.UInt8:
                    data[i] = (byte)values[i];
                    break;
                default:
                    MemoryMarshal.Write(data[(4 * i)..], (int)values[i]);
                    break;
            }
        }

        return Surrounded(tensor, start, type == DType.Int32 ? IntegerBand : FloatBand);
    }

    private static double[] Decoded(ReadOnlySpan<byte> data, DType type)
    {
        double[] values = new double[data.Length / type.Size()];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = type switch
            {
                DType.Float32 => MemoryMarshal.Read<float>(data[(4 * i)..]),
                DType.BFloat16 => Decode(MemoryMarshal.Read<ushort>(data[(2 * i)..])),
                DType.UInt8 => data[i],
                _ => MemoryMarshal.Read<int>(data[(4 * i)..]),
            };
        }

        return values;
    }

    private static ushort Encode(double value)
    {
        uint bits = BitConverter.SingleToUInt32Bits((float)value);
        return double.IsNaN(value) ? (ushort)0x7FC0 : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private static double Decode(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    private static void CheckBand(List<string> faults, Operand operand, byte[] after, byte[] before, int start, int end, string where)
    {
        for (int i = start; i < end; i++)
        {
            if (after[i] != before[i])
            {
                int distance = where == "behind" ? i - start : end - i;
                faults.Add($"memory {where} {operand.Name} was written, {distance} bytes away");
                return;
            }
        }
    }

    private static void Compare(List<string> faults, Operand operand, DType type, double[] actual, double[] expected)
    {
        double tolerance = operand.Loosen * (type == DType.BFloat16 ? BFloat16Tolerance * operand.LoosenBFloat16 : Float32Tolerance);
        double least = operand.Scale ?? RootMeanSquare(expected), scale = least;
        int columns = operand.Shape.Columns;
        int wrong = 0, worst = -1;
        double worstExcess = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            if (operand.ScaleByRow && i % columns == 0)
                scale = Math.Max(least, RootMeanSquare(expected.AsSpan(i, columns)));

            if (actual[i].Equals(expected[i]))
                continue;

            double allowed = tolerance * Math.Max(Math.Abs(expected[i]), scale);
            double error = Math.Abs(actual[i] - expected[i]);
            if (operand.Loosen > 0 && error <= allowed)
                continue;

            // A NaN or infinity on one side counts as infinitely wrong.
            double excess = double.IsFinite(error) && allowed > 0 ? error / allowed : double.PositiveInfinity;
            wrong++;
            if (worst < 0 || excess > worstExcess)
                (worst, worstExcess) = (i, excess);
        }

        if (wrong > 0)
        {
            (int row, int column) = Math.DivRem(worst, operand.Shape.Columns);
            faults.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"{wrong} of {expected.Length} elements of {operand.Name} {operand.Shape} are wrong, worst [{row}, "
                    + $"{column}] = {actual[worst]:G9} for {expected[worst]:G9} ({worstExcess:G3} × the tolerance)"));
        }
    }

    private static double RootMeanSquare(ReadOnlySpan<double> values)
    {
        double sum = 0;
        foreach (double value in values)
            sum += value * value;

        return Math.Sqrt(sum / Math.Max(1, values.Length));
    }

    // FNV-1a: the same numbers in every process.
    private static int Seed(string name) => (int)name.Aggregate(2166136261, (hash, letter) => unchecked((hash ^ letter) * 16777619));
}

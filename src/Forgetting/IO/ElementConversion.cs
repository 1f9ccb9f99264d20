using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Forgetting.IO;

/// <summary>Conversions between the element types of files and those of memory. Narrowing rounds to nearest even.</summary>
internal static class ElementConversion
{
    /// <summary>Decodes <paramref name="source"/>, elements of <paramref name="type"/>, exactly.</summary>
    public static void ToSingle(ReadOnlySpan<byte> source, StoredType type, Span<float> destination)
    {
        switch (type)
        {
            case StoredType.F32:
                source.CopyTo(MemoryMarshal.AsBytes(destination));
                break;
            case StoredType.F16:
                TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(source), destination);
                break;
            case StoredType.BF16:
                FromBFloat16(MemoryMarshal.Cast<byte, ushort>(source), destination);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "not a weight type");
        }
    }

    /// <summary>Encodes to elements of <paramref name="type"/>.</summary>
    public static void FromSingle(ReadOnlySpan<float> source, StoredType type, Span<byte> destination)
    {
        switch (type)
        {
            case StoredType.F32:
                MemoryMarshal.AsBytes(source).CopyTo(destination);
                break;
            case StoredType.F16:
                TensorPrimitives.ConvertToHalf(source, MemoryMarshal.Cast<byte, Half>(destination));
                break;
            case StoredType.BF16:
                ToBFloat16(source, MemoryMarshal.Cast<byte, ushort>(destination));
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "not a weight type");
        }
    }

    /// <summary>A bfloat16 is the upper half of a binary32.</summary>
    public static void FromBFloat16(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        Span<uint> bits = MemoryMarshal.Cast<float, uint>(destination)[..source.Length];
        int i = 0;
        for (; i <= source.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Create(source[i..]));
            (low << 16).CopyTo(bits[i..]);
            (high << 16).CopyTo(bits[(i + Vector256<uint>.Count)..]);
        }

        for (; i < source.Length; i++)
        {
            bits[i] = (uint)source[i] << 16;
        }
    }

    /// <summary>
    /// Rounds to bfloat16, nearest even. A NaN keeps its upper bits, so that one that came from bfloat16 goes back unchanged.
    /// </summary>
    public static void ToBFloat16(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        ReadOnlySpan<uint> bits = MemoryMarshal.Cast<float, uint>(source);
        destination = destination[..bits.Length];
        int i = 0;
        for (; i <= bits.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            Vector256<uint> low = Round(Vector256.Create(bits[i..]));
            Vector256<uint> high = Round(Vector256.Create(bits[(i + Vector256<uint>.Count)..]));
            Vector256.Narrow(low, high).CopyTo(destination[i..]);
        }

        for (; i < bits.Length; i++)
        {
            destination[i] = (ushort)Round(Vector256.CreateScalar(bits[i])).ToScalar();
        }
    }

    private static Vector256<uint> Round(Vector256<uint> bits)
    {
        Vector256<uint> upper = bits >>> 16;
        Vector256<uint> rounded = (bits + Vector256.Create(0x7FFFu) + (upper & Vector256<uint>.One)) >>> 16;

        // Cut off, a NaN whose payload lies in the lower half would turn into infinity: it gets the quiet bit.
        Vector256<uint> emptied = Vector256.Equals(upper & Vector256.Create(0x7Fu), Vector256<uint>.Zero) & Vector256.Create(0x40u);
        Vector256<uint> isNaN = Vector256.GreaterThan(bits & Vector256.Create(0x7FFF_FFFFu), Vector256.Create(0x7F80_0000u));
        return Vector256.ConditionalSelect(isNaN, upper | emptied, rounded);
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Forgetting.Backends.Cpu;

/// <summary><see cref="Philox"/> for eight counters at a time.</summary>
internal static unsafe class PhiloxLanes
{
    /// <summary>Words that are drawn together.</summary>
    public const int Words = 32;

    /// <summary>The words of the counters (x, y, z, 0), (x, y + 1, z, 0), … one after the other.</summary>
    /// <param name="bits">Receives <see cref="Words"/>.</param>
    public static void Draw(ulong key, uint x, uint y, uint z, uint* bits)
    {
        if (!Avx2.IsSupported)
        {
            for (uint i = 0; i < Words / 4; i++)
            {
                (bits[4 * i], bits[(4 * i) + 1], bits[(4 * i) + 2], bits[(4 * i) + 3]) = Philox.Words(key, x, y + i, z, 0);
            }

            return;
        }

        // Philox.Words with a counter in each lane.
        Vector256<uint> a = Vector256.Create(x);
        Vector256<uint> b = Vector256.Create(y) + Vector256<uint>.Indices;
        Vector256<uint> c = Vector256.Create(z);
        Vector256<uint> d = Vector256<uint>.Zero;
        uint key0 = (uint)key, key1 = (uint)(key >> 32);
        for (int round = 0; round < 10; round++)
        {
            (Vector256<uint> highA, Vector256<uint> lowA) = Multiply(a, Philox.MultiplierA);
            (Vector256<uint> highC, Vector256<uint> lowC) = Multiply(c, Philox.MultiplierB);
            (a, b, c, d) = (highC ^ b ^ Vector256.Create(key0), lowC, highA ^ d ^ Vector256.Create(key1), lowA);
            key0 += Philox.WeylA;
            key1 += Philox.WeylB;
        }

        // From one word of all counters to all words of one counter.
        Vector256<uint> ab0 = Avx2.UnpackLow(a, b), ab1 = Avx2.UnpackHigh(a, b), cd0 = Avx2.UnpackLow(c, d),
            cd1 = Avx2.UnpackHigh(c, d);
        Vector256<uint> q0 = Avx2.UnpackLow(ab0.AsUInt64(), cd0.AsUInt64()).AsUInt32(),
            q1 = Avx2.UnpackHigh(ab0.AsUInt64(), cd0.AsUInt64()).AsUInt32();
        Vector256<uint> q2 = Avx2.UnpackLow(ab1.AsUInt64(), cd1.AsUInt64()).AsUInt32(),
            q3 = Avx2.UnpackHigh(ab1.AsUInt64(), cd1.AsUInt64()).AsUInt32();
        Avx2.Permute2x128(q0, q1, 0x20).Store(bits);
        Avx2.Permute2x128(q2, q3, 0x20).Store(bits + 8);
        Avx2.Permute2x128(q0, q1, 0x31).Store(bits + 16);
        Avx2.Permute2x128(q2, q3, 0x31).Store(bits + 24);
    }

    /// <summary>High and low words of eight 32 × 32-bit products.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<uint> High, Vector256<uint> Low) Multiply(Vector256<uint> value, uint factor)
    {
        Vector256<uint> factors = Vector256.Create(factor);
        Vector256<ulong> even = Avx2.Multiply(value, factors);
        Vector256<ulong> odd = Avx2.Multiply((value.AsUInt64() >> 32).AsUInt32(), factors);
        Vector256<uint> high = Avx2.Blend((even >> 32).AsUInt32(), odd.AsUInt32(), 0b10101010);
        Vector256<uint> low = Avx2.Blend(even.AsUInt32(), (odd << 32).AsUInt32(), 0b10101010);
        return (high, low);
    }
}

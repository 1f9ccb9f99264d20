using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Eight floats at a time, with loads and stores of fewer at the end of a row: an element's value never depends on where a row ends.
/// </summary>
internal static unsafe class Lanes
{
    /// <summary>Floats in a vector.</summary>
    public const int Count = 8;

    /// <summary>The first <paramref name="lanes"/> floats at <paramref name="source"/>, then zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* source, int lanes) => lanes == Count ? Vector256.Load(source) : LoadPartial(source, lanes);

    /// <summary>Stores the first <paramref name="lanes"/> floats.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> value, float* destination, int lanes)
    {
        if (lanes == Count)
        {
            value.Store(destination);
        }
        else
        {
            StorePartial(value, destination, lanes);
        }
    }

    /// <summary>Asks for a line of memory that will be wanted soon; it may lie beyond what there is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Fetch(float* line)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(line);
    }

    /// <summary>a·b + c, rounded once where the processor can.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplyAdd(Vector256<float> a, Vector256<float> b, Vector256<float> c) =>
        SplitByRuntime ? Avx.Add(Avx.Multiply(a, b), c) : Vector256.MultiplyAddEstimate(a, b, c);

    /// <summary>The value in all lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Repeat(float* value) =>
        SplitByRuntime ? Avx.BroadcastScalarToVector256(value) : Vector256.Create(*value);

    // Without AVX2 the runtime computes each half of a Vector256 by itself, although AVX would do for floats.
    private static bool SplitByRuntime => Avx.IsSupported && !Vector256.IsHardwareAccelerated;

    /// <summary>The nearest bfloat16 of each lane, ties to the even one, as Float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> RoundToBFloat16(Vector256<float> value)
    {
        Vector256<uint> bits = value.AsUInt32();
        Vector256<uint> rounded =
            (bits + Vector256.Create(0x7FFFu) + ((bits >>> 16) & Vector256<uint>.One)) & Vector256.Create(0xFFFF0000u);

        // A NaN stays one: rounding could carry its bits into infinity, and what is cut off could be all that it has.
        Vector256<float> number = Vector256.Equals(value, value);
        Vector256<uint> quiet = (bits | Vector256.Create(0x00400000u)) & Vector256.Create(0xFFFF0000u);
        return Vector256.ConditionalSelect(number, rounded.AsSingle(), quiet.AsSingle());
    }

    /// <summary>Rounds <paramref name="count"/> floats to bfloat16; source and destination may be the same.</summary>
    public static void RoundToBFloat16(float* source, float* destination, long count)
    {
        long i = 0;
        for (; i <= count - Count; i += Count)
        {
            RoundToBFloat16(Vector256.Load(source + i)).Store(destination + i);
        }

        if (i < count)
            Store(RoundToBFloat16(Load(source + i, (int)(count - i))), destination + i, (int)(count - i));
    }

    /// <summary>The nearest bfloat16 of each lane, ties to the even one, in the upper half of the lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> RoundToBFloat16(Vector512<float> value)
    {
        Vector512<uint> bits = value.AsUInt32();
        Vector512<uint> rounded = bits + Vector512.Create(0x7FFFu) + ((bits >>> 16) & Vector512<uint>.One);
        Vector512<uint> number = Vector512.Equals(value, value).AsUInt32();
        return Vector512.ConditionalSelect(number, rounded, bits | Vector512.Create(0x00400000u)) & Vector512.Create(0xFFFF0000u);
    }

    /// <summary>The nearest bfloat16 of <paramref name="count"/> floats.</summary>
    public static void NarrowToBFloat16(float* source, ushort* destination, long count)
    {
        // The processor's own fetching ahead ends with every page, and the rows of a product are pieces of few pages.
        const int Ahead = 384;
        long i = 0;
        for (; i <= count - (4 * Count); i += 4 * Count)
        {
            Fetch(source + i + Ahead);
            Fetch(source + i + Ahead + (2 * Count));
            Vector512<uint> low = RoundToBFloat16(Vector512.Load(source + i)) >>> 16;
            Vector512<uint> high = RoundToBFloat16(Vector512.Load(source + i + (2 * Count))) >>> 16;
            Vector512.Narrow(low, high).Store(destination + i);
        }

        for (; i < count; i++)
        {
            destination[i] = NarrowToBFloat16(source[i]);
        }
    }

    /// <summary>The nearest bfloat16.</summary>
    public static ushort NarrowToBFloat16(float value) => (ushort)(RoundToBFloat16(Vector256.Create(value)).AsUInt32().ToScalar() >>> 16);

    /// <summary>
    /// Σ of a term over i &lt; count, in four interleaved partial sums: the order depends on the count alone, not on addresses.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum<T>(T term, int count)
        where T : struct, ITerm
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        int i = 0;
        for (; i <= count - (4 * Count); i += 4 * Count)
        {
            s0 = term.AddTo(s0, i, Count);
            s1 = term.AddTo(s1, i + Count, Count);
            s2 = term.AddTo(s2, i + (2 * Count), Count);
            s3 = term.AddTo(s3, i + (3 * Count), Count);
        }

        for (; i <= count - Count; i += Count)
        {
            s0 = term.AddTo(s0, i, Count);
        }

        if (i < count)
            s1 = Add(s1, term.AddTo(Vector256<float>.Zero, i, count - i), count - i);

        return Vector256.Sum(s0 + s1 + (s2 + s3));

        // Lanes past the end hold the term of a zero, which need not be zero.
        static Vector256<float> Add(Vector256<float> sum, Vector256<float> value, int lanes)
        {
            float* kept = stackalloc float[Count];
            Vector256<float>.Zero.Store(kept);
            StorePartial(value, kept, lanes);
            return sum + Vector256.Load(kept);
        }
    }

    /// <summary>destination += factor·source.</summary>
    public static void AddScaled(float* destination, float* source, float factor, int count)
    {
        var scale = Vector256.Create(factor);
        int i = 0;
        for (; i <= count - Count; i += Count)
        {
            MultiplyAdd(Vector256.Load(source + i), scale, Vector256.Load(destination + i)).Store(destination + i);
        }

        if (i < count)
            Store(MultiplyAdd(Load(source + i, count - i), scale, Load(destination + i, count - i)), destination + i, count - i);
    }

    /// <summary>destination += factor·source, both factors rounded to bfloat16.</summary>
    public static void AddScaledRounded(float* destination, float* source, float factor, int count)
    {
        Vector256<float> scale = RoundToBFloat16(Vector256.Create(factor));
        for (int i = 0; i < count; i += Count)
        {
            int lanes = Math.Min(Count, count - i);
            Store(MultiplyAdd(RoundToBFloat16(Load(source + i, lanes)), scale, Load(destination + i, lanes)), destination + i, lanes);
        }
    }

    /// <summary>destination = factor·source; may be the same.</summary>
    public static void Scale(float* source, float factor, float* destination, int count)
    {
        int i = 0;
        for (; i <= count - Count; i += Count)
        {
            (Vector256.Load(source + i) * factor).Store(destination + i);
        }

        if (i < count)
            Store(Load(source + i, count - i) * factor, destination + i, count - i);
    }

    /// <summary>Σ a·b.</summary>
    public static float Dot(float* a, float* b, int count) => Sum(new Product(a, b), count);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector256<float> LoadPartial(float* source, int lanes)
    {
        float* padded = stackalloc float[Count];
        Vector256<float>.Zero.Store(padded);
        for (int i = 0; i < lanes; i++)
        {
            padded[i] = source[i];
        }

        return Vector256.Load(padded);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void StorePartial(Vector256<float> value, float* destination, int lanes)
    {
        for (int i = 0; i < lanes; i++)
        {
            destination[i] = value.GetElement(i);
        }
    }

    private readonly struct Product(float* a, float* b) : ITerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<float> AddTo(Vector256<float> sum, int i, int lanes) => MultiplyAdd(Load(a + i, lanes), Load(b + i, lanes), sum);
    }
}

/// <summary>A term of a sum over a row.</summary>
internal interface ITerm
{
    /// <summary>Adds terms i … i + lanes − 1 to the lanes of a partial sum.</summary>
    Vector256<float> AddTo(Vector256<float> sum, int i, int lanes);
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Copies a part of a matrix into panels, the order in which the micro-kernel reads: panel p holds lines p·width … p·width + width − 1
/// (rows of A or columns of B), for each k the <c>width</c> values side by side. Missing lines of the last panel are zeros.
/// </summary>
internal static unsafe class Panels
{
    private const int AdjacentDepth = 16;

    // Floats between rows, a page, from where on the processor cannot guess where the next piece of a row begins: then those of the next
    // depth are fetched, past the end of the matrix in vain.
    private const int Far = 1024;

    /// <summary>The next multiple.</summary>
    public static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    /// <summary>Floats that <paramref name="lines"/> lines of <paramref name="k"/> values take.</summary>
    public static long Size(int lines, int width, int k) => (long)RoundUp(lines, width) * k;

    /// <summary>Packs <paramref name="lines"/> lines.</summary>
    /// <param name="source">Element (line 0, k 0); element (i, k) is at source[i·stride + k], or source[k·stride + i] if
    /// <paramref name="linesAdjacent"/>.</param>
    public static void Pack(float* source, long stride, bool linesAdjacent, int lines, int k, int width, float* destination)
    {
        if (!linesAdjacent)
        {
            for (int first = 0; first < lines; first += width, destination += (long)width * k)
            {
                PackAcross(source + (first * stride), stride, Math.Min(width, lines - first), k, width, destination);
            }

            return;
        }

        // Cache lines and pages of the source hold several panels' values: a few k of all panels while they are near.
        for (int start = 0; start < k; start += AdjacentDepth)
        {
            int depth = Math.Min(AdjacentDepth, k - start);
            float* from = source + (start * stride);
            float* to = destination + ((long)start * width);
            for (int first = 0; first < lines; first += width, to += (long)width * k)
            {
                PackAdjacent(from + first, stride, Math.Min(width, lines - first), depth, width, to);
            }
        }
    }

    /// <summary>Turns the rows of an 8 × 8 block into its columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Transpose(
        ref Vector256<float> r0, ref Vector256<float> r1, ref Vector256<float> r2, ref Vector256<float> r3,
        ref Vector256<float> r4, ref Vector256<float> r5, ref Vector256<float> r6, ref Vector256<float> r7)
    {
        Vector256<float> a0 = Avx.UnpackLow(r0, r1), a1 = Avx.UnpackHigh(r0, r1), a2 = Avx.UnpackLow(r2, r3), a3 = Avx.UnpackHigh(r2, r3);
        Vector256<float> a4 = Avx.UnpackLow(r4, r5), a5 = Avx.UnpackHigh(r4, r5), a6 = Avx.UnpackLow(r6, r7), a7 = Avx.UnpackHigh(r6, r7);
        Vector256<float> b0 = Avx.Shuffle(a0, a2, 0x44), b1 = Avx.Shuffle(a0, a2, 0xEE), b2 = Avx.Shuffle(a1, a3, 0x44),
            b3 = Avx.Shuffle(a1, a3, 0xEE);
        Vector256<float> b4 = Avx.Shuffle(a4, a6, 0x44), b5 = Avx.Shuffle(a4, a6, 0xEE), b6 = Avx.Shuffle(a5, a7, 0x44),
            b7 = Avx.Shuffle(a5, a7, 0xEE);
        r0 = Avx.Permute2x128(b0, b4, 0x20);
        r1 = Avx.Permute2x128(b1, b5, 0x20);
        r2 = Avx.Permute2x128(b2, b6, 0x20);
        r3 = Avx.Permute2x128(b3, b7, 0x20);
        r4 = Avx.Permute2x128(b0, b4, 0x31);
        r5 = Avx.Permute2x128(b1, b5, 0x31);
        r6 = Avx.Permute2x128(b2, b6, 0x31);
        r7 = Avx.Permute2x128(b3, b7, 0x31);
    }

    private static void PackAdjacent(float* source, long stride, int count, int k, int width, float* destination)
    {
        for (; k > 0; k--, source += stride, destination += width)
        {
            if (stride >= Far)
                Lanes.Fetch(source + (AdjacentDepth * stride));

            int i = 0;
            for (; i <= count - 8; i += 8)
            {
                Vector256.Load(source + i).Store(destination + i);
            }

            if (i <= count - 4)
            {
                Vector128.Load(source + i).Store(destination + i);
                i += 4;
            }

            if (i <= count - 2)
            {
                Vector64.Load(source + i).Store(destination + i);
                i += 2;
            }

            for (; i < count; i++)
            {
                destination[i] = source[i];
            }

            for (; i < width; i++)
            {
                destination[i] = 0;
            }
        }
    }

    private static void PackAcross(float* source, long stride, int count, int k, int width, float* destination)
    {
        for (int i = 0; i < width; i += 8, source += 8 * stride)
        {
            int rows = Math.Clamp(count - i, 0, 8);
            int kept = Math.Min(8, width - i);
            int done = Avx.IsSupported && rows > 0 ? PackBlocks(source, stride, rows, k, width, kept, destination + i) : 0;
            for (int j = done; j < k; j++)
            {
                for (int r = 0; r < kept; r++)
                {
                    destination[((long)j * width) + i + r] = r < rows ? source[(r * stride) + j] : 0;
                }
            }
        }
    }

    /// <summary>8 × 8 blocks through registers; returns how many k are done.</summary>
    private static int PackBlocks(float* source, long stride, int rows, int k, int width, int kept, float* destination)
    {
        float* padding = stackalloc float[8];
        Vector256<float>.Zero.Store(padding);
        int j = 0;
        for (; j <= k - 8; j += 8, source += 8)
        {
            Vector256<float> r0 = Vector256.Load(source);
            Vector256<float> r1 = Vector256.Load(rows > 1 ? source + stride : padding);
            Vector256<float> r2 = Vector256.Load(rows > 2 ? source + (2 * stride) : padding);
            Vector256<float> r3 = Vector256.Load(rows > 3 ? source + (3 * stride) : padding);
            Vector256<float> r4 = Vector256.Load(rows > 4 ? source + (4 * stride) : padding);
            Vector256<float> r5 = Vector256.Load(rows > 5 ? source + (5 * stride) : padding);
            Vector256<float> r6 = Vector256.Load(rows > 6 ? source + (6 * stride) : padding);
            Vector256<float> r7 = Vector256.Load(rows > 7 ? source + (7 * stride) : padding);
            Transpose(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7);
            Store(r0, destination, kept);
            Store(r1, destination += width, kept);
            Store(r2, destination += width, kept);
            Store(r3, destination += width, kept);
            Store(r4, destination += width, kept);
            Store(r5, destination += width, kept);
            Store(r6, destination += width, kept);
            Store(r7, destination += width, kept);
            destination += width;
        }

        return j;
    }

    /// <summary>Stores the first 8, 6 or 4 lanes: what the widths 6, 8, 12, 16 and 32 leave.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<float> value, float* destination, int kept)
    {
        if (kept == 8)
        {
            value.Store(destination);
            return;
        }

        value.GetLower().Store(destination);
        if (kept == 6)
            value.GetUpper().GetLower().Store(destination + 4);
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Forgetting.Backends.Cpu;

/// <summary>Rounds Float32 matrices to bfloat16, to nearest even, on the way into the order in which a product reads them.</summary>
internal static unsafe class BFloat16Packing
{
    /// <summary>Terms of a sum that <see cref="Pairs"/> keeps together.</summary>
    public const int Depth = 32;

    private const int Wide = 16;
    private const int Lines = 8;

    /// <summary>Rows of k one behind the other: destination[i·k + j] = source[i·stride + j].</summary>
    public static void Rows(float* source, long stride, int rows, int k, ushort* destination)
    {
        for (int i = 0; i < rows; i++, source += stride, destination += k)
        {
            Lanes.NarrowToBFloat16(source, destination, k);
        }
    }

    /// <summary>Columns one behind the other: destination[i·filled + j] = source[j·stride + i], zeros for k ≤ j &lt; filled.</summary>
    /// <param name="filled">A multiple of 16.</param>
    public static void Columns(float* source, long stride, int columns, int k, int filled, ushort* destination)
    {
        uint* pairs = stackalloc uint[Lines * Wide];

        // Sixteen terms of all columns at a time: the source is read in runs as long as they can be.
        int wide = Avx.IsSupported ? columns / Wide * Wide : 0;
        for (int j = 0; j < filled; j += Wide)
        {
            int terms = Math.Clamp(k - j, 0, Wide);
            float* from = source + (j * stride);
            ushort* to = destination + j;
            for (int i = 0; i < wide; i += Wide)
            {
                ColumnBlock(from + i, stride, terms, pairs, to + ((long)i * filled), filled);
            }

            for (int i = wide; i < columns; i++)
            {
                for (int t = 0; t < Wide; t++)
                {
                    to[((long)i * filled) + t] = t < terms ? Lanes.NarrowToBFloat16(from[(t * stride) + i]) : (ushort)0;
                }
            }
        }
    }

    /// <summary>
    /// B [k, n] as matrix units read it: panels of <paramref name="width"/> columns, in them blocks of <see cref="Depth"/>
    /// terms, in those the terms in pairs, column by column. Zeros fill columns up to a whole panel and terms up to the last
    /// block of <paramref name="filled"/>.
    /// </summary>
    /// <param name="source">Element (j, i) is at source[j·stride + i], or source[i·stride + j] with <paramref name="transposed"/>.</param>
    /// <param name="panel">Elements from one panel to the next, which may hold more terms than these:
    /// <see cref="PanelSize"/> of all of them.</param>
    public static void Pairs(
        float* source, long stride, bool transposed, int n, int k, int filled, int width, ushort* destination, long panel)
    {
        int size = PanelSize(filled, width);
        int whole = k / Depth * Depth;
        for (int column = 0; column < n; column += width)
        {
            int start = n - column < width ? 0 : whole * width;
            new Span<ushort>(destination + (column / width * panel) + start, size - start).Clear();
        }

        int wide = !transposed ? PairsOfRows(source, stride, n, k, width, destination, panel)
            : Avx.IsSupported ? PairsOfColumns(source, stride, n, whole, width, destination, panel)
            : 0;
        for (int i = 0; i < n; i++)
        {
            ushort* line = destination + (i / width * panel) + (2 * (i % width));
            for (int j = i >= wide ? 0 : transposed ? whole : k; j < k; j++)
            {
                line[(j / 2 * 2 * width) + (j % 2)] =
                    Lanes.NarrowToBFloat16(transposed ? source[(i * stride) + j] : source[(j * stride) + i]);
            }
        }
    }

    /// <summary>Elements of a panel of <see cref="Pairs"/>.</summary>
    public static int PanelSize(int k, int width) => Panels.RoundUp(k, Depth) * width;

    /// <summary>Bytes that <see cref="Pairs"/> writes.</summary>
    public static long PairsBytes(int n, int k, int width) => sizeof(ushort) * (long)Panels.RoundUp(n, width) / width * PanelSize(k, width);

    // 16 columns of up to 16 rows.
    private static void ColumnBlock(float* source, long stride, int terms, uint* pairs, ushort* destination, int filled)
    {
        for (int j = 0; j < Wide; j += 2)
        {
            // The rows that come next lie too far apart for the processor to guess.
            Lanes.Fetch(source + ((j + Wide) * stride));
            Lanes.Fetch(source + ((j + Wide + 1) * stride));
            Pair(source, stride, terms, j).Store(pairs + (j / 2 * Wide));
        }

        StoreTransposed(pairs, Wide, destination, filled);
        StoreTransposed(pairs + Lines, Wide, destination + (Lines * (long)filled), filled);
    }

    // Whole vectors of columns, the source from its beginning to its end; returns how many columns are done.
    private static int PairsOfRows(float* source, long stride, int columns, int terms, int width, ushort* destination, long panel)
    {
        int wide = columns / Wide * Wide;
        for (int j = 0; j < terms; j += 2)
        {
            ushort* to = destination + (j * width);
            for (int column = 0; column < wide; column += width, to += panel)
            {
                int end = Math.Min(column + width, wide);
                for (int i = column; i < end; i += Wide)
                {
                    Pair(source + i, stride, terms, j).Store((uint*)to + i - column);
                }
            }
        }

        return wide;
    }

    // Eight columns at a time, whole blocks of terms; returns how many columns are done.
    private static int PairsOfColumns(float* source, long stride, int columns, int terms, int width, ushort* destination, long panel)
    {
        uint* pairs = stackalloc uint[Lines * Lines];
        int wide = columns / Lines * Lines;
        for (int i = 0; i < wide; i += Lines, source += Lines * stride)
        {
            ushort* to = destination + (i / width * panel) + (2 * (i % width));
            for (int j = 0; j < terms; j += Wide)
            {
                for (int line = 0; line < Lines; line++)
                {
                    Lanes.Fetch(source + ((line + Lines) * stride) + j);
                    Vector512<uint> bits = Lanes.RoundToBFloat16(Vector512.Load(source + (line * stride) + j)) >>> 16;
                    Vector256.Narrow(bits.GetLower(), bits.GetUpper()).AsUInt32().Store(pairs + (line * Lines));
                }

                StoreTransposed(pairs, Lines, to + (j * width), 2 * width);
            }
        }

        return wide;
    }

    // Terms j and j + 1 of 16 columns, the first in the lower halves; terms past the last are zeros.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Pair(float* source, long stride, int terms, int j)
    {
        Vector512<uint> first = j < terms ? Lanes.RoundToBFloat16(Vector512.Load(source + (j * stride))) : Vector512<uint>.Zero;
        Vector512<uint> second = j + 1 < terms ? Lanes.RoundToBFloat16(Vector512.Load(source + ((j + 1) * stride))) : Vector512<uint>.Zero;
        return (first >>> 16) | second;
    }

    // Eight lines of eight pairs, apart by what is said, to eight lines of the other direction.
    private static void StoreTransposed(uint* pairs, int apart, ushort* destination, long stride)
    {
        float* p = (float*)pairs;
        Vector256<float> r0 = Vector256.Load(p), r1 = Vector256.Load(p + apart), r2 = Vector256.Load(p + (2 * apart)),
            r3 = Vector256.Load(p + (3 * apart));
        p += 4 * apart;
        Vector256<float> r4 = Vector256.Load(p), r5 = Vector256.Load(p + apart), r6 = Vector256.Load(p + (2 * apart)),
            r7 = Vector256.Load(p + (3 * apart));
        Panels.Transpose(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7);
        r0.AsUInt16().Store(destination);
        r1.AsUInt16().Store(destination += stride);
        r2.AsUInt16().Store(destination += stride);
        r3.AsUInt16().Store(destination += stride);
        r4.AsUInt16().Store(destination += stride);
        r5.AsUInt16().Store(destination += stride);
        r6.AsUInt16().Store(destination += stride);
        r7.AsUInt16().Store(destination + stride);
    }
}

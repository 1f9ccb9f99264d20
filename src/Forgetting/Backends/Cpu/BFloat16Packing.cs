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

    /// <summary>Rows one behind the other: destination[i·filled + j] = source[i·stride + j], zeros for k ≤ j &lt; filled.</summary>
    public static void Rows(float* source, long stride, int rows, int k, int filled, ushort* destination)
    {
        for (int i = 0; i < rows; i++, source += stride, destination += filled)
        {
            Lanes.NarrowToBFloat16(source, destination, k);
            new Span<ushort>(destination + k, filled - k).Clear();
        }
    }

    /// <summary>Columns one behind the other: destination[i·filled + j] = source[j·stride + i], zeros for k ≤ j &lt; filled.</summary>
    public static void Columns(float* source, long stride, int columns, int k, int filled, ushort* destination)
    {
        // Sixteen terms of all columns at a time: the source is read in runs as long as they can be.
        int wide = Avx.IsSupported ? columns / Wide * Wide : 0;
        for (int j = 0; j < k; j += Wide)
        {
            int terms = Math.Min(Wide, k - j);
            float* from = source + (j * stride);
            ushort* to = destination + j;
            int room = Math.Min(Wide, filled - j);
            for (int i = 0; room == Wide && i < wide; i += Wide)
            {
                ColumnBlock(from + i, stride, terms, to + ((long)i * filled), filled);
            }

            for (int i = room == Wide ? wide : 0; i < columns; i++)
            {
                for (int t = 0; t < room; t++)
                {
                    to[((long)i * filled) + t] = t < terms ? Lanes.NarrowToBFloat16(from[(t * stride) + i]) : (ushort)0;
                }
            }
        }

        int done = (k + Wide - 1) / Wide * Wide;
        for (int i = 0; done < filled && i < columns; i++)
        {
            new Span<ushort>(destination + ((long)i * filled) + done, filled - done).Clear();
        }
    }

    /// <summary>
    /// B [k, n] as matrix units read it: blocks of <paramref name="width"/> columns one behind the other, in them blocks of <see cref="Depth"/> terms, in those
    /// the terms in pairs, column by column. Zeros fill columns up to a whole block and terms up to that of <paramref name="filled"/>.
    /// </summary>
    /// <param name="source">Element (j, i) is at source[j·stride + i], or source[i·stride + j] with <paramref name="transposed"/>.</param>
    public static void Pairs(float* source, long stride, bool transposed, int n, int k, int filled, int width, ushort* destination)
    {
        for (int column = 0; column < n; column += width)
        {
            int columns = Math.Min(width, n - column);
            for (int term = 0; term < filled; term += Depth, destination += Depth * width)
            {
                int terms = Math.Clamp(k - term, 0, Depth);
                float* block = source + (transposed ? (column * stride) + term : (term * stride) + column);
                if (columns < width || terms < Depth)
                {
                    new Span<ushort>(destination, Depth * width).Clear();
                }

                int done = !transposed ? PairsOfRows(block, stride, columns, terms, width, destination)
                    : terms == Depth && Avx.IsSupported ? PairsOfColumns(block, stride, columns, width, destination)
                    : 0;
                for (int i = done; i < columns; i++)
                {
                    for (int j = 0; j < terms; j++)
                    {
                        destination[(j / 2 * 2 * width) + (2 * i) + (j % 2)] = Lanes.NarrowToBFloat16(transposed ? block[(i * stride) + j] : block[(j * stride) + i]);
                    }
                }
            }
        }
    }

    /// <summary>Bytes that <see cref="Pairs"/> writes.</summary>
    public static long PairsBytes(int n, int k, int width) => sizeof(ushort) * (long)((n + width - 1) / width * width) * ((k + Depth - 1) / Depth * Depth);

    // 16 columns of up to 16 rows.
    private static void ColumnBlock(float* source, long stride, int terms, ushort* destination, int filled)
    {
        Vector512<uint> p0 = Pair(source, stride, terms, 0), p1 = Pair(source, stride, terms, 2);
        Vector512<uint> p2 = Pair(source, stride, terms, 4), p3 = Pair(source, stride, terms, 6);
        Vector512<uint> p4 = Pair(source, stride, terms, 8), p5 = Pair(source, stride, terms, 10);
        Vector512<uint> p6 = Pair(source, stride, terms, 12), p7 = Pair(source, stride, terms, 14);
        StoreTransposed(
            p0.GetLower(), p1.GetLower(), p2.GetLower(), p3.GetLower(), p4.GetLower(), p5.GetLower(), p6.GetLower(), p7.GetLower(), destination, filled);
        StoreTransposed(
            p0.GetUpper(), p1.GetUpper(), p2.GetUpper(), p3.GetUpper(), p4.GetUpper(), p5.GetUpper(), p6.GetUpper(), p7.GetUpper(),
            destination + (Lines * (long)filled), filled);
    }

    // Whole vectors of columns; returns how many columns are done.
    private static int PairsOfRows(float* source, long stride, int columns, int terms, int width, ushort* destination)
    {
        int wide = columns / Wide * Wide;
        for (int j = 0; j < terms; j += 2)
        {
            for (int i = 0; i < wide; i += Wide)
            {
                Pair(source + i, stride, terms, j).Store((uint*)destination + (j / 2 * width) + i);
            }
        }

        return wide;
    }

    // Eight columns at a time; returns how many are done.
    private static int PairsOfColumns(float* source, long stride, int columns, int width, ushort* destination)
    {
        int wide = columns / Lines * Lines;
        for (int i = 0; i < wide; i += Lines, source += Lines * stride)
        {
            for (int j = 0; j < Depth; j += Wide)
            {
                float* s = source + j;
                StoreTransposed(
                    Narrow(s), Narrow(s + stride), Narrow(s + (2 * stride)), Narrow(s + (3 * stride)), Narrow(s + (4 * stride)), Narrow(s + (5 * stride)),
                    Narrow(s + (6 * stride)), Narrow(s + (7 * stride)), destination + (j * width) + (2 * i), 2 * width);
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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Narrow(float* source)
    {
        Vector512<uint> bits = Lanes.RoundToBFloat16(Vector512.Load(source)) >>> 16;
        return Vector256.Narrow(bits.GetLower(), bits.GetUpper()).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreTransposed(
        Vector256<uint> a, Vector256<uint> b, Vector256<uint> c, Vector256<uint> d, Vector256<uint> e, Vector256<uint> f, Vector256<uint> g, Vector256<uint> h,
        ushort* destination, long stride)
    {
        Vector256<float> r0 = a.AsSingle(), r1 = b.AsSingle(), r2 = c.AsSingle(), r3 = d.AsSingle();
        Vector256<float> r4 = e.AsSingle(), r5 = f.AsSingle(), r6 = g.AsSingle(), r7 = h.AsSingle();
        Panels.Transpose(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7);
        r0.AsUInt16().Store(destination);
        r1.AsUInt16().Store(destination + stride);
        r2.AsUInt16().Store(destination + (2 * stride));
        r3.AsUInt16().Store(destination + (3 * stride));
        r4.AsUInt16().Store(destination + (4 * stride));
        r5.AsUInt16().Store(destination + (5 * stride));
        r6.AsUInt16().Store(destination + (6 * stride));
        r7.AsUInt16().Store(destination + (7 * stride));
    }
}

using Forgetting.Backends;
using Forgetting.Backends.DryRun;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Initial values of parameters: functions of (seed, parameter's index, element), so independent of order and backend.</summary>
internal static class Initializer
{
    private const int ChunkElements = 1 << 20;
    private const int PartElements = 1 << 15; // what a core takes at once

    private delegate void Filler(ulong seed, uint index, long firstElement, Span<float> values);

    /// <summary>Normal with mean 0.</summary>
    public static void Normal(IBackend backend, Parameter parameter, ulong seed, int index, float deviation) =>
        Fill(backend, parameter, seed, index, (key, number, first, values) =>
        {
            for (int i = 0; i < values.Length; i += 4)
            {
                var (x, y, z, w) = Words(key, number, first + i);
                (float a, float b) = Gaussians(x, y);
                (float c, float d) = Gaussians(z, w);
                Put(values[i..], a * deviation, b * deviation, c * deviation, d * deviation);
            }
        });

    /// <summary>Uniform in ±<paramref name="bound"/>.</summary>
    public static void Uniform(IBackend backend, Parameter parameter, ulong seed, int index, float bound) =>
        Fill(backend, parameter, seed, index, (key, number, first, values) =>
        {
            for (int i = 0; i < values.Length; i += 4)
            {
                var (x, y, z, w) = Words(key, number, first + i);
                Put(values[i..], Spread(x), Spread(y), Spread(z), Spread(w));
            }

            float Spread(uint word) => bound * (2 * Philox.ToUniform(word) - 1);
        });

    /// <summary>The same value everywhere.</summary>
    public static void Constant(IBackend backend, Parameter parameter, float value)
    {
        backend.Fill(parameter.Value, value);
        if (!parameter.Master.IsEmpty)
            backend.Fill(parameter.Master, value);
        else if (parameter.OwnMaster() is { } own)
            backend.Fill(own.Values, value);
    }

    private static void Fill(IBackend backend, Parameter parameter, ulong seed, int index, Filler filler)
    {
        // Which has no memory for them, and they take longer than all else that is done there.
        if (backend is DryRunBackend)
            return;

        // Elements come four to a counter, so chunks of rows start at multiples of four.
        int columns = parameter.Shape.Columns;
        int step = Math.Max(4, ChunkElements / columns / 4 * 4);
        var values = new float[Math.Min(step, parameter.Shape.Rows) * columns];
        for (int row = 0; row < parameter.Shape.Rows; row += step)
        {
            int count = Math.Min(step, parameter.Shape.Rows - row) * columns;
            long first = (long)row * columns;
            Parallel.For(0, (count + PartElements - 1) / PartElements, part =>
            {
                int start = part * PartElements;
                filler(seed, (uint)index, first + start, values.AsSpan(start, Math.Min(PartElements, count - start)));
            });
            parameter.SetRows(backend, row, values.AsSpan(0, count));
        }
    }

    private static (uint X, uint Y, uint Z, uint W) Words(ulong seed, uint index, long element)
    {
        long counter = element / 4;
        return Philox.Words(seed, (uint)counter, index, (uint)(counter >> 32), RandomDomain.Initialization);
    }

    /// <summary>Two standard normal numbers from two words, by Box and Muller's method; the first uniform is kept away from 0.</summary>
    internal static (float A, float B) Gaussians(uint x, uint y)
    {
        double radius = Math.Sqrt(-2 * Math.Log((x + 0.5) / 4294967296.0));
        (double sine, double cosine) = Math.SinCos(2 * Math.PI * y / 4294967296.0);
        return ((float)(radius * cosine), (float)(radius * sine));
    }

    private static void Put(Span<float> values, float a, float b, float c, float d)
    {
        ReadOnlySpan<float> four = [a, b, c, d];
        four[..Math.Min(4, values.Length)].CopyTo(values);
    }
}

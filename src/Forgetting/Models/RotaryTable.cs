using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Cosines and sines of rotary positions (RoFormer, arXiv 2104.09864): angle[p, i] = p·θ^(−2i/D), scaled where configured. Grows to the
/// longest position met, since a context of 131,072 would cost 64 MiB that few runs need. With LongRoPE the rows of longer texts stand
/// behind those of the original context.
/// </summary>
/// <param name="rope">What turns; D is the number of columns that are turned.</param>
/// <param name="context">Most positions.</param>
internal sealed class RotaryTable(Rope rope, int context, IBackend backend) : IDisposable
{
    private const int SmallestTable = 512;

    private readonly double[] _frequencies = Frequencies(rope);
    private readonly LongRopeScaling? _lengthened = rope.Scaling as LongRopeScaling;
    private DeviceBuffer? _cosine;
    private DeviceBuffer? _sine;
    private int _positions;

    /// <summary>Float32 [P, D/2].</summary>
    public Tensor Cosine => _cosine!.AsTensor(new Shape(_positions, _frequencies.Length), DType.Float32);

    /// <summary>Float32 [P, D/2].</summary>
    public Tensor Sine => _sine!.AsTensor(new Shape(_positions, _frequencies.Length), DType.Float32);

    /// <summary>
    /// Row of the first position of a text longer than the original context; 0 where such a text turns as others do.
    /// </summary>
    public int FirstOfLonger => _lengthened?.OriginalContext ?? 0;

    /// <summary>Makes sure that rows 0 … <paramref name="positions"/> − 1 are there.</summary>
    public void Extend(int positions)
    {
        if (positions <= _positions)
            return;

        int rows = Math.Max(SmallestTable, Math.Min(context + FirstOfLonger, 2 * positions));
        double[]? longer = _lengthened is null ? null : Frequencies(rope, (plain, i) => _lengthened.LongFrequency(plain, i));
        var cosine = new float[rows * _frequencies.Length];
        var sine = new float[rows * _frequencies.Length];
        double factor = rope.Scaling?.AttentionFactor ?? 1;
        for (int p = 0; p < rows; p++)
        {
            (double[] frequencies, int position) =
                longer is not null && p >= FirstOfLonger ? (longer, p - FirstOfLonger) : (_frequencies, p);
            for (int i = 0; i < _frequencies.Length; i++)
            {
                (double s, double c) = Math.SinCos(position * frequencies[i]);
                cosine[p * _frequencies.Length + i] = (float)(factor * c);
                sine[p * _frequencies.Length + i] = (float)(factor * s);
            }
        }

        Dispose();
        _positions = rows;
        _cosine = backend.Allocate((long)cosine.Length * sizeof(float));
        _sine = backend.Allocate((long)sine.Length * sizeof(float));
        backend.Upload<float>(cosine, Cosine);
        backend.Upload<float>(sine, Sine);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _cosine?.Dispose();
        _sine?.Dispose();
    }

    /// <summary>The angle by which each pair of a head turns from one position to the next.</summary>
    internal static double[] Frequencies(Rope rope) => Frequencies(
        rope, (plain, i) => rope.Scaling?.Frequency(plain, i, rope.Columns / 2, rope.Theta) ?? plain);

    private static double[] Frequencies(Rope rope, Func<double, int, double> scaled) =>
        [.. Enumerable.Range(0, rope.Columns / 2).Select(i => scaled(Math.Pow(rope.Theta, -2.0 * i / rope.Columns), i))];
}

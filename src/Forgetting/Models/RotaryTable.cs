using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Cosines and sines of rotary positions (RoFormer, arXiv 2104.09864): angle[p, i] = p·θ^(−2i/D), with Llama-3's stretching of long
/// wavelengths where configured. Grows to the longest position met, since a context of 131,072 would cost 64 MiB that few runs need.
/// </summary>
internal sealed class RotaryTable(ModelConfig config, IBackend backend) : IDisposable
{
    private const int SmallestTable = 512;

    private readonly double[] _frequencies = Frequencies(config);
    private DeviceBuffer? _cosine;
    private DeviceBuffer? _sine;
    private int _positions;

    /// <summary>Float32 [P, D/2].</summary>
    public Tensor Cosine => _cosine!.AsTensor(new Shape(_positions, _frequencies.Length), DType.Float32);

    /// <summary>Float32 [P, D/2].</summary>
    public Tensor Sine => _sine!.AsTensor(new Shape(_positions, _frequencies.Length), DType.Float32);

    /// <summary>Makes sure that positions 0 … <paramref name="positions"/> − 1 are there.</summary>
    public void Extend(int positions)
    {
        if (positions <= _positions)
            return;

        int rows = Math.Max(SmallestTable, Math.Min(config.ContextLength, 2 * positions));
        var cosine = new float[rows * _frequencies.Length];
        var sine = new float[rows * _frequencies.Length];
        for (int p = 0; p < rows; p++)
        {
            for (int i = 0; i < _frequencies.Length; i++)
            {
                (double s, double c) = Math.SinCos(p * _frequencies[i]);
                cosine[p * _frequencies.Length + i] = (float)c;
                sine[p * _frequencies.Length + i] = (float)s;
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
    internal static double[] Frequencies(ModelConfig config)
    {
        var frequencies = new double[config.HeadSize / 2];
        for (int i = 0; i < frequencies.Length; i++)
        {
            double frequency = Math.Pow(config.RopeTheta, -2.0 * i / config.HeadSize);
            frequencies[i] = config.RopeScaling is { } scaling ? Stretch(frequency, scaling) : frequency;
        }

        return frequencies;
    }

    // Wavelengths beyond orig/low turn slower by the factor, those below orig/high stay, and those between are blended.
    private static double Stretch(double frequency, RopeScaling scaling)
    {
        double wavelength = 2 * Math.PI / frequency;
        double share = Math.Clamp(
            (scaling.OriginalContext / wavelength - scaling.LowFrequencyFactor) / (scaling.HighFrequencyFactor
                - scaling.LowFrequencyFactor),
            0, 1);
        return (1 - share) * frequency / scaling.Factor + share * frequency;
    }
}

using System.Buffers.Binary;
using System.Globalization;
using System.Numerics.Tensors;
using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.IO;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>Encodes Float32 numbers as the elements of a GGUF file.</summary>
internal static class GgufEncoding
{
    // Largest magnitude of a signed byte, used symmetrically.
    private const float MaxSteps = 127;

    /// <summary>Encodes numbers, whole blocks of them where the type has blocks.</summary>
    /// <param name="tensor">Name for errors.</param>
    /// <exception cref="UserException">A number is not finite, or too large for the type.</exception>
    public static void Encode(string tensor, ReadOnlySpan<float> values, GgufType type, Span<byte> bytes)
    {
        float largest = values.Length == 0 ? 0 : Math.Abs(TensorPrimitives.MaxMagnitude(values)); // NaN where one is NaN
        if (!float.IsFinite(largest))
            throw new UserException($"{tensor}: a value is not finite; expected finite weights");

        // Beyond this the nearest binary16 is infinite; a block's scale is a 127th of its largest value.
        float most = type switch
        {
            GgufType.F16 => 65520,
            GgufType.Q8_0 => 65520 * MaxSteps,
            GgufType.BF16 => 3.3961775e38f,
            _ => float.PositiveInfinity,
        };
        if (largest >= most)
        {
            throw new UserException(string.Create(
                CultureInfo.InvariantCulture,
                $"{tensor}: a value is {largest:0.###e+0} in magnitude, too large for {Name(type)}; expected another type, such as f32"));
        }

        if (type == GgufType.Q8_0)
            EncodeBlocks(values, bytes);
        else
            ElementConversion.FromSingle(values, type.Stored(), bytes);
    }

    private static string Name(GgufType type) => type.ToString().ToLowerInvariant();

    // Each block: the scale in binary16, then its values in steps of the scale before it was rounded, halves away from zero.
    private static void EncodeBlocks(ReadOnlySpan<float> values, Span<byte> bytes)
    {
        for (int start = 0, at = 0; start < values.Length; start += GgufTypes.BlockElements)
        {
            ReadOnlySpan<float> block = values.Slice(start, GgufTypes.BlockElements);
            float scale = Math.Abs(TensorPrimitives.MaxMagnitude(block)) / MaxSteps;
            float steps = scale == 0 ? 0 : 1 / scale;
            BinaryPrimitives.WriteHalfLittleEndian(bytes[at..], (Half)scale);
            at += 2;
            foreach (float value in block)
            {
                bytes[at++] = (byte)(sbyte)Math.Clamp(MathF.Round(value * steps, MidpointRounding.AwayFromZero), -MaxSteps, MaxSteps);
            }
        }
    }
}

using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Forgetting.IO;

namespace Forgetting.Gguf;

/// <summary>The elements of a GGUF tensor as Float32, decoded as they are looked at.</summary>
/// <param name="inner">The tensor's bytes.</param>
/// <param name="type">Its element type.</param>
/// <param name="offset">What is taken from each number: 1 where a file has whole gains and the model keeps what differs from 1.</param>
internal sealed class GgufDecoding(TensorData inner, GgufType type, float offset) : TensorData
{
    /// <inheritdoc/>
    public override MappedView Map(long start, long bytes)
    {
        byte[] decoded = new byte[bytes];
        Span<float> values = MemoryMarshal.Cast<byte, float>(decoded.AsSpan());
        long first = start / sizeof(float);
        if (type == GgufType.Q8_0)
        {
            ReadBlocks(first, values);
        }
        else
        {
            StoredType stored = type.Stored();
            using MappedView view = inner.Map(first * stored.Size(), values.Length * stored.Size());
            ElementConversion.ToSingle(view.Bytes, stored, values);
        }

        if (offset != 0)
        {
            foreach (ref float value in values)
            {
                value -= offset;
            }
        }

        return new MappedView(decoded);
    }

    // Each block is a scale in binary16 and 32 signed bytes.
    private void ReadBlocks(long first, Span<float> values)
    {
        long firstBlock = first / GgufTypes.BlockElements, lastBlock = (first + values.Length - 1) / GgufTypes.BlockElements;
        if (values.Length == 0)
            return;

        using MappedView view = inner.Map(firstBlock * GgufTypes.BlockBytes, (lastBlock - firstBlock + 1) * GgufTypes.BlockBytes);
        for (int i = 0; i < values.Length;)
        {
            (long block, long within) = Math.DivRem(first + i, GgufTypes.BlockElements);
            ReadOnlySpan<byte> bytes = view.Span((block - firstBlock) * GgufTypes.BlockBytes, GgufTypes.BlockBytes);
            float scale = (float)BinaryPrimitives.ReadHalfLittleEndian(bytes);
            for (int j = (int)within; j < GgufTypes.BlockElements && i < values.Length; j++)
            {
                values[i++] = scale * (sbyte)bytes[2 + j];
            }
        }
    }
}

using System.Runtime.InteropServices;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Checkpoints;

/// <summary>Scales that are in 8 bits: scale j is Map[code j]·Groups[j / Group] + Offset.</summary>
/// <param name="Group">Scales that share a factor.</param>
/// <param name="Groups">The factors.</param>
/// <param name="Map">[256].</param>
/// <param name="Offset">What scales are counted from.</param>
internal sealed record NestedScales(int Group, float[] Groups, float[] Map, float Offset);

/// <summary>
/// The elements of a matrix in NF4, as bitsandbytes dequantises them: in Float32, then rounded to the type that they had.
/// </summary>
/// <param name="type">That type.</param>
/// <param name="count">Elements.</param>
/// <param name="block">Elements that share a scale.</param>
/// <param name="codes">Two codes a byte, the first in the upper half.</param>
/// <param name="scales">Float32, or bytes where these are nested.</param>
/// <param name="levels">[16].</param>
/// <param name="nested">How scales are in 8 bits; or null.</param>
internal sealed class BitsAndBytesData(
    StoredType type, long count, int block, TensorData codes, TensorData scales, float[] levels, NestedScales? nested) : TensorData
{
    /// <inheritdoc/>
    public override MappedView Map(long start, long bytes)
    {
        byte[] decoded = new byte[bytes];
        if (bytes == 0)
            return new MappedView(decoded);

        long first = start / type.Size(), number = bytes / type.Size(), firstBlock = first / block,
            blocks = ((first + number - 1) / block) - firstBlock + 1;
        var values = new float[number];
        float[] factors = Scales(firstBlock, blocks);
        using MappedView view = codes.Map(first / 2, ((first + number + 1) / 2) - (first / 2));
        ReadOnlySpan<byte> pairs = view.Bytes;
        for (long i = first; i < first + number; i++)
        {
            int pair = pairs[(int)((i / 2) - (first / 2))];
            values[i - first] = levels[i % 2 == 0 ? pair >> 4 : pair & 15] * factors[(i / block) - firstBlock];
        }

        ElementConversion.FromSingle(values, type, decoded);
        return new MappedView(decoded);
    }

    /// <summary>
    /// The bytes of a <see cref="DType.NormalFloat4"/> tensor with the same codes and numbers; null where its blocks are of other sizes.
    /// </summary>
    public byte[]? Packed()
    {
        if (nested is null || block != NormalFloat4Layout.Block || nested.Group != NormalFloat4Layout.Group)
            return null;

        var layout = new NormalFloat4Layout(count);
        byte[] bytes = new byte[layout.Bytes];
        Put(levels, NormalFloat4Layout.Levels);
        Put(nested.Map, NormalFloat4Layout.Map);
        Put([nested.Offset], NormalFloat4Layout.Offset);
        Put(nested.Groups, NormalFloat4Layout.Groups);
        using (MappedView view = codes.Map(0, (count + 1) / 2))
        {
            view.Bytes.CopyTo(bytes.AsSpan((int)layout.Codes));
        }

        using (MappedView view = scales.Map(0, layout.Scales))
        {
            view.Bytes.CopyTo(bytes.AsSpan((int)layout.ScaleCodes));
        }

        return bytes;

        void Put(float[] values, int at) => MemoryMarshal.AsBytes(values.AsSpan()).CopyTo(bytes.AsSpan(at));
    }

    private float[] Scales(long first, long number)
    {
        var result = new float[number];
        int size = nested is null ? sizeof(float) : 1;
        using MappedView view = scales.Map(first * size, number * size);
        if (nested is null)
        {
            ElementConversion.ToSingle(view.Bytes, StoredType.F32, result);
            return result;
        }

        for (long j = 0; j < number; j++)
        {
            float product = nested.Map[view.Bytes[(int)j]] * nested.Groups[(first + j) / nested.Group];
            result[j] = product + nested.Offset;
        }

        return result;
    }
}

#pragma warning disable CA1707 // Members are spelled as in the format.

using System.Text.Json.Serialization;
using Forgetting.IO;

namespace Forgetting.Gguf;

/// <summary>Element types of the weights in a GGUF file.</summary>
public enum GgufType
{
    /// <summary>binary32.</summary>
    [JsonStringEnumMemberName("f32")]
    F32 = 0,

    /// <summary>binary16.</summary>
    [JsonStringEnumMemberName("f16")]
    F16 = 1,

    /// <summary>Blocks of 32 signed bytes with a common scale in binary16: 8.5 bits a weight.</summary>
    [JsonStringEnumMemberName("q8_0")]
    Q8_0 = 8,

    /// <summary>bfloat16.</summary>
    [JsonStringEnumMemberName("bf16")]
    BF16 = 30,
}

/// <summary>Sizes of <see cref="GgufType"/>, and what files call it.</summary>
internal static class GgufTypes
{
    /// <summary>Elements of a block of <see cref="GgufType.Q8_0"/>.</summary>
    public const int BlockElements = 32;

    /// <summary>Bytes of such a block: the scale, then those of the elements.</summary>
    public const int BlockBytes = 2 + BlockElements;

    /// <summary>Bytes of so many elements, whole blocks of them where the type has blocks.</summary>
    public static long Bytes(this GgufType type, long elements) => type switch
    {
        GgufType.F32 => elements * 4,
        GgufType.Q8_0 => elements / BlockElements * BlockBytes,
        _ => elements * 2,
    };

    /// <summary>The type as which its numbers are read; blocks are decoded to Float32.</summary>
    public static StoredType Stored(this GgufType type) => type switch
    {
        GgufType.F32 or GgufType.Q8_0 => StoredType.F32,
        GgufType.F16 => StoredType.F16,
        GgufType.BF16 => StoredType.BF16,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    /// <summary>The number that a file gives as the type of most of its tensors.</summary>
    public static uint FileType(this GgufType type) => type switch
    {
        GgufType.F32 => 0,
        GgufType.F16 => 1,
        GgufType.Q8_0 => 7,
        GgufType.BF16 => 32,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    /// <summary>
    /// The type of a matrix's tensor in a file of this type: blocks lie within a row, so other widths are held in binary16.
    /// </summary>
    public static GgufType OfMatrix(this GgufType type, long columns) =>
        type == GgufType.Q8_0 && columns % BlockElements != 0 ? GgufType.F16 : type;
}

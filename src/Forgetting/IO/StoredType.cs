#pragma warning disable CA1707 // Members are spelled as in the format.

namespace Forgetting.IO;

/// <summary>Element types that safetensors files name. Weights are computed from the first three; the others are carried along.</summary>
internal enum StoredType
{
    /// <summary>binary32.</summary>
    F32,

    /// <summary>binary16.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>binary64.</summary>
    F64,

    /// <summary>8-bit float with 5 exponent bits.</summary>
    F8_E5M2,

    /// <summary>8-bit float with 4 exponent bits.</summary>
    F8_E4M3,

    /// <summary>Signed 64-bit.</summary>
    I64,

    /// <summary>Signed 32-bit.</summary>
    I32,

    /// <summary>Signed 16-bit.</summary>
    I16,

    /// <summary>Signed 8-bit.</summary>
    I8,

    /// <summary>Unsigned 64-bit.</summary>
    U64,

    /// <summary>Unsigned 32-bit.</summary>
    U32,

    /// <summary>Unsigned 16-bit.</summary>
    U16,

    /// <summary>Unsigned 8-bit.</summary>
    U8,

    /// <summary>One byte, 0 or 1.</summary>
    BOOL,
}

/// <summary>Sizes and kinds of <see cref="StoredType"/>.</summary>
internal static class StoredTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int Size(this StoredType type) => type switch
    {
        StoredType.F64 or StoredType.I64 or StoredType.U64 => 8,
        StoredType.F32 or StoredType.I32 or StoredType.U32 => 4,
        StoredType.F16 or StoredType.BF16 or StoredType.I16 or StoredType.U16 => 2,
        _ => 1,
    };

    /// <summary>Whether weights can be read from it.</summary>
    public static bool IsWeight(this StoredType type) => type is StoredType.F32 or StoredType.F16 or StoredType.BF16;
}

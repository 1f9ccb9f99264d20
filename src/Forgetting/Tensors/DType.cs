namespace Forgetting.Tensors;

/// <summary>Element type of a tensor in a backend's memory.</summary>
public enum DType
{
    /// <summary>IEEE 754 binary32.</summary>
    Float32,

    /// <summary>bfloat16: the upper half of a binary32.</summary>
    BFloat16,

    /// <summary>Signed 32-bit integer: token ids, offsets.</summary>
    Int32,

    /// <summary>Unsigned 8-bit integer: codes of quantised values.</summary>
    UInt8,
}

/// <summary>Sizes of element types.</summary>
internal static class DTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int Size(this DType dtype) => dtype switch
    {
        DType.BFloat16 => 2,
        DType.UInt8 => 1,
        _ => 4,
    };
}

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

    /// <summary>
    /// 4-bit codes in blocks with scales (QLoRA, arXiv 2305.14314), for weights that stay as they are: a whole matrix or none of it.
    /// </summary>
    NormalFloat4,
}

/// <summary>Sizes of element types.</summary>
internal static class DTypes
{
    /// <summary>Bytes of one element.</summary>
    /// <exception cref="ArgumentException">Elements of the type have none of their own.</exception>
    public static int Size(this DType dtype) => dtype switch
    {
        DType.BFloat16 => 2,
        DType.UInt8 => 1,
        DType.Float32 or DType.Int32 => 4,
        _ => throw new ArgumentException($"elements of {dtype} have no bytes of their own", nameof(dtype)),
    };

    /// <summary>Bytes of a whole tensor.</summary>
    public static long Bytes(this DType dtype, Shape shape) =>
        dtype == DType.NormalFloat4 ? new NormalFloat4Layout(shape.Count).Bytes : shape.Count * dtype.Size();
}

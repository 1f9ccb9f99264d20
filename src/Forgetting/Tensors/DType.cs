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
}

/// <summary>Sizes of element types.</summary>
internal static class DTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int Size(this DType dtype) => dtype == DType.BFloat16 ? 2 : 4;
}

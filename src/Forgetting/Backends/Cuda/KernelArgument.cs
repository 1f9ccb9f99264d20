using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

/// <summary>One argument of a kernel: 8 bytes of which the kernel reads as many as its parameter has.</summary>
internal readonly struct KernelArgument
{
    private KernelArgument(long bits) => Bits = bits;

    /// <summary>The value, in the lower bytes.</summary>
    public long Bits { get; }

    public static implicit operator KernelArgument(Tensor value) => new(value.Pointer);

    public static implicit operator KernelArgument(ColumnView value) => new(value.Pointer);

    public static implicit operator KernelArgument(nint value) => new(value);

    public static implicit operator KernelArgument(int value) => new(value);

    public static implicit operator KernelArgument(uint value) => new(value);

    public static implicit operator KernelArgument(long value) => new(value);

    public static implicit operator KernelArgument(float value) => new(BitConverter.SingleToInt32Bits(value));
}

using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

internal static partial class Contract
{
    /// <summary><see cref="IMemory.Upload{T}"/>, and <see cref="IMemory.Download{T}"/> the other way.</summary>
    public static unsafe void Transfer<T>(ReadOnlySpan<T> host, Tensor device)
        where T : unmanaged
    {
        Require(sizeof(T) == device.DType.Size());
        Require(host.Length == device.Count);
    }

    /// <summary><see cref="IMemory.Copy"/>: between the types of storage, within one type, or from NF4.</summary>
    public static void Copy(Tensor source, Tensor destination)
    {
        Require(source.Count == destination.Count);
        Require(source.DType == destination.DType || (IsStorage(source.DType) && IsStorage(destination.DType))
            || (source.DType == DType.NormalFloat4 && Float(destination)));
    }

    /// <summary><see cref="IMemory.Fill"/>.</summary>
    public static void Fill(Tensor destination) => Require(IsStorage(destination.DType));

    /// <summary><see cref="IBackend.DeclareWeight"/>.</summary>
    /// <param name="storageType">The backend's.</param>
    public static void DeclareWeight(Tensor weight, DType storageType) => Require(weight.DType == storageType);

    private static bool IsStorage(DType type) => type is DType.Float32 or DType.BFloat16;
}

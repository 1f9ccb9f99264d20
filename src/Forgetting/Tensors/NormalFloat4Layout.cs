namespace Forgetting.Tensors;

/// <summary>
/// Where the parts of a <see cref="DType.NormalFloat4"/> tensor of n elements lie, in bytes from its beginning. Element i is
/// level[code i]·scale[i / 64], and scale j is map[scale code j]·group[j / 256] + offset: what bitsandbytes stores of a weight.
/// </summary>
/// <param name="Count">n.</param>
internal readonly record struct NormalFloat4Layout(long Count)
{
    /// <summary>Elements that share a scale.</summary>
    public const int Block = 64;

    /// <summary>Scales that share a factor.</summary>
    public const int Group = 256;

    /// <summary>Float32 [16]: the numbers that codes stand for.</summary>
    public const int Levels = 0;

    /// <summary>Float32 [256]: the numbers that codes of scales stand for.</summary>
    public const int Map = 64;

    /// <summary>Float32: what scales are counted from.</summary>
    public const int Offset = Map + (256 * sizeof(float));

    /// <summary>Float32 [⌈scales / 256⌉].</summary>
    public const int Groups = Offset + 64;

    /// <summary>Number of scales.</summary>
    public long Scales => (Count + Block - 1) / Block;

    /// <summary>Number of factors of scales.</summary>
    public long GroupCount => (Scales + Group - 1) / Group;

    /// <summary>Bytes [⌈n / 2⌉]: codes, the element of the smaller number in the upper half.</summary>
    public long Codes => Groups + Padded(GroupCount * sizeof(float));

    /// <summary>Bytes [scales]: codes of scales.</summary>
    public long ScaleCodes => Codes + Padded((Count + 1) / 2);

    /// <summary>All.</summary>
    public long Bytes => ScaleCodes + Padded(Scales);

    private static long Padded(long bytes) => (bytes + 63) / 64 * 64;
}

namespace Forgetting.Backends.Cpu;

/// <summary>Philox 4×32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).</summary>
internal static class Philox
{
    /// <summary>Four random words for one counter under one key.</summary>
    public static (uint X, uint Y, uint Z, uint W) Next(uint c0, uint c1, uint c2, uint c3, ulong key)
    {
        uint k0 = (uint)key;
        uint k1 = (uint)(key >> 32);
        for (int round = 0; round < 10; round++)
        {
            ulong first = (ulong)c0 * 0xD2511F53;
            ulong second = (ulong)c2 * 0xCD9E8D57;
            (c0, c1, c2, c3) = ((uint)(second >> 32) ^ c1 ^ k0, (uint)second, (uint)(first >> 32) ^ c3 ^ k1, (uint)first);
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }

        return (c0, c1, c2, c3);
    }
}

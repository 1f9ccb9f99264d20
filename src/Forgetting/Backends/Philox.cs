namespace Forgetting.Backends;

/// <summary>
/// Philox 4×32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): random numbers as a function of a key and a
/// counter, so that a number belongs to a place (row, column, layer) and not to the order in which places are visited.
/// </summary>
internal static class Philox
{
    internal const uint MultiplierA = 0xD2511F53;
    internal const uint MultiplierB = 0xCD9E8D57;
    internal const uint WeylA = 0x9E3779B9;
    internal const uint WeylB = 0xBB67AE85;

    /// <summary>Four independent words for a 64-bit key (low word first) and a 128-bit counter.</summary>
    public static (uint X, uint Y, uint Z, uint W) Words(ulong key, uint x, uint y, uint z, uint w)
    {
        uint keyA = (uint)key;
        uint keyB = (uint)(key >> 32);
        for (int round = 0; round < 10; round++)
        {
            ulong a = (ulong)MultiplierA * x;
            ulong b = (ulong)MultiplierB * z;
            (x, y, z, w) = ((uint)(b >> 32) ^ y ^ keyA, (uint)b, (uint)(a >> 32) ^ w ^ keyB, (uint)a);
            keyA += WeylA;
            keyB += WeylB;
        }

        return (x, y, z, w);
    }

    /// <summary>A word as a number in [0, 1), exact in single precision.</summary>
    public static float ToUniform(uint word) => (word >> 8) * (1f / (1 << 24));
}

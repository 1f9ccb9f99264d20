
namespace Forgetting.Operations.Reference;

/// <summary>
/// Philox 4×32-10 as published (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC'11, section 4.1).
/// </summary>
internal static class ReferencePhilox
{
    /// <summary>The four outputs for a counter and a key.</summary>
    public static uint[] Draw(ReadOnlySpan<uint> counter, uint key0, uint key1)
    {
        uint[] x = counter.ToArray();
        for (int round = 0; round < 10; round++)
        {
            ulong product0 = 0xD2511F53UL * x[0];
            ulong product1 = 0xCD9E8D57UL * x[2];
            x = [(uint)(product1 >> 32) ^ x[1] ^ key0, (uint)product1, (uint)(product0 >> 32) ^ x[3] ^ key1, (uint)product0];
            unchecked
            {
                // Weyl sequence of the golden ratio and of √3 − 1.
                key0 += 0x9E3779B9;
                key1 += 0xBB67AE85;
            }
        }

        return x;
    }
}

using System.Numerics;
using Forgetting.Backends;
using Forgetting.Models;

namespace Forgetting.Evaluation;

/// <summary>
/// Whether two models differ on the same items. For right-or-wrong scores the field's test is McNemar's, for others a paired permutation
/// test (Dror et al., "The Hitchhiker's Guide to Testing Statistical Significance in NLP", ACL 2018). Both are two-sided.
/// </summary>
internal static class PairedTests
{
    /// <summary>Assignments of signs that are drawn where there are too many to go through all of them.</summary>
    public const int Samples = 10_000;

    // 2^16 assignments take no time.
    private const int MaxExact = 16;

    /// <summary>
    /// McNemar's test, mid-p version: the exact conditional test less half the probability of what was observed, which holds its level
    /// without being conservative (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013).
    /// </summary>
    /// <param name="won">Items that only the second model has right.</param>
    /// <param name="lost">Items that only the first has right.</param>
    /// <returns>p; 1 where the models never differ.</returns>
    public static double McNemarMidP(int won, int lost)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(won);
        ArgumentOutOfRangeException.ThrowIfNegative(lost);
        if (won + lost == 0)
            return 1;

        int n = won + lost, least = Math.Min(won, lost);
        double logBinomial = 0, tail = 0, point = 0; // ln C(n, k), P(X ≤ k), P(X = k) for X ~ Binomial(n, 1/2)
        for (int k = 0; k <= least; k++)
        {
            point = Math.Exp(logBinomial - n * Math.Log(2));
            tail += point;
            logBinomial += Math.Log(n - k) - Math.Log(k + 1);
        }

        // With won = lost the two tails would count the point twice.
        return won == lost ? 1 - point / 2 : 2 * tail - point;
    }

    /// <summary>
    /// Paired permutation test of a mean difference of 0: under the hypothesis each difference has either sign. Exact up to 16 differences
    /// that are not 0; beyond, <see cref="Samples"/> random assignments, with p = (1 + those as extreme) / (1 + all) (Phipson and Smyth,
    /// 2010). The same numbers give the same p.
    /// </summary>
    /// <param name="differences">Score of the second model minus that of the first, an item each.</param>
    /// <returns>p; 1 where the models never differ.</returns>
    public static double Permutation(IReadOnlyList<double> differences)
    {
        ArgumentNullException.ThrowIfNull(differences);
        double[] sizes = [.. differences.Where(d => d != 0).Select(Math.Abs)];

        // Sums of the same numbers in another order must not pass for smaller ones.
        double observed = Math.Abs(differences.Sum()) - 1e-12 * sizes.Sum();
        if (sizes.Length <= MaxExact)
        {
            int all = 1 << sizes.Length;
            return (double)Enumerable.Range(0, all).Count(signs => Math.Abs(Sum(sizes, _ => (uint)signs)) >= observed) / all;
        }

        int extreme = 0;
        for (uint sample = 0; sample < Samples; sample++)
        {
            uint current = sample;
            extreme += Math.Abs(Sum(sizes, word => Philox.Words(0, word, current, 0, RandomDomain.Permutation).X)) >= observed ? 1 : 0;
        }

        return (1.0 + extreme) / (1 + Samples);
    }

    // Σ ± sizes, with 32 signs in each word of bits.
    private static double Sum(double[] sizes, Func<uint, uint> bits)
    {
        double sum = 0;
        uint word = 0;
        for (int i = 0; i < sizes.Length; i++)
        {
            if (i % 32 == 0)
                word = bits((uint)i / 32);

            sum += ((word >> (i % 32)) & 1) == 0 ? sizes[i] : -sizes[i];
        }

        return sum;
    }
}

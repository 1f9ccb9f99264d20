using System.IO.Compression;
using System.Text;

namespace Forgetting.Evaluation;

/// <summary>An answer that may have been learnt.</summary>
/// <param name="Losses">Cross-entropies of its tokens, nats; at least one.</param>
/// <param name="Text">Its text.</param>
internal sealed record ScoredAnswer(IReadOnlyList<float> Losses, string Text);

/// <summary>
/// Membership inference: how well an answer's score tells those that were learnt from those that never were. Every score is lower for what
/// is known better.
/// </summary>
internal static class MembershipInference
{
    /// <summary>Share of the tokens that <see cref="MinK"/> looks at, as arXiv 2310.16789 has it.</summary>
    public const double DefaultShare = 0.2;

    /// <summary>Mean cross-entropy (Yeom et al., arXiv 1709.01604).</summary>
    public static double Loss(ScoredAnswer answer) => answer.Losses.Average(loss => (double)loss);

    /// <summary>
    /// Mean of the highest cross-entropies: of the share of the tokens, rounded up, that are least probable (Min-K %, arXiv 2310.16789).
    /// </summary>
    public static double MinK(ScoredAnswer answer, double share = DefaultShare) =>
        answer.Losses.OrderDescending().Take((int)Math.Ceiling(share * answer.Losses.Count)).Average(loss => (double)loss);

    /// <summary>
    /// Mean cross-entropy over the bytes of the text that zlib makes (Carlini et al., arXiv 2012.07805): what is surprising by itself is
    /// not held against an answer.
    /// </summary>
    public static double ZlibRatio(ScoredAnswer answer)
    {
        using var packed = new MemoryStream();
        using (var zlib = new ZLibStream(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            zlib.Write(Encoding.UTF8.GetBytes(answer.Text));
        }

        return Loss(answer) / packed.Length;
    }

    /// <summary>
    /// Area under the receiver operating characteristic: the probability that one drawn from the members has a lower score than one drawn
    /// from the others, where equal scores count
    /// half. 0.5: they cannot be told apart; 1: each member is below all others; below 0.5: what was unlearnt stands out as unknown.
    /// </summary>
    /// <param name="members">Scores of what was learnt, at least one.</param>
    /// <param name="others">Scores of what never was, at least one.</param>
    public static double Auc(IReadOnlyList<double> members, IReadOnlyList<double> others)
    {
        double[] sorted = [.. others.Order()];
        double sum = 0;
        foreach (double score in members)
        {
            (int below, int notAbove) = (Place(sorted, score, including: false), Place(sorted, score, including: true));
            sum += sorted.Length - notAbove + ((notAbove - below) / 2.0);
        }

        return sum / members.Count / sorted.Length;
    }

    // How many are below a value, or not above it.
    private static int Place(double[] sorted, double value, bool including)
    {
        int first = 0, end = sorted.Length;
        while (first < end)
        {
            int middle = (first + end) / 2;
            if (sorted[middle] < value || (including && sorted[middle] == value))
                first = middle + 1;
            else
                end = middle;
        }

        return first;
    }
}

using System.Globalization;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// Divides the response tokens of a training set into positive and negative ones by influence (arXiv 2508.04329, section 3): ranked descending over the
/// whole set, the top ⌊ρN⌋ are positive, the rest negative. Ties keep the order of (example, position). Every response token belongs to exactly one set.
/// </summary>
public sealed class Partition
{
    // Some units in the last place of a Float32 loss of 4 nats.
    private const double RoundingOfLosses = 1e-6;

    private Partition(IReadOnlyList<sbyte[]> signs, TokenCounts counts, double cut)
    {
        Signs = signs;
        Counts = counts;
        Cut = cut;
    }

    /// <summary>Per example, per token: 1 positive, −1 negative, 0 no response.</summary>
    public IReadOnlyList<sbyte[]> Signs { get; }

    /// <summary>Response tokens in each set.</summary>
    public TokenCounts Counts { get; }

    /// <summary>Influence of the last positive token (or example) in the ranking; NaN when none is positive.</summary>
    public double Cut { get; }

    /// <summary>Ranks and divides.</summary>
    /// <param name="influence">Per example, per token; only response tokens are read.</param>
    /// <param name="response">Per example, per token: whether it is trained on.</param>
    /// <param name="rho">ρ in (0, 1].</param>
    /// <exception cref="UserException">The influence of a response token is not finite.</exception>
    public static Partition Of(IReadOnlyList<float[]> influence, IReadOnlyList<bool[]> response, double rho, PartitionLevel level)
    {
        float[] values = level == PartitionLevel.Token ? TokenValues(influence, response) : SequenceMeans(influence, response);
        int positives = PositiveCount(values.Length, rho);
        ulong[] ranking = Rank(values);
        var positive = new bool[values.Length];
        for (int rank = 0; rank < positives; rank++)
        {
            positive[(uint)ranking[rank]] = true;
        }

        double cut = positives == 0 ? double.NaN : values[(uint)ranking[positives - 1]];
        IReadOnlyList<sbyte[]> signs = Sign(response, positive, level);
        return new(signs, Count(signs), cut);
    }

    /// <summary>
    /// Like <see cref="Of"/>, but refuses influences that do not tell more than half of what is ranked from the cut, on both sides of it: there the order of the
    /// data would decide what is unlearnt. So it is with a reference that has learnt nothing.
    /// </summary>
    /// <param name="baseLoss">Per example, per token: cross-entropy under the base model, from which the rounding of influences is known.</param>
    /// <exception cref="UserException">As <see cref="Of"/>, or most influences are the same up to rounding.</exception>
    public static Partition OfInformative(
        IReadOnlyList<float[]> influence, IReadOnlyList<float[]> baseLoss, IReadOnlyList<bool[]> response, double rho, PartitionLevel level)
    {
        Partition partition = Of(influence, response, rho, level);
        if (partition.Counts.Negative == 0 || double.IsNaN(partition.Cut))
            return partition;

        float[] values = level == PartitionLevel.Token ? TokenValues(influence, response) : SequenceMeans(influence, response);
        float[] losses = TokenValues(baseLoss, response);
        double rounding = RoundingOfLosses * Math.Max(1, losses.Average(loss => (double)loss));
        int ties = values.Count(value => Math.Abs(value - partition.Cut) <= rounding);
        int above = values.Count(value => value - partition.Cut > rounding);
        bool split = above + ties > PositiveCount(values.Length, rho);
        if (!split || 2 * ties <= values.Length)
            return partition;

        string what = level == PartitionLevel.Token ? "response tokens" : "examples";
        throw new UserException(string.Create(
            CultureInfo.InvariantCulture,
            $"{ties:N0} of {values.Length:N0} {what} have the influence of the cut, {partition.Cut:0.###e+0}, up to rounding, so that their order and not what they say would decide which are unlearnt: the reference has hardly learnt anything. Expected a reference trained on more examples, for more steps (more epochs or a smaller batch size) or at a higher learning rate, or another share rho"));
    }

    /// <summary>The division that a score file already holds.</summary>
    /// <param name="signs">Per example, per token.</param>
    /// <param name="influence">Per example, per token, for the cut.</param>
    public static Partition FromSigns(IReadOnlyList<sbyte[]> signs, IReadOnlyList<float[]> influence)
    {
        double cut = double.NaN;
        for (int i = 0; i < signs.Count; i++)
        {
            for (int t = 0; t < signs[i].Length; t++)
            {
                if (signs[i][t] > 0 && !(influence[i][t] >= cut))
                    cut = influence[i][t];
            }
        }

        return new(signs, Count(signs), cut);
    }

    /// <summary>⌊ρN⌋, in decimal: in binary 0.29 · 100 is a little less than 29 and would lose a token.</summary>
    public static int PositiveCount(int count, double rho) => (int)Math.Floor((decimal)rho * count);

    private static float[] TokenValues(IReadOnlyList<float[]> influence, IReadOnlyList<bool[]> response)
    {
        var values = new List<float>();
        for (int i = 0; i < response.Count; i++)
        {
            for (int t = 0; t < response[i].Length; t++)
            {
                if (response[i][t])
                    values.Add(Finite(influence[i][t], i, t));
            }
        }

        return [.. values];
    }

    // An example without response tokens takes no part in the ranking.
    private static float[] SequenceMeans(IReadOnlyList<float[]> influence, IReadOnlyList<bool[]> response)
    {
        var means = new List<float>();
        for (int i = 0; i < response.Count; i++)
        {
            double sum = 0;
            int count = 0;
            for (int t = 0; t < response[i].Length; t++)
            {
                if (response[i][t])
                {
                    sum += Finite(influence[i][t], i, t);
                    count++;
                }
            }

            if (count > 0)
                means.Add((float)(sum / count));
        }

        return [.. means];
    }

    // Each value becomes an integer that ascends as the value descends, with its place below it: sorting these is fast, and stable although the sort is not.
    private static ulong[] Rank(float[] values)
    {
        var keys = new ulong[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(values[i] + 0f);
            uint ascending = (bits & 0x8000_0000) != 0 ? ~bits : bits | 0x8000_0000;
            keys[i] = ((ulong)~ascending << 32) | (uint)i;
        }

        Array.Sort(keys);
        return keys;
    }

    private static sbyte[][] Sign(IReadOnlyList<bool[]> response, bool[] positive, PartitionLevel level)
    {
        var signs = new sbyte[response.Count][];
        int next = 0;
        for (int i = 0; i < signs.Length; i++)
        {
            signs[i] = new sbyte[response[i].Length];
            int first = next;
            for (int t = 0; t < signs[i].Length; t++)
            {
                if (!response[i][t])
                    continue;

                signs[i][t] = (sbyte)(positive[level == PartitionLevel.Token ? next++ : first] ? 1 : -1);
                if (level == PartitionLevel.Sequence)
                    next = first + 1;
            }
        }

        return signs;
    }

    private static TokenCounts Count(IReadOnlyList<sbyte[]> signs) =>
        signs.Aggregate(default(TokenCounts), (sum, example) => sum + TokenCounts.Of(example));

    private static float Finite(float value, int example, int token) =>
        float.IsFinite(value) ? value : throw new UserException($"influence of token {token} of example {example} is {value}, expected a finite number");
}

using System.Globalization;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>How a ranking of tokens becomes signs.</summary>
/// <param name="Level">What is ranked.</param>
/// <param name="Rho">Share ρ that is learnt, or auto: the part above Otsu's cut.</param>
/// <param name="IgnoreRho">Share, next in the ranking, that is neither learnt nor forgotten.</param>
internal readonly record struct PartitionRule(PartitionLevel Level, Share Rho, double IgnoreRho = 0)
{
    /// <summary>Scores at the two cuts, in nats, instead of shares: from the first on learnt, below the second forgotten.</summary>
    public (double Learn, double Forget)? Thresholds { get; init; }

    /// <summary>Seed with which signs are dealt out to other tokens, or examples; null: they stay.</summary>
    public ulong? Shuffle { get; init; }

    /// <summary>The rule that settings ask for.</summary>
    public static PartitionRule From(TrainingOptions options) =>
        new(options.TokenForgetting.Level, options.TokenForgetting.Rho ?? Scores.DefaultRho, options.TokenForgetting.IgnoreRho)
        {
            Thresholds =
                options is { TokenForgetting.LearnAbove: { } learn, TokenForgetting.ForgetBelow: { } forget } ? (learn, forget) : null,
            Shuffle = options.TokenForgetting.ShuffleSigns ? options.Seed : null,
        };
}

/// <summary>
/// Divides the response tokens of a training set by a score (arXiv 2508.04329, section 3): ranked descending over the whole set, the top
/// ⌊ρN⌋ are positive, the rest negative. Ties keep the order of (example, position). Beyond the paper, a part between the two may be
/// ignored, ρ may come from the scores themselves, and tokens that the data gives a sign keep it and are not ranked.
/// </summary>
internal sealed class Partition
{
    // Of random numbers; no epoch has it, and no other drawing.
    private const uint ShuffleStream = uint.MaxValue - 4;

    // Some units in the last place of a Float32 loss of 4 nats.
    private const double RoundingOfLosses = 1e-6;

    private Partition(IReadOnlyList<sbyte[]> signs, TokenCounts counts, double cut, double forgetCut)
    {
        Signs = signs;
        Counts = counts;
        Cut = cut;
        ForgetCut = forgetCut;
    }

    /// <summary>Per example, per token: 1 learnt, −1 forgotten, 0 ignored or no response.</summary>
    public IReadOnlyList<sbyte[]> Signs { get; }

    /// <summary>Response tokens in each set.</summary>
    public TokenCounts Counts { get; }

    /// <summary>Lowest score of what is learnt; NaN when nothing is.</summary>
    public double Cut { get; }

    /// <summary>Highest score of what is forgotten; NaN when nothing is.</summary>
    public double ForgetCut { get; }

    /// <summary>
    /// Share of the scores' variance that lies between the two sides of Otsu's cut, where ρ was found by it: near 1 they are well apart.
    /// </summary>
    public double? Separation { get; private init; }

    /// <summary>Share of what was ranked that is above Otsu's cut, where ρ was found by it.</summary>
    private double? Above { get; init; }

    /// <summary>Ranks and divides.</summary>
    /// <param name="score">Per example, per token; only response tokens are read.</param>
    /// <param name="response">Per example, per token: whether it is trained on.</param>
    /// <exception cref="UserException">The score of a response token is not finite.</exception>
    public static Partition From(IReadOnlyList<float[]> score, IReadOnlyList<bool[]> response, PartitionRule rule)
    {
        float[] values = rule.Level == PartitionLevel.Token ? TokenValues(score, response) : SequenceMeans(score, response);
        ulong[] ranking = Rank(values);
        double? separation = null;
        int learnt, kept; // the ranking's first, and those with the ignored ones
        if (rule.Thresholds is { } thresholds)
        {
            learnt = values.Count(v => v >= thresholds.Learn);
            kept = values.Count(v => v >= thresholds.Forget);
        }
        else
        {
            OtsuCut otsu = rule.Rho.IsAuto ? OtsuCut.From([.. ranking.Select(r => values[(uint)r])]) : default;
            separation = rule.Rho.IsAuto ? otsu.Separation : null;
            learnt = rule.Rho.IsAuto ? otsu.Above : PositiveCount(values.Length, rule.Rho.Value);
            kept = Math.Min(values.Length, learnt + PositiveCount(values.Length, rule.IgnoreRho));
        }

        var sign = new sbyte[values.Length];
        for (int rank = 0; rank < sign.Length; rank++)
        {
            sign[(uint)ranking[rank]] = (sbyte)(rank < learnt ? 1 : rank < kept ? 0 : -1);
        }

        if (rule.Shuffle is { } seed)
        {
            int[] places = DataOrder.Permutation(sign.Length, seed, ShuffleStream);
            sign = [.. places.Select(place => sign[place])];
        }

        double At(int rank) => values[(uint)ranking[rank]];
        IReadOnlyList<sbyte[]> signs = Sign(response, sign, rule.Level);
        return new(signs, Count(signs, response), learnt == 0 ? double.NaN : At(learnt - 1), kept == values.Length ? double.NaN : At(kept))
        {
            Separation = separation, Above = separation is null ? null : (double)learnt / Math.Max(1, values.Length),
        };
    }

    /// <summary>
    /// Like <see cref="From"/>, but refuses scores that do not tell more than half of what is ranked from the cut, on both sides of it:
    /// there the order of the data would decide what is unlearnt. So it is with influence where the reference has learnt nothing.
    /// </summary>
    /// <param name="baseLoss">Per example, per token: cross-entropy under the base model, from which the
    /// rounding of scores is known.</param>
    /// <exception cref="UserException">As <see cref="From"/>, or most scores are the same up to rounding.</exception>
    public static Partition OfInformative(
        IReadOnlyList<float[]> score, IReadOnlyList<float[]> baseLoss, IReadOnlyList<bool[]> response, PartitionRule rule)
    {
        // Otsu's cut and thresholds lie between different scores.
        Partition partition = From(score, response, rule);
        if (partition.Counts.Negative == 0 || double.IsNaN(partition.Cut) || rule.Rho.IsAuto || rule.Thresholds != null)
            return partition;

        float[] values = rule.Level == PartitionLevel.Token ? TokenValues(score, response) : SequenceMeans(score, response);
        float[] losses = TokenValues(baseLoss, response);
        double rounding = Rounding(losses.Average(loss => (double)loss));
        int ties = values.Count(value => Math.Abs(value - partition.Cut) <= rounding);
        int above = values.Count(value => value - partition.Cut > rounding);
        bool split = above + ties > PositiveCount(values.Length, rule.Rho.Value);
        if (!split || 2 * ties <= values.Length)
            return partition;

        string what = rule.Level == PartitionLevel.Token ? "response tokens" : "examples";
        throw new UserException(string.Create(
            CultureInfo.InvariantCulture,
            $"{ties:N0} of {values.Length:N0} {what} have the score of the cut, {partition.Cut:0.###e+0}, up to rounding, "
                + $"so that their order and not what they say would decide which are unlearnt: the reference has hardly learnt anything. "
                + $"Expected a reference trained on more examples, for more steps (more epochs or a smaller batch size) "
                + $"or at a higher learning rate, or another share rho"));
    }

    /// <summary>The division with the signs that the data gives to tokens that were not ranked.</summary>
    public Partition WithGiven(IReadOnlyList<EncodedExample> examples)
    {
        if (!ExampleLists.Any(examples, ExampleTraits.Signs))
            return this;

        sbyte[][] signs =
            [.. Signs.Zip(examples, (own, e) => e.Given is { } given ? [.. own.Zip(given, (sign, said) => said != 0 ? said : sign)] : own)];
        return new(signs, Count(signs, [.. examples.Select(e => e.Response)]), Cut, ForgetCut) { Separation = Separation, Above = Above };
    }

    /// <summary>The division that a score file already holds.</summary>
    /// <param name="signs">Per example, per token.</param>
    /// <param name="score">Per example, per token, for the cuts.</param>
    /// <param name="examples">What they are of.</param>
    public static Partition FromSigns(IReadOnlyList<sbyte[]> signs, IReadOnlyList<float[]> score, IReadOnlyList<EncodedExample> examples)
    {
        double cut = double.NaN, forgetCut = double.NaN;
        for (int i = 0; i < signs.Count; i++)
        {
            sbyte[]? given = examples[i].Given;
            for (int t = 0; t < signs[i].Length; t++)
            {
                if (given?[t] is 1 or -1)
                    continue;

                if (signs[i][t] > 0 && !(score[i][t] >= cut))
                    cut = score[i][t];
                else if (signs[i][t] < 0 && !(score[i][t] <= forgetCut))
                    forgetCut = score[i][t];
            }
        }

        return new(signs, Count(signs, [.. examples.Select(e => e.Response)]), cut, forgetCut);
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Counts.Positive:N0} tokens to learn, {Counts.Negative:N0} negative{(Counts.Ignored > 0 ? $", {Counts.Ignored:N0} ignored" : "")}"
            + $"{(double.IsNaN(Cut) ? "" : $"; learnt from score {Cut:0.####} on")}")
        + (Separation is { } between
            ? string.Create(
                CultureInfo.InvariantCulture, $" (Otsu's cut: {Above:0.0 %} above it, {between:0.00} of the variance between the sides)")
            : "");

    /// <summary>By how much the difference of two losses may be off, nats.</summary>
    internal static double Rounding(double loss) => RoundingOfLosses * Math.Max(1, loss);

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

    // Each value becomes an integer that ascends as the value descends, with its place below it: sorting these is fast,
    // and stable although the sort is not.
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

    private static sbyte[][] Sign(IReadOnlyList<bool[]> response, sbyte[] sign, PartitionLevel level)
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

                signs[i][t] = sign[level == PartitionLevel.Token ? next++ : first];
                if (level == PartitionLevel.Sequence)
                    next = first + 1;
            }
        }

        return signs;
    }

    private static TokenCounts Count(IReadOnlyList<sbyte[]> signs, IReadOnlyList<bool[]> response) =>
        signs.Zip(response).Aggregate(default(TokenCounts), (sum, example) => sum + TokenCounts.From(example.First, example.Second));

    private static float Finite(float value, int example, int token) =>
        float.IsFinite(value)
        ? value
        : throw new UserException($"the score of token {token} of example {example} is {value}, expected a finite number");
}

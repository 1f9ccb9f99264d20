using Forgetting.Backends;
using Forgetting.Operations.Reference;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>The signed loss with every kind of ascent, divergence from the base model, and sampling.</summary>
internal static class LossCases
{
    // Weights of every sign and size that a step makes; the first rows of small cases already hold a negative and a zero.
    private static readonly double[] s_weights = [-0.7, 0, 1.3, -1e-4, 0.02, -2];

    public static IEnumerable<OperationCase> All() => [.. SignedLosses(), .. Divergences(), .. Samples()];

    private static IEnumerable<OperationCase> SignedLosses()
    {
        foreach (AscentKind kind in Enum.GetValues<AscentKind>())
        {
            foreach ((int rows, int vocabulary) in new[] { (1, 2), (7, 23), (12, 257), (3, 1024), (6, 50257) })
            {
                yield return SignedLoss(Ascent.From(kind), rows, vocabulary, "", Spread(rows, vocabulary, 3));
            }

            yield return SignedLoss(Ascent.From(kind), 18, 130, " extreme", Extreme(18, 130));
            yield return SignedLoss(Ascent.From(kind), 6, 33, " equal logits", Constant(6 * 33, -1.5));
        }

        yield return SignedLoss(new(AscentKind.Weighted, 0.3f), 7, 65, " other beta", Spread(7, 65, 2));
        yield return SignedLoss(new(AscentKind.SatImp, 1.5f, 0.5f), 7, 65, " other beta", Spread(7, 65, 2));
        yield return SignedLoss(new(AscentKind.Npo, 1), 7, 65, " other beta", Spread(7, 65, 2));
        yield return SignedLoss(new(AscentKind.Belief, 1, 0.5f), 7, 65, " other beta", Spread(7, 65, 2));
        yield return SignedLoss(new(AscentKind.Belief, 0.1f, 1, 0.7f), 9, 65, " generalised cross-entropy", Spread(9, 65, 2));
        yield return SignedLoss(
            new(AscentKind.Ascent, LearningPower: 0.3f), 12, 130, " generalised cross-entropy extreme", Extreme(12, 130));

        foreach ((int rows, int vocabulary, bool extreme) in new[] { (1, 5, false), (9, 512, false), (18, 130, true), (2, 50257, false) })
        {
            foreach (bool greedy in new[] { false, true })
            {
                Operand logits = Input("logits", rows, vocabulary, extreme ? Extreme(rows, vocabulary) : Spread(rows, vocabulary, 3));
                yield return new("SignedLoss", $"losses of {rows}x{vocabulary}{(extreme ? " extreme" : "")}{(greedy ? " and greedy" : "")}")
                {
                    Operands = [logits, Targets(rows, vocabulary), Output32("losses", 1, rows),
                        .. greedy ? new[] { OutputIntegers("greedy", rows) } : []],
                    Run = (b, t) => b.SignedLoss(t[0], t[1], default, default, default, t[2], greedy ? t[3] : default),
                    Expect = v =>
                    {
                        v[2] = Losses(v[0], v[1]);
                        if (greedy)
                            v[3] = [.. v[0].Chunk(vocabulary).Select(row => (double)ReferenceLoss.ArgMax(row))];
                    },
                };
            }
        }
    }

    private static OperationCase SignedLoss(Ascent ascent, int rows, int vocabulary, string what, Values logits)
    {
        bool needsBase = ascent.NeedsBase;
        return new("SignedLoss", $"{ascent.Kind} {rows}x{vocabulary}{what}")
        {
            Operands =
            [
                // p − e cancels where p_y nears 1: errors are relative to the weight, not to what is left.
                Updated("logits", rows, vocabulary, logits) with { Scale = 0.02 },
                Targets(rows, vocabulary),
                Input32("weights", 1, rows, (_, _) => [.. Enumerable.Range(0, rows).Select(r => s_weights[r % s_weights.Length])]),
                Input32("baseLogProbability", 1, rows, Uniform(rows, -12, -0.01)),
                Output32("losses", 1, rows), OutputIntegers("greedy", rows),
            ],
            Run = (b, t) => b.SignedLoss(t[0], t[1], t[2], needsBase ? t[3] : default, ascent, t[4], t[5]),
            Expect = v =>
            {
                double[][] all = [.. v[0].Chunk(vocabulary)];
                v[4] = Losses(v[0], v[1]);
                v[5] = [.. all.Select(row => (double)ReferenceLoss.ArgMax(row))];
                v[0] = [.. all.SelectMany((row, r) => ReferenceLoss.Gradient(row, (int)v[1][r], v[2][r], ascent, v[3][r]))];
            },
        };
    }

    private static double[] Losses(double[] logits, double[] targets) =>
        [.. logits.Chunk(logits.Length / targets.Length).Select((row, r) => ReferenceLoss.CrossEntropy(row, (int)targets[r]))];

    private static int TargetOf(int row, int vocabulary) => row switch { 0 => vocabulary - 1, 1 => 0, _ => row * 31 % vocabulary };

    private static Operand Targets(int rows, int vocabulary) =>
        Integers("targets", [.. Enumerable.Range(0, rows).Select(r => TargetOf(r, vocabulary))]);

    // Random logits, with targets likely in some rows and unlikely in others.
    private static Values Spread(int rows, int vocabulary, double deviation) => (random, _) =>
    {
        double[] logits = Draw(random, rows * vocabulary, deviation);
        for (int r = 0; r < rows; r++)
        {
            logits[(r * vocabulary) + TargetOf(r, vocabulary)] += (r % 3) * 4;
        }

        return logits;
    };

    // Six rows each: p_y → 1 (losses of nearly 0), p_y → 0 (losses of 160), and one rival that takes nearly all.
    private static Values Extreme(int rows, int vocabulary) => (random, _) =>
    {
        double[] logits = Draw(random, rows * vocabulary, 0.5);
        for (int r = 0; r < rows; r++)
        {
            int target = TargetOf(r, vocabulary);
            for (int i = 0; i < vocabulary; i++)
            {
                double level = (r / 6) switch
                {
                    0 => i == target ? 80 : -80,
                    1 => i == target ? -80 : 80,
                    _ => i == (target + 1) % vocabulary ? 80 : i == target ? 60 : -20,
                };
                logits[(r * vocabulary) + i] += level;
            }
        }

        return logits;
    };

    private static IEnumerable<OperationCase> Divergences()
    {
        foreach ((int rows, int vocabulary) in new[] { (1, 2), (7, 23), (12, 257), (3, 1024), (6, 50257) })
        {
            yield return KlDivergence($"{rows}x{vocabulary}", rows, vocabulary, Spread(rows, vocabulary, 3), Spread(rows, vocabulary, 2));
        }

        // Far apart, each way, and the same: what is divided and subtracted must not overflow, and 0 must come out as 0.
        yield return KlDivergence("extreme base", 18, 130, Spread(18, 130, 1), Extreme(18, 130));
        yield return KlDivergence("extreme", 18, 130, Extreme(18, 130), Spread(18, 130, 1));
        yield return KlDivergence("equal", 6, 33, Constant(6 * 33, -1.5), Constant(6 * 33, 2));
    }

    private static OperationCase KlDivergence(string variant, int rows, int vocabulary, Values logits, Values known) =>
        new("KlDivergence", variant)
        {
            Operands =
            [
                // p − p0 cancels where they agree: errors are relative to the weight.
                Updated("logits", rows, vocabulary, logits) with { Scale = 0.02 },
                Input("baseLogits", rows, vocabulary, known),
                Input32("weights", 1, rows, (_, _) => [.. Enumerable.Range(0, rows).Select(r => s_weights[r % s_weights.Length])]),
                Output32("divergences", 1, rows) with { Scale = 1 }, // nats, of terms that cancel
            ],
            Run = (b, t) => b.KlDivergence(t[0], t[1], t[2], t[3]),
            Expect = v =>
            {
                double[][] all = [.. v[0].Chunk(vocabulary)], bases = [.. v[1].Chunk(vocabulary)];
                v[3] = [.. all.Zip(bases, (row, known) => ReferenceLoss.KlDivergence(row, known))];
                v[0] = [.. all.SelectMany((row, r) => ReferenceLoss.KlGradient(row, bases[r], v[2][r]))];
            },
        };

    private static IEnumerable<OperationCase> Samples()
    {
        foreach ((int rows, int vocabulary, float temperature, int k, float p) in new[]
        {
            (3, 7, 0f, 0, 1f), (9, 7, 1f, 0, 1f), (20, 512, 0.7f, 0, 1f), (20, 512, 1.3f, 40, 1f), (20, 512, 1f, 0, 0.9f),
            (20, 512, 0.8f, 50, 0.95f), (6, 130, 1f, 1, 1f), (6, 130, 1f, 500, 0.5f), (6, 130, 1f, 0, 1e-3f), (4, 50257, 0f, 0, 1f),
            (4, 50257, 1f, 0, 1f), (4, 50257, 0.6f, 40, 0.9f), (4, 50257, 1f, 0, 0.7f), (5, 2, 0.01f, 0, 1f),
        })
        {
            yield return Sample(
                $"{rows}x{vocabulary} temperature {temperature} k {k} p {p}", rows, vocabulary, temperature, k, p,
                Spread(rows, vocabulary, 4));
        }

        // Equal probabilities are powers of two here, so the cuts are exact: ties must go by index.
        yield return Sample("ties", 9, 8, 1, 0, 1, Constant(9 * 8, 0.5));
        yield return Sample("ties, k 3", 9, 8, 1, 3, 1, Constant(9 * 8, 0.5));
        yield return Sample("ties, temperature 0", 2, 8, 0, 0, 1, Constant(2 * 8, 0.5));
        yield return Sample("zeros of both signs", 9, 8, 1, 0, 1, Zeros(9 * 8));
        yield return Sample("zeros of both signs, temperature 0", 2, 8, 0, 0, 1, Zeros(2 * 8));
        yield return Sample("far apart", 18, 130, 1, 0, 0.95f, Extreme(18, 130));
    }

    private static Values Zeros(int count) => (_, _) => [.. Enumerable.Range(0, count).Select(i => i % 8 == 3 ? 0.0 : -0.0)];

    private static OperationCase Sample(string variant, int rows, int vocabulary, float temperature, int k, float p, Values logits) =>
        new("Sample", variant)
        {
            Operands =
            [
                Input("logits", rows, vocabulary, logits),
                Input32("uniforms", 1, rows, (random, v) =>
                    [.. v[0].Chunk(vocabulary).Select(row => Decisive(random, row, temperature, k, p))]),
                OutputIntegers("ids", rows),
            ],
            Run = (b, t) => b.Sample(t[0], temperature, k, p, t[1], t[2]),
            Expect = v =>
                v[2] = [.. v[0].Chunk(vocabulary).Select((row, r) => (double)ReferenceLoss.Sample(row, temperature, k, p, v[1][r]).Id)],
        };

    // A number whose draw no rounding of the cumulative sum can change.
    private static double Decisive(Random random, double[] logits, float temperature, int k, float p)
    {
        for (int attempt = 0; attempt < 1000; attempt++)
        {
            double uniform = (float)random.NextDouble();
            if (ReferenceLoss.Sample(logits, temperature, k, p, uniform).Margin > 3e-6)
                return uniform;
        }

        throw new InvalidOperationException("the logits leave no decisive draw: the case needs others");
    }
}

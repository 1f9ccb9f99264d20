using Forgetting.Backends;

namespace Forgetting.Operations.Reference;

/// <summary>
/// The signed loss, divergence from a base model, their gradients at the logits, and sampling, in plain double precision, one row of
/// logits at a time.
/// </summary>
internal static class ReferenceLoss
{
    /// <summary>log Σ exp.</summary>
    public static double LogSumExp(ReadOnlySpan<double> values)
    {
        double max = double.NegativeInfinity, sum = 0;
        foreach (double value in values)
        {
            max = Math.Max(max, value);
        }

        foreach (double value in values)
        {
            sum += Math.Exp(value - max);
        }

        return max + Math.Log(sum);
    }

    /// <summary>Cross-entropy in nats.</summary>
    public static double CrossEntropy(ReadOnlySpan<double> logits, int target) => LogSumExp(logits) - logits[target];

    /// <summary>
    /// The scalar whose gradient the operation gives: w·CE for w ≥ 0 (or generalised cross-entropy), else |w| times the loss that the kind
    /// of ascent descends. The kinds that their sources define by a factor on the gradient are the integral of that factor over log p_y.
    /// </summary>
    public static double Objective(ReadOnlySpan<double> logits, int target, double weight, Ascent ascent, double baseLogProbability)
    {
        double crossEntropy = CrossEntropy(logits, target);
        if (weight >= 0)
        {
            return weight * (ascent.LearningPower == 0
                ? crossEntropy
                : (1 - Math.Exp(-ascent.LearningPower * crossEntropy)) / ascent.LearningPower);
        }

        double p = Math.Exp(-crossEntropy);
        double total = LogSumExp(logits);
        return -weight * ascent.Kind switch
        {
            AscentKind.Ascent => -crossEntropy,
            AscentKind.Weighted => Math.Pow(p, ascent.Beta) / ascent.Beta,
            AscentKind.SatImp => Integral(x => Math.Pow(x, ascent.Beta - 1.0) * Math.Pow(1 - x, ascent.Beta2), p),
            AscentKind.Npo => 2 / (double)ascent.Beta * Math.Log(1 + Math.Exp(ascent.Beta * (-crossEntropy - baseLogProbability))),
            AscentKind.Belief => Math.Exp(ascent.Beta2 * baseLogProbability) * 2 / ascent.Beta * Math.Log(
                1 + Math.Exp(ascent.Beta * (-crossEntropy - baseLogProbability))),
            AscentKind.Hinge => 1 + p - Math.Exp(logits[RunnerUp(logits, target)] - total),
            AscentKind.Unlikelihood => total - LogSumExp(Others(logits, target)),
            AscentKind.Entropy => total - Mean(logits),
            _ => throw new ArgumentOutOfRangeException(nameof(ascent)),
        };
    }

    /// <summary>Gradient of <see cref="Objective"/> at the logits by the formulas of <see cref="AscentKind"/>.</summary>
    public static double[] Gradient(double[] logits, int target, double weight, Ascent ascent, double baseLogProbability)
    {
        double total = LogSumExp(logits);
        double[] p = [.. logits.Select(logit => Math.Exp(logit - total))];
        double py = p[target];
        // 1 − p_y without cancellation, so that p_y → 1 keeps its meaning.
        double logRest = logits.Length == 1 ? double.NegativeInfinity : LogSumExp(Others(logits, target)) - total;
        double w = Math.Abs(weight);
        // p − e, the target's element as −(1 − p_y).
        double[] descent = [.. p];
        descent[target] = -Math.Exp(logRest);
        if (weight >= 0)
        {
            double learning = w * Math.Pow(py, ascent.LearningPower);
            return [.. descent.Select(value => learning * value)];
        }

        switch (ascent.Kind)
        {
            case AscentKind.Ascent:
                return Scaled(-w);
            case AscentKind.Weighted:
                return Scaled(-w * Math.Pow(py, ascent.Beta));
            case AscentKind.SatImp:
                return Scaled(-w * Math.Pow(py, ascent.Beta) * Math.Exp(ascent.Beta2 * logRest));
            case AscentKind.Npo:
                double ratio = Math.Exp(ascent.Beta * ((logits[target] - total) - baseLogProbability));
                return Scaled(-w * 2 * ratio / (ratio + 1));
            case AscentKind.Belief:
                // p0^γ · 2p^β/(p^β + p0^β), written with probabilities as in its definition.
                double p0 = Math.Exp(baseLogProbability);
                return Scaled(-w * Math.Pow(p0, ascent.Beta2) * 2 * Math.Pow(py, ascent.Beta) / (Math.Pow(py, ascent.Beta) + Math.Pow(
                    p0, ascent.Beta)));
            case AscentKind.Unlikelihood:
                // p_y/(1 − p_y)·(e − p): p_y at the target, −p_y times the softmax over the others elsewhere.
                return [.. logits.Select((logit, i) => w * (i == target ? py : -py * Math.Exp(logit - total - logRest)))];
            case AscentKind.Entropy:
                return [.. p.Select(value => w * (value - (1.0 / p.Length)))];
            case AscentKind.Hinge:
                // ∇p_i = p_i·(e_i − p).
                int rival = RunnerUp(logits, target);
                double[] gradient = new double[p.Length];
                for (int i = 0; i < p.Length; i++)
                {
                    double own = i == target ? Math.Exp(logRest) : -p[i];
                    double other = i == rival ? 1 - p[i] : -p[i];
                    gradient[i] = w * ((py * own) - (p[rival] * other));
                }

                return gradient;
            default:
                throw new ArgumentOutOfRangeException(nameof(ascent));
        }

        double[] Scaled(double factor) => [.. descent.Select(value => factor * value)];
    }

    /// <summary>KL(base‖model) of one row, nats.</summary>
    public static double KlDivergence(double[] logits, double[] baseLogits)
    {
        double total = LogSumExp(logits), baseTotal = LogSumExp(baseLogits);
        return baseLogits.Zip(logits, (known, logit) => Math.Exp(known - baseTotal) * (known - baseTotal - (logit - total))).Sum();
    }

    /// <summary>Gradient of weight·<see cref="KlDivergence"/> at the logits.</summary>
    public static double[] KlGradient(double[] logits, double[] baseLogits, double weight)
    {
        double total = LogSumExp(logits), baseTotal = LogSumExp(baseLogits);
        return [.. logits.Zip(baseLogits, (logit, known) => weight * (Math.Exp(logit - total) - Math.Exp(known - baseTotal)))];
    }

    /// <summary>Index of the largest value, the lowest of equals.</summary>
    public static int ArgMax(ReadOnlySpan<double> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            best = values[i] > values[best] ? i : best;
        }

        return best;
    }

    /// <summary>
    /// One draw, and how far (in probability) every decision on the way was from falling the other way: the test's random numbers are
    /// chosen so that no implementation in Float32 can decide differently.
    /// </summary>
    public static (int Id, double Margin) Sample(double[] logits, double temperature, int topK, double topP, double uniform)
    {
        if (temperature == 0)
            return (ArgMax(logits), 1);

        int[] order = [.. Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).ThenBy(i => i)];
        order = topK > 0 ? order[..Math.Min(topK, order.Length)] : order;
        double total = LogSumExp([.. order.Select(i => logits[i] / temperature)]);
        double[] p = [.. order.Select(i => Math.Exp((logits[i] / temperature) - total))];
        double margin = 1, mass = 1;
        int kept = p.Length;
        if (topP < 1)
        {
            mass = 0;
            kept = 0;
            while (kept < p.Length && mass < topP)
            {
                margin = Math.Min(margin, topP - mass);
                mass += p[kept++];
            }

            margin = Math.Min(margin, mass - topP);
        }

        double cumulated = 0;
        for (int i = 0; i < kept; i++)
        {
            cumulated += p[i] / mass;
            if (uniform < cumulated || i == kept - 1)
            {
                margin = Math.Min(margin, i == kept - 1 ? 1 : cumulated - uniform);
                return (order[i], Math.Min(margin, i == 0 ? 1 : uniform - (cumulated - (p[i] / mass))));
            }
        }

        throw new ArgumentException("no logits", nameof(logits));
    }

    private static int RunnerUp(ReadOnlySpan<double> logits, int target)
    {
        int best = -1;
        for (int i = 0; i < logits.Length; i++)
        {
            best = i != target && (best < 0 || logits[i] > logits[best]) ? i : best;
        }

        return best;
    }

    private static double[] Others(ReadOnlySpan<double> logits, int target) => [.. logits[..target], .. logits[(target + 1)..]];

    private static double Mean(ReadOnlySpan<double> values)
    {
        double sum = 0;
        foreach (double value in values)
        {
            sum += value;
        }

        return sum / values.Length;
    }

    // Simpson's rule from 0 to end.
    private static double Integral(Func<double, double> f, double end)
    {
        const int Steps = 1000;
        double h = end / Steps, sum = f(0) + f(end);
        for (int i = 1; i < Steps; i++)
        {
            sum += (i % 2 == 0 ? 2 : 4) * f(i * h);
        }

        return sum * h / 3;
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    // Cost of a row of a real vocabulary: eight rows make a task, so that what is fetched ahead is mostly the task's own.
    private const int LargeRow = 1 << 11;

    /// <inheritdoc/>
    public void SignedLoss(
        Tensor logits, Tensor targets, Tensor weights, Tensor baseLogProbability, Ascent ascent, Tensor losses, Tensor greedy)
    {
        Contract.SignedLoss(logits, targets, weights, baseLogProbability, ascent, losses, greedy);
        ForEachRow(
            new SignedLossRow(
                Output(logits), logits.Columns, Ints(targets), Floats(weights), Floats(baseLogProbability), ascent, Output(losses),
                Ints(greedy), logits.Rows),
            logits.Rows,
            Math.Min(4L * logits.Columns, LargeRow));
    }

    /// <summary>
    /// One row. Everything is taken relative to the largest logit but the target's, z_m: with e_j = exp(z_j − z_m), R = Σ_{j≠y} e_j ≥ 1 and
    /// t = ln R − (z_y − z_m), the loss is ln(1 + eᵗ), p_y = σ(−t) and 1 − p_y = σ(t). Nothing overflows, and neither a probability near 1
    /// nor a loss near 0 is a difference of equals.
    /// </summary>
    private readonly struct SignedLossRow(
        float* logits, int columns, int* targets, float* weights, float* baseLogProbability, Ascent ascent, float* losses, int* greedy,
        int rows) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* z = logits + ((long)row * columns);
            float* ahead = row + 1 < rows ? z + columns : z;
            int y = targets[row];
            float target = z[y];
            z[y] = float.NegativeInfinity;
            int m = IndexOfMax(z, columns);
            float highest = z[m];
            if (greedy != null)
                greedy[row] = target > highest || (target == highest && y < m) ? y : m;

            float weight = weights == null ? 0 : weights[row];
            double others;
            if (float.IsNegativeInfinity(highest))
            {
                // A vocabulary of one, or everything else excluded, unless it was no number.
                others = HasNaN(z, columns) ? double.NaN : 0;
            }
            else
            {
                z[m] = float.NegativeInfinity;
                double rest = weight == 0 ? SumExp<Kept>(z, columns, highest, ahead) : SumExp<Replaced>(z, columns, highest, ahead);
                others = 1 + rest;
                z[m] = weight == 0 ? highest : 1;
            }

            double t = float.IsPositiveInfinity(target) ? double.NaN : Math.Log(others) - ((double)target - highest);
            double loss = others == 0 ? 0 : t > 0 ? t + LogOnePlus(Math.Exp(-t)) : LogOnePlus(Math.Exp(t));
            losses[row] = (float)loss;
            if (weight != 0)
            {
                Gradient(row, z, y, m, weight, others, t, loss);
            }
            else if (weights != null)
            {
                new Span<float>(z, columns).Clear();
            }
            else
            {
                z[y] = target;
            }
        }

        /// <summary>Turns e_j into the gradient. z[y] counts as 0 and is written.</summary>
        private void Gradient(int row, float* z, int y, int m, double weight, double others, double t, double loss)
        {
            double p = others == 0 ? 1 : 1 / (1 + Math.Exp(t));
            double q = others == 0 ? 0 : 1 / (1 + Math.Exp(-t));

            // p_j = q·e_j / R off the target.
            double share = others == 0 ? 0 : q / others;
            double strength = Math.Abs(weight);
            AscentKind kind = weight > 0 ? AscentKind.Ascent : ascent.Kind;
            double coefficient = kind switch
            {
                AscentKind.Weighted => -strength * Math.Exp(-ascent.Beta * loss),
                AscentKind.SatImp => -strength * Math.Exp(-ascent.Beta * loss) * Math.Pow(q, ascent.Beta2),
                AscentKind.Npo => -strength * 2 / (1 + Math.Exp(ascent.Beta * (baseLogProbability[row] + loss))),
                AscentKind.Belief => -strength * Math.Exp(ascent.Beta2 * baseLogProbability[row]) * 2 / (1 + Math.Exp(
                    ascent.Beta * (baseLogProbability[row] + loss))),
                _ => weight > 0 ? weight * Math.Exp(-ascent.LearningPower * loss) : weight,
            };
            switch (kind)
            {
                case AscentKind.Hinge:
                    // 1 − p_m = p_y + q·(R − 1)/R; the gradient is p_y(e_y − p) − p_m(e_m − p).
                    double second = share;
                    Map(z, strength * (second - p) * share, 0);
                    z[y] = (float)(strength * p * (q + second));
                    if (others != 0)
                        z[m] = (float)(-strength * second * (p + (q * (others - 1) / others) + p));

                    break;
                case AscentKind.Unlikelihood:
                    // p_y/(1 − p_y)·p_j = p_y·e_j / R: bounded by p_y although 1 − p_y may vanish.
                    Map(z, others == 0 ? 0 : -strength * p / others, 0);
                    z[y] = (float)(strength * p);
                    break;
                case AscentKind.Entropy:
                    Map(z, strength * share, -strength / columns);
                    z[y] = (float)(strength * (p - (1.0 / columns)));
                    break;
                default:
                    Map(z, coefficient * share, 0);
                    z[y] = (float)(-coefficient * q);
                    break;
            }
        }

        /// <summary>z = factor·z + shift; where nothing but the target has mass, z may hold −∞, which counts as 0.</summary>
        private void Map(float* z, double factor, double shift)
        {
            if (factor == 0)
            {
                new Span<float>(z, columns).Fill((float)shift);
                return;
            }

            var scale = Vector256.Create((float)factor);
            var offset = Vector256.Create((float)shift);
            for (int i = 0; i < columns; i += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, columns - i);
                Lanes.Store(Lanes.MultiplyAdd(Lanes.Load(z + i, lanes), scale, offset), z + i, lanes);
            }
        }

        private static bool HasNaN(float* x, int count)
        {
            foreach (float value in new ReadOnlySpan<float>(x, count))
            {
                if (float.IsNaN(value))
                    return true;
            }

            return false;
        }

        // ln(1 + x), exact for small x (Kahan's correction).
        private static double LogOnePlus(double x)
        {
            double u = 1 + x;
            return u == 1 ? x : double.IsInfinity(u) ? u : Math.Log(u) * x / (u - 1);
        }

        /// <summary>
        /// Σ exp(z − shift), optionally leaving the terms in place. Blocks in Float32, their sum in double. Meanwhile the next row comes
        /// into the second-level cache: this pass is bound by arithmetic and the search for the largest by memory.
        /// </summary>
        private static double SumExp<TStore>(float* z, int columns, float shift, float* ahead)
            where TStore : struct, IStore
        {
            const int Block = 2048;
            var subtrahend = Vector256.Create(shift);
            double total = 0;
            for (int start = 0; start < columns; start += Block)
            {
                int end = Math.Min(start + Block, columns);
                Vector256<float> s0 = Vector256<float>.Zero, s1 = s0;
                int i = start;
                if (Vector512.IsHardwareAccelerated)
                {
                    Vector512<float> s = Vector512<float>.Zero; // s0 and s1 side by side
                    for (; i <= end - Vector512<float>.Count; i += Vector512<float>.Count)
                    {
                        Sse.Prefetch1(ahead + i);
                        Vector512<float> e = VectorMath.Exp(Vector512.Load(z + i) - Vector512.Create(shift));
                        s += e;
                        TStore.Store(e, z + i);
                    }

                    (s0, s1) = (s.GetLower(), s.GetUpper());
                }

                for (; i <= end - (2 * Lanes.Count); i += 2 * Lanes.Count)
                {
                    if (Sse.IsSupported)
                        Sse.Prefetch1(ahead + i);

                    Vector256<float> e0 = VectorMath.Exp(Vector256.Load(z + i) - subtrahend);
                    Vector256<float> e1 = VectorMath.Exp(Vector256.Load(z + i + Lanes.Count) - subtrahend);
                    s0 += e0;
                    s1 += e1;
                    TStore.Store(e0, z + i, Lanes.Count);
                    TStore.Store(e1, z + i + Lanes.Count, Lanes.Count);
                }

                total += Vector256.Sum(s0 + s1);
                for (; i < end; i += Lanes.Count)
                {
                    int lanes = Math.Min(Lanes.Count, end - i);
                    Vector256<float> e = VectorMath.Exp(Lanes.Load(z + i, lanes) - subtrahend);
                    TStore.Store(e, z + i, lanes);
                    for (int lane = 0; lane < lanes; lane++)
                    {
                        total += e.GetElement(lane);
                    }
                }
            }

            return total;
        }
    }

    private interface IStore
    {
        static abstract void Store(Vector256<float> value, float* destination, int lanes);

        static abstract void Store(Vector512<float> value, float* destination);
    }

    private readonly struct Kept : IStore
    {
        public static void Store(Vector256<float> value, float* destination, int lanes)
        {
        }

        public static void Store(Vector512<float> value, float* destination)
        {
        }
    }

    private readonly struct Replaced : IStore
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(Vector256<float> value, float* destination, int lanes) => Lanes.Store(value, destination, lanes);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(Vector512<float> value, float* destination) => value.Store(destination);
    }

    /// <summary>Index of the largest value, the lowest of equals; NaN counts as smaller than anything.</summary>
    private static int IndexOfMax(float* x, int count)
    {
        // By blocks that stay in the first-level cache, so that the place is sought in one of them only.
        const int Block = 4096;
        int place = 0;
        float highest = float.NegativeInfinity;
        for (int start = 0; start < count; start += Block)
        {
            float found = Max(x + start, Math.Min(Block, count - start));
            if (found > highest)
            {
                highest = found;
                place = start;
            }
        }

        // Nothing above −∞: the first −∞ can lie anywhere behind what is no number.
        int length = float.IsNegativeInfinity(highest) ? count : Math.Min(Block, count - place);
        return place + Math.Max(new ReadOnlySpan<float>(x + place, length).IndexOf(highest), 0);
    }

    private static float Max(float* x, int count)
    {
        // Four chains: a comparison and a selection wait for each other.
        Vector256<float> b0 = Vector256.Create(float.NegativeInfinity), b1 = b0, b2 = b0, b3 = b0;
        int i = 0;
        for (; i <= count - (4 * Lanes.Count); i += 4 * Lanes.Count)
        {
            b0 = Larger(Vector256.Load(x + i), b0);
            b1 = Larger(Vector256.Load(x + i + Lanes.Count), b1);
            b2 = Larger(Vector256.Load(x + i + (2 * Lanes.Count)), b2);
            b3 = Larger(Vector256.Load(x + i + (3 * Lanes.Count)), b3);
        }

        Vector256<float> best = Larger(Larger(b0, b1), Larger(b2, b3));
        for (; i <= count - Lanes.Count; i += Lanes.Count)
        {
            best = Larger(Vector256.Load(x + i), best);
        }

        float highest = float.NegativeInfinity;
        for (int lane = 0; lane < Lanes.Count; lane++)
        {
            highest = Math.Max(highest, best.GetElement(lane));
        }

        for (; i < count; i++)
        {
            highest = x[i] > highest ? x[i] : highest;
        }

        return highest;

        static Vector256<float> Larger(Vector256<float> value, Vector256<float> best) =>
            Vector256.ConditionalSelect(Vector256.GreaterThan(value, best), value, best);
    }
}

using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Operations.Reference;

namespace Forgetting.Testing.Reference;

/// <summary>A low-rank update of one linear layer: y += Scale·(x·Aᵀ)·Bᵀ.</summary>
/// <param name="A">[r, in].</param>
/// <param name="B">[out, r].</param>
/// <param name="Rank">r.</param>
/// <param name="Scale">α/r or α/√r.</param>
/// <param name="Magnitude">[out] what the rows of W + Scale·B·A have for lengths instead of their own; empty where they keep these.</param>
/// <param name="Lengths">[out] their own, which are constants for gradients.</param>
internal sealed record ReferenceLora(double[] A, double[] B, int Rank, double Scale, double[] Magnitude, double[] Lengths);

/// <summary>
/// The decoder of all families in plain double precision, one document at a time, as the transformers library computes
/// it (modeling_llama, modeling_qwen3, modeling_olmo2, modeling_granite, modeling_gpt2, …). Every loop is written out; nothing is cached,
/// blocked or shared with the library under test.
/// </summary>
/// <param name="config">The model.</param>
/// <param name="weights">
/// Values by their name in the checkpoint, in the file's layout: [out, in] for linear layers, but [in, out] for the four projections of
/// gpt2. The arrays are read anew on every call, so a test may change an element between two calls.
/// </param>
/// <param name="lora">Updates by the name of the layer, that of its weight without <c>.weight</c>.</param>
internal sealed class ReferenceDecoder(
    ModelConfig config, IReadOnlyDictionary<string, double[]> weights, IReadOnlyDictionary<string, ReferenceLora>? lora = null)
{
    private readonly ReferenceNames _names = ReferenceNames.Of(config);

    /// <summary>The model.</summary>
    public ModelConfig Config => config;

    /// <summary>Logits [T][V]; row t predicts token t + 1.</summary>
    /// <param name="block">As for <see cref="Hidden"/>.</param>
    public double[][] Logits(ReadOnlySpan<int> ids, Func<int, double[][], double[][]>? block = null)
    {
        double[] head = weights.GetValueOrDefault(_names.Head + ".weight") ?? weights[EmbeddingName];
        return [.. Hidden(ids, block).Select(
            x => Capped(Times(Update(_names.Head, x, Product(head, x, config.VocabularySize)), config.LogitScale), config.LogitCap))];
    }

    /// <summary>Cross-entropy of every token given those before it, in nats; [T], the first 0.</summary>
    public double[] Losses(ReadOnlySpan<int> ids)
    {
        double[][] logits = Logits(ids);
        double[] losses = new double[ids.Length];
        for (int t = 1; t < ids.Length; t++)
        {
            losses[t] = ReferenceLoss.CrossEntropy(logits[t - 1], ids[t]);
        }

        return losses;
    }

    /// <summary>Final hidden states after the last norm, [T][C].</summary>
    /// <param name="block">Called with the number of each block and its input, [T][C]; gives what the block sees in its place. After the
    /// last block it is called once more.</param>
    public double[][] Hidden(ReadOnlySpan<int> ids, Func<int, double[][], double[][]>? block = null)
    {
        int c = config.HiddenSize;
        double[] embedding = weights[EmbeddingName];
        double scale = IsGemma ? Math.Sqrt(c) : config.EmbeddingScale;
        double[][] x = new double[ids.Length][];
        for (int t = 0; t < x.Length; t++)
        {
            x[t] = Times(Sum(embedding[(ids[t] * c)..((ids[t] + 1) * c)], TableUpdate(EmbeddingName, ids[t])), scale);
            if (_names.Positions != "")
            {
                string positions = _names.Positions + ".weight";
                x[t] = Sum(x[t], Sum(weights[positions][(t * c)..((t + 1) * c)], TableUpdate(positions, t)));
            }
        }

        for (int layer = 0; layer < config.Layers; layer++)
        {
            x = block?.Invoke(layer, x) ?? x;
            string path = $"{_names.Blocks}.{layer}.";
            double[][] attended = Attention(layer, path, [.. x.Select(row => Norm(path, _names.Norm1, row))]);
            if (config.ParallelBlocks)
            {
                x = [.. x.Zip(attended, (row, y) => Sum(Sum(row, y), Mlp(path, Norm(path, _names.Norm2, row))))];
                continue;
            }

            x = [.. x.Zip(attended, (row, y) => Sum(row, Times(Norm(path, _names.Norm1Out, y), config.ResidualScale)))];
            x = [.. x.Select(row => Sum(
                row, Times(Norm(path, _names.Norm2Out, Mlp(path, Norm(path, _names.Norm2, row))), config.ResidualScale)))];
        }

        x = block?.Invoke(config.Layers, x) ?? x;
        return [.. x.Select(row => Norm("", _names.Last, row))];
    }

    private bool IsGemma => config.Family.ModelType.StartsWith("gemma", StringComparison.Ordinal);

    private string EmbeddingName => _names.Embedding + ".weight";

    private double[][] Attention(int layer, string block, double[][] x)
    {
        int d = config.HeadSize, length = x.Length, queryColumns = config.Heads * d, keyColumns = config.KeyValueHeads * d;
        double[][] q, k, v;
        if (_names.Fused != "")
        {
            double[][] fused = [.. x.Select(row => Linear(block + _names.Fused, row, queryColumns + (2 * keyColumns)))];
            if (config.Family.ModelType == "gpt_neox")
            {
                // view(…, heads, 3 · d), then thirds of each head.
                double[] Third(double[] row, int third) =>
                    [.. row.Chunk(3 * d).SelectMany(head => head[(third * d)..((third + 1) * d)])];
                q = [.. fused.Select(row => Third(row, 0))];
                k = [.. fused.Select(row => Third(row, 1))];
                v = [.. fused.Select(row => Third(row, 2))];
            }
            else
            {
                q = [.. fused.Select(row => row[..queryColumns])];
                k = [.. fused.Select(row => row[queryColumns..(queryColumns + keyColumns)])];
                v = [.. fused.Select(row => row[(queryColumns + keyColumns)..])];
            }
        }
        else
        {
            q = [.. x.Select(row => Linear(block + _names.Query, row, queryColumns))];
            k = [.. x.Select(row => Linear(block + _names.Key, row, keyColumns))];
            v = [.. x.Select(row => Linear(block + _names.Value, row, keyColumns))];
        }

        int normed = config.QueryKeyNorm == QueryKeyNorm.Head ? d : 0;
        q = [.. q.Select(row => NormParts(block, _names.QueryNorm, row, normed))];
        k = [.. k.Select(row => NormParts(block, _names.KeyNorm, row, normed))];
        if (!config.LearnedPositions && (config.RotaryLayers.Count == 0 || config.RotaryLayers[layer]))
        {
            for (int t = 0; t < length; t++)
            {
                Rotate(layer, q[t], t, length);
                Rotate(layer, k[t], t, length);
            }
        }

        double scale = config.Family.ModelType switch
        {
            "gpt_neo" => 1,
            "granite" or "gemma2" or "gemma3_text" => config.AttentionScale,
            _ => 1 / Math.Sqrt(d),
        };
        int window = config.WindowOf(layer) is > 0 and int w ? w : int.MaxValue;
        double[][] result = new double[length][];
        for (int t = 0; t < length; t++)
        {
            double[] o = new double[queryColumns];
            for (int h = 0; h < config.Heads; h++)
            {
                int shared = h / (config.Heads / config.KeyValueHeads);
                double[] scores = new double[t + 1];
                for (int s = 0; s <= t; s++)
                {
                    scores[s] = scale * Dot(q[t], h * d, k[s], shared * d, d);
                }

                scores = Capped(scores, config.ScoreCap);
                for (int s = 0; s <= t - window; s++)
                {
                    scores[s] = double.NegativeInfinity;
                }

                double total = ReferenceLoss.LogSumExp(scores);
                for (int s = 0; s <= t; s++)
                {
                    double weight = Math.Exp(scores[s] - total);
                    for (int i = 0; i < d; i++)
                    {
                        o[(h * d) + i] += weight * v[s][(shared * d) + i];
                    }
                }
            }

            result[t] = Linear(block + _names.Output, o, config.HiddenSize);
        }

        return result;
    }

    private double[] Mlp(string block, double[] x)
    {
        int inner = config.IntermediateSize;
        if (_names.GateUp != "")
        {
            double[] both = Linear(block + _names.GateUp, x, 2 * inner);
            return Linear(
                block + _names.Down, [.. both[..inner].Zip(both[inner..], (g, u) => Gate(g) * u)], config.HiddenSize);
        }

        if (_names.Gate != "")
        {
            double[] gate = Linear(block + _names.Gate, x, inner);
            double[] up = Linear(block + _names.Up, x, inner);
            return Linear(block + _names.Down, [.. gate.Zip(up, (g, u) => Gate(g) * u)], config.HiddenSize);
        }

        bool tanh = config.Activation == ActivationKind.GeluTanh;
        double[] hidden = Linear(block + _names.Up, x, inner);
        return Linear(block + _names.Down, [.. hidden.Select(value => ReferenceElementwise.Gelu(value, tanh))], config.HiddenSize);
    }

    private double[] Linear(string name, double[] x, int columns)
    {
        double[] weight = weights[name + ".weight"];
        double[] y;
        if (config.Family == ModelFamilies.Gpt2)
        {
            y = new double[columns];
            for (int i = 0; i < x.Length; i++)
            {
                for (int j = 0; j < columns; j++)
                {
                    y[j] += x[i] * weight[(i * columns) + j];
                }
            }
        }
        else
        {
            y = Product(weight, x, columns);
        }

        y = Update(name, x, y);
        return weights.TryGetValue(name + ".bias", out double[]? bias) ? Sum(y, bias) : y;
    }

    // y + s·B·A·x where the layer is adapted.
    private double[] Update(string name, double[] x, double[] y)
    {
        if (lora == null || !lora.TryGetValue(name, out ReferenceLora? update))
            return y;

        double[] low = Product(update.A, x, update.Rank);
        double[] sum = Sum(y, [.. Product(update.B, low, y.Length).Select(value => update.Scale * value)]);
        return update.Magnitude.Length == 0
            ? sum
            : [.. sum.Select((value, j) => value * update.Magnitude[j] / update.Lengths[j])];
    }

    // s·A[row]·Bᵀ of an adapted table, whose A is [V, r]; zeros of one that is not.
    private double[] TableUpdate(string weight, int row)
    {
        if (lora == null || !lora.TryGetValue(weight[..^".weight".Length], out ReferenceLora? update))
            return new double[config.HiddenSize];

        double[] low = update.A[(row * update.Rank)..((row + 1) * update.Rank)];
        return [.. Product(update.B, low, config.HiddenSize).Select(value => update.Scale * value)];
    }

    // Heads of `columns` each by itself, or the whole row where that is 0.
    private double[] NormParts(string block, string name, double[] x, int columns) =>
        [.. x.Chunk(columns == 0 ? x.Length : columns).SelectMany(part => Norm(block, name, part))];

    // As it is where the family has no such norm.
    private double[] Norm(string block, string name, double[] x)
    {
        if (name == "")
            return x;

        double offset = IsGemma ? 1 : 0;
        double mean = config.LayerNorm ? x.Average() : 0;
        double rstd = 1 / Math.Sqrt(x.Select(value => (value - mean) * (value - mean)).Average() + config.NormEpsilon);
        double[] y = [.. x.Zip(weights[$"{block}{name}.weight"], (value, gain) => (gain + offset) * (value - mean) * rstd)];
        return config.LayerNorm ? Sum(y, weights[$"{block}{name}.bias"]) : y;
    }

    private void Rotate(int layer, double[] x, int position, int length)
    {
        int half = (config.RotaryColumns ?? config.HeadSize) / 2;
        for (int start = 0; start < x.Length; start += config.HeadSize)
        {
            for (int i = 0; i < half; i++)
            {
                (double sine, double cosine) = Math.SinCos(position * Frequency(layer, i, length));
                (sine, cosine) = (RopeFactor * sine, RopeFactor * cosine);
                (double a, double b) = (x[start + i], x[start + half + i]);
                x[start + i] = (a * cosine) - (b * sine);
                x[start + half + i] = (b * cosine) + (a * sine);
            }
        }
    }

    // Spelt out as modeling_rope_utils does, not in the form of the library.
    private double Frequency(int layer, int i, int length)
    {
        int d = config.RotaryColumns ?? config.HeadSize;
        if (config.WindowRopeTheta is { } theta && config.Windows[layer] > 0)
            return Math.Pow(theta, -2.0 * i / d);

        double frequency = Math.Pow(config.RopeTheta, -2.0 * i / d);
        switch (config.RopeScaling)
        {
            case LinearRopeScaling linear:
                return frequency / linear.Factor;
            case Llama3RopeScaling scaling:
                double wavelength = 2 * Math.PI / frequency;
                if (wavelength > scaling.OriginalContext / scaling.LowFrequencyFactor)
                    return frequency / scaling.Factor;

                if (wavelength < scaling.OriginalContext / scaling.HighFrequencyFactor)
                    return frequency;

                double smooth = ((scaling.OriginalContext / wavelength) - scaling.LowFrequencyFactor)
                    / (scaling.HighFrequencyFactor - scaling.LowFrequencyFactor);
                return ((1 - smooth) * frequency / scaling.Factor) + (smooth * frequency);
            case YarnRopeScaling yarn:
                double low = Math.Max(Math.Floor(CorrectionDimension(yarn.BetaFast)), 0);
                double high = Math.Min(Math.Ceiling(CorrectionDimension(yarn.BetaSlow)), d - 1);
                double ramp = Math.Clamp((i - low) / (high - low), 0, 1);
                return (frequency / yarn.Factor * ramp) + (frequency * (1 - ramp));

                double CorrectionDimension(double rotations) =>
                    d * Math.Log(yarn.OriginalContext / (rotations * 2 * Math.PI)) / (2 * Math.Log(config.RopeTheta));
            case LongRopeScaling lengthened:
                IReadOnlyList<double> factors = length > lengthened.OriginalContext ? lengthened.LongFactors : lengthened.ShortFactors;
                return 1 / (factors[i] * Math.Pow(config.RopeTheta, 2.0 * i / d));
            default:
                return frequency;
        }
    }

    // On cosines and sines.
    private double RopeFactor => config.RopeScaling switch
    {
        YarnRopeScaling yarn => (0.1 * Math.Log(yarn.Factor)) + 1,
        LongRopeScaling rope => Math.Sqrt(1 + (Math.Log((double)rope.FullContext / rope.OriginalContext) / Math.Log(rope.OriginalContext))),
        _ => 1,
    };

    private double Gate(double x) => IsGemma ? ReferenceElementwise.Gelu(x, tanh: true) : x / (1 + Math.Exp(-x));

    private static double[] Capped(double[] x, double cap) => cap == 0 ? x : [.. x.Select(value => cap * Math.Tanh(value / cap))];

    private static double[] Times(double[] x, double factor) => [.. x.Select(value => factor * value)];

    private static double[] Product(double[] matrix, double[] x, int rows)
    {
        double[] y = new double[rows];
        for (int i = 0; i < rows; i++)
        {
            y[i] = Dot(matrix, i * x.Length, x, 0, x.Length);
        }

        return y;
    }

    private static double Dot(double[] a, int startA, double[] b, int startB, int count)
    {
        // Four sums: a single one would wait for itself at every element.
        double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        int i = 0;
        for (; i + 4 <= count; i += 4)
        {
            sum0 += a[startA + i] * b[startB + i];
            sum1 += a[startA + i + 1] * b[startB + i + 1];
            sum2 += a[startA + i + 2] * b[startB + i + 2];
            sum3 += a[startA + i + 3] * b[startB + i + 3];
        }

        for (; i < count; i++)
        {
            sum0 += a[startA + i] * b[startB + i];
        }

        return sum0 + sum1 + sum2 + sum3;
    }

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];
}

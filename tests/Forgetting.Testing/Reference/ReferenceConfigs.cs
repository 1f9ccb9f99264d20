using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Tensors;

namespace Forgetting.Testing.Reference;

/// <summary>
/// Small random models of every family, at sizes that no tile or vector divides: a few hundred to two thousand parameters each, grouped
/// queries, heads whose columns do not add up to the hidden size, windows shorter than the tests' documents.
/// </summary>
internal static class ReferenceConfigs
{
    /// <summary>All configurations by name.</summary>
    public static IReadOnlyDictionary<string, ModelConfig> All { get; } = new Dictionary<string, ModelConfig>
    {
        ["llama"] = Llama(),
        ["llama-tied"] = Llama() with { TiedHead = true, KeyValueHeads = 3, Heads = 3 },
        ["llama-scaled-rope"] = Llama() with { RopeTheta = 500, RopeScaling = new(8, 1, 4, 32) },
        ["llama-biases"] = Llama() with { QueryKeyValueBias = true, AttentionOutputBias = true, MlpBias = true },
        ["qwen2"] =
            Llama() with { Family = ModelFamilies.Qwen2, QueryKeyValueBias = true, TiedHead = true, NormEpsilon = 1e-6, RopeTheta = 1e6 },
        ["qwen2-window"] = Llama() with { Family = ModelFamilies.Qwen2, QueryKeyValueBias = true, Windows = [0, 3] },
        ["mistral"] = Llama() with { Family = ModelFamilies.Mistral, Windows = [3, 3] },
        ["gpt2"] = Gpt(ModelFamilies.Gpt2),
        ["gpt2-erf"] = Gpt(ModelFamilies.Gpt2) with { Activation = ActivationKind.Gelu },
        ["gpt_neo"] = Gpt(ModelFamilies.GptNeo) with { AttentionScale = 1, Windows = [0, 3], QueryKeyValueBias = false },
    };

    /// <summary>Names and shapes of the parameters as they stand in the file; vectors have one row.</summary>
    public static IEnumerable<(string Name, Shape Shape)> Parameters(ModelConfig config)
    {
        int c = config.HiddenSize, v = config.VocabularySize, inner = config.IntermediateSize;
        int queries = config.Heads * config.HeadSize, keys = config.KeyValueHeads * config.HeadSize;
        List<(string, Shape)> all = [];
        string norm1 = "ln_1", norm2 = "ln_2", last = "transformer.ln_f";
        if (config.LayerNorm)
        {
            all.Add(("transformer.wte.weight", new(v, c)));
            all.Add(("transformer.wpe.weight", new(config.ContextLength, c)));
        }
        else
        {
            (norm1, norm2, last) = ("input_layernorm", "post_attention_layernorm", "model.norm");
            all.Add(("model.embed_tokens.weight", new(v, c)));
        }

        for (int layer = 0; layer < config.Layers; layer++)
        {
            string block = config.LayerNorm ? $"transformer.h.{layer}." : $"model.layers.{layer}.";
            Norm(block + norm1);
            switch (config.Family.ModelType)
            {
                case "gpt2":
                    Linear(block + "attn.c_attn", 3 * queries, c, bias: true);
                    Linear(block + "attn.c_proj", c, queries, bias: true);
                    break;
                case "gpt_neo":
                    Projections(block + "attn.attention.", "out_proj");
                    break;
                default:
                    Projections(block + "self_attn.", "o_proj");
                    break;
            }

            Norm(block + norm2);
            if (config.Activation == ActivationKind.SwiGlu)
            {
                Linear(block + "mlp.gate_proj", inner, c, config.MlpBias);
                Linear(block + "mlp.up_proj", inner, c, config.MlpBias);
                Linear(block + "mlp.down_proj", c, inner, config.MlpBias);
            }
            else
            {
                Linear(block + "mlp.c_fc", inner, c, config.MlpBias);
                Linear(block + "mlp.c_proj", c, inner, config.MlpBias);
            }
        }

        Norm(last);
        if (!config.TiedHead)
            all.Add(("lm_head.weight", new(v, c)));

        return all;

        void Projections(string attention, string output)
        {
            Linear(attention + "q_proj", queries, c, config.QueryKeyValueBias);
            Linear(attention + "k_proj", keys, c, config.QueryKeyValueBias);
            Linear(attention + "v_proj", keys, c, config.QueryKeyValueBias);
            Linear(attention + output, c, queries, config.AttentionOutputBias);
        }

        void Linear(string name, int rows, int columns, bool bias)
        {
            all.Add((name + ".weight", config.Family == ModelFamilies.Gpt2 ? new(columns, rows) : new(rows, columns)));
            if (bias)
                all.Add((name + ".bias", new(rows)));
        }

        void Norm(string name)
        {
            all.Add((name + ".weight", new(c)));
            if (config.LayerNorm)
                all.Add((name + ".bias", new(c)));
        }
    }

    /// <summary>
    /// Random values for <see cref="Parameters"/>, each exactly representable in Float32 so that a file holds the same numbers. They are
    /// large enough (gains about 1, matrices about 1/√in) that a wrong term shows in the logits.
    /// </summary>
    public static Dictionary<string, double[]> RandomWeights(ModelConfig config, int seed)
    {
        var random = new Random(seed);
        Dictionary<string, double[]> weights = [];
        foreach ((string name, Shape shape) in Parameters(config))
        {
            bool gain = name.EndsWith("norm.weight", StringComparison.Ordinal) || name.Contains(".ln_", StringComparison.Ordinal);
            bool table = name.Contains("embed", StringComparison.Ordinal) || name.Contains(".wte", StringComparison.Ordinal);
            double width = table ? 1 : shape.Rows == 1 ? 0.3 : 1.5 / Math.Sqrt(config.HiddenSize);
            double centre = gain && name.EndsWith(".weight", StringComparison.Ordinal) ? 1 : 0;
            weights[name] =
                [.. Enumerable.Range(0, (int)shape.Count).Select(_ => (double)(float)(centre + (width * ((2 * random.NextDouble()) - 1))))];
        }

        return weights;
    }

    private static ModelConfig Llama() => new()
    {
        Family = ModelFamilies.Llama,
        VocabularySize = 23,
        HiddenSize = 10,
        IntermediateSize = 13,
        Layers = 2,
        Heads = 4,
        KeyValueHeads = 2,
        HeadSize = 6,
        ContextLength = 32,
        AttentionScale = 1 / Math.Sqrt(6),
        BosTokenId = 1,
        EosTokenIds = [2],
    };

    private static ModelConfig Gpt(ModelFamily family) => new()
    {
        Family = family,
        LayerNorm = true,
        LearnedPositions = true,
        VocabularySize = 19,
        HiddenSize = 9,
        IntermediateSize = 14,
        Layers = 2,
        Heads = 3,
        KeyValueHeads = 3,
        HeadSize = 3,
        ContextLength = 24,
        AttentionScale = 1 / Math.Sqrt(3),
        Activation = ActivationKind.GeluTanh,
        QueryKeyValueBias = true,
        AttentionOutputBias = true,
        MlpBias = true,
        TiedHead = true,
        BosTokenId = 0,
        EosTokenIds = [0],
    };
}

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
        ["llama-scaled-rope"] = Llama() with { RopeTheta = 500, RopeScaling = new Llama3RopeScaling(8, 1, 4, 32) },
        ["llama-linear-rope"] = Llama() with { RopeScaling = new LinearRopeScaling(4) },
        ["llama-yarn"] = Llama() with
        {
            RopeTheta = 50,
            RopeScaling = YarnRopeScaling.From(4, 700),
            HeadSize = 12,
            AttentionScale = 1 / Math.Sqrt(12),
        },
        ["llama-biases"] = Llama() with { QueryKeyValueBias = true, AttentionOutputBias = true, MlpBias = true },
        ["qwen2"] =
            Llama() with { Family = ModelFamilies.Qwen2, QueryKeyValueBias = true, TiedHead = true, NormEpsilon = 1e-6, RopeTheta = 1e6 },
        ["qwen2-window"] = Llama() with { Family = ModelFamilies.Qwen2, QueryKeyValueBias = true, Windows = [0, 3] },
        ["qwen3"] = Llama() with
        {
            Family = ModelFamilies.Qwen3,
            QueryKeyNorm = QueryKeyNorm.Head,
            TiedHead = true,
            NormEpsilon = 1e-6,
            RopeTheta = 1e6,
        },
        ["olmo2"] = Llama() with
        {
            Family = ModelFamilies.Olmo2,
            QueryKeyNorm = QueryKeyNorm.Projection,
            NormPlace = NormPlace.After,
            RopeTheta = 5e5,
        },
        ["granite"] = Llama() with
        {
            Family = ModelFamilies.Granite,
            EmbeddingScale = 1.75,
            AttentionScale = 0.3,
            ResidualScale = 0.625,
            LogitScale = 1 / 1.5,
            TiedHead = true,
        },
        ["smollm3"] = Llama() with
        {
            Family = ModelFamilies.SmolLm3,
            Layers = 3,
            RotaryLayers = [true, false, true],
            RopeTheta = 2e6,
            TiedHead = true,
            Windows = [0, 3, 0],
        },
        ["gemma"] = Gemma(ModelFamilies.Gemma),
        ["gemma2"] = Gemma(ModelFamilies.Gemma2) with
        {
            NormPlace = NormPlace.Both,
            Windows = [3, 0],
            ScoreCap = 1.5,
            LogitCap = 2,
            AttentionScale = 1 / Math.Sqrt(5),
        },
        ["gemma3"] = Gemma(ModelFamilies.Gemma3) with
        {
            NormPlace = NormPlace.Both,
            QueryKeyNorm = QueryKeyNorm.Head,
            Layers = 3,
            Windows = [3, 3, 0],
            RopeTheta = 1e6,
            WindowRopeTheta = 100,
            RopeScaling = new LinearRopeScaling(8),
            AttentionScale = 1 / Math.Sqrt(5),
        },
        ["phi3"] = Llama() with { Family = ModelFamilies.Phi3, Windows = [4, 4], RotaryColumns = 4 },
        ["phi3-longrope"] = Llama() with
        {
            Family = ModelFamilies.Phi3,
            RopeScaling = new LongRopeScaling([1, 1.5, 3], [2, 4, 9], 8, 32, Math.Sqrt(1 + (Math.Log(4) / Math.Log(8)))),
        },
        ["gpt_neox"] = NeoX(),
        ["gpt_neox-sequential"] = NeoX() with { ParallelBlocks = false, TiedHead = true, RotaryColumns = null },
        ["mistral"] = Llama() with { Family = ModelFamilies.Mistral, Windows = [3, 3] },
        ["gpt2"] = Gpt(ModelFamilies.Gpt2),
        ["gpt2-erf"] = Gpt(ModelFamilies.Gpt2) with { Activation = ActivationKind.Gelu },
        ["gpt_neo"] = Gpt(ModelFamilies.GptNeo) with { AttentionScale = 1, Windows = [0, 3], QueryKeyValueBias = false },
    };

    /// <summary>One configuration of each family, the first, by name.</summary>
    public static IEnumerable<string> OfFamilies => All.GroupBy(named => named.Value.Family).Select(family => family.First().Key);

    /// <summary>Names and shapes of the parameters as they stand in the file; vectors have one row.</summary>
    public static IEnumerable<(string Name, Shape Shape)> Parameters(ModelConfig config)
    {
        int c = config.HiddenSize, v = config.VocabularySize, inner = config.IntermediateSize;
        int queries = config.Heads * config.HeadSize, keys = config.KeyValueHeads * config.HeadSize;
        ReferenceNames names = ReferenceNames.Of(config);
        List<(string, Shape)> all = [(names.Embedding + ".weight", new(v, c))];
        if (names.Positions != "")
            all.Add((names.Positions + ".weight", new(config.ContextLength, c)));

        for (int layer = 0; layer < config.Layers; layer++)
        {
            string block = $"{names.Blocks}.{layer}.";
            Norm(block, names.Norm1, c);
            Linear(block, names.Fused, queries + (2 * keys), c, config.QueryKeyValueBias);
            if (names.Fused == "")
            {
                Linear(block, names.Query, queries, c, config.QueryKeyValueBias);
                Linear(block, names.Key, keys, c, config.QueryKeyValueBias);
                Linear(block, names.Value, keys, c, config.QueryKeyValueBias);
            }

            bool apart = config.QueryKeyNorm == QueryKeyNorm.Head;
            Norm(block, names.QueryNorm, apart ? config.HeadSize : queries);
            Norm(block, names.KeyNorm, apart ? config.HeadSize : keys);
            Linear(block, names.Output, c, queries, config.AttentionOutputBias);
            Norm(block, names.Norm1Out, c);
            Norm(block, names.Norm2, c);
            Linear(block, names.GateUp, 2 * inner, c, config.MlpBias);
            Linear(block, names.Gate, inner, c, config.MlpBias);
            Linear(block, names.Up, inner, c, config.MlpBias);
            Linear(block, names.Down, c, inner, config.MlpBias);
            Norm(block, names.Norm2Out, c);
        }

        Norm("", names.Last, c);
        if (!config.TiedHead)
            all.Add((names.Head + ".weight", new(v, c)));

        return all;

        void Linear(string block, string name, int rows, int columns, bool bias)
        {
            if (name == "")
                return;

            all.Add(($"{block}{name}.weight", config.Family == ModelFamilies.Gpt2 ? new(columns, rows) : new(rows, columns)));
            if (bias)
                all.Add(($"{block}{name}.bias", new(rows)));
        }

        void Norm(string block, string name, int columns)
        {
            if (name == "")
                return;

            all.Add(($"{block}{name}.weight", new(columns)));
            if (config.LayerNorm)
                all.Add(($"{block}{name}.bias", new(columns)));
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
            bool table = (name.Contains("embed", StringComparison.Ordinal) && name != "embed_out.weight")
                || name.Contains(".wte", StringComparison.Ordinal);
            double width = table ? 1 : shape.Rows == 1 ? 0.3 : 1.5 / Math.Sqrt(config.HiddenSize);
            double centre = gain && name.EndsWith(".weight", StringComparison.Ordinal) ? 1 - config.GainOffset : 0;
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

    private static ModelConfig Gemma(ModelFamily family) => Llama() with
    {
        Family = family,
        GainOffset = 1,
        EmbeddingScale = Math.Sqrt(10),
        Activation = ActivationKind.GeGluTanh,
        TiedHead = true,
        NormEpsilon = 1e-6,
    };

    private static ModelConfig NeoX() => Gpt(ModelFamilies.GptNeoX) with
    {
        LearnedPositions = false,
        HiddenSize = 18,
        HeadSize = 6,
        AttentionScale = 1 / Math.Sqrt(6),
        RotaryColumns = 4,
        Activation = ActivationKind.Gelu,
        ParallelBlocks = true,
        QueryKeyValueByHead = true,
        TiedHead = false,
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

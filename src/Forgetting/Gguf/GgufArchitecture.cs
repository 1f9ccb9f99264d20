using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Models.Families;

namespace Forgetting.Gguf;

/// <summary>How llama.cpp knows a model family: name, sizes, and names of tensors.</summary>
internal sealed class GgufArchitecture
{
    private readonly ModelConfig _config;
    private readonly ModuleNames _modules;

    private GgufArchitecture(string name, ModelConfig config)
    {
        (Name, _config) = (name, config);
        _modules = config.Family.Names;
    }

    /// <summary>The name, which begins the keys of its sizes.</summary>
    public string Name { get; }

    /// <summary>The architecture of a model.</summary>
    /// <param name="model">Path for errors.</param>
    /// <exception cref="UserException">
    /// llama.cpp does not know the family, or computes something else for a model of this configuration.
    /// </exception>
    public static GgufArchitecture From(string model, ModelConfig config)
    {
        if (config.Family.GgufArchitecture is not { } name)
        {
            string[] known = [.. ModelFamilies.All.Where(f => f.GgufArchitecture != null).Select(f => f.ModelType)];
            throw Unknown($"model_type is {config.Family.ModelType}", $"{string.Join(", ", known[..^1])} or {known[^1]}");
        }

        int pattern = config.Family.GgufWindowPattern;
        if (pattern == 0 && config.Windows.Any(window => window > 0 && window < config.ContextLength))
        {
            throw Unknown(
                "a layer looks back over a sliding window", $"full attention, which is all that llama.cpp has for {config.Family}");
        }

        if (pattern > 0 && Enumerable.Range(0, config.Layers).Any(i => config.WindowOf(i) == 0 != ((i + 1) % pattern == 0)))
            throw Unknown("layer_types is a list of its own", $"full attention in every layer of number {pattern}");

        if (ScalingLimit(config) is { } scaling)
            throw Unknown($"rope_type is {scaling}", $"another, since that is not what llama.cpp has for {name}");

        if (config.Family.GgufLimit(config) is var (found, expected))
            throw Unknown(found, $"{expected}, which is all that llama.cpp has for {name}");

        return new GgufArchitecture(name, config);

        UserException Unknown(string found, string expected) => new($"{model}: {found}; for GGUF expected {expected}");
    }

    /// <summary>The architecture of a model that came from a GGUF file.</summary>
    public static GgufArchitecture Of(ModelConfig config) => new(config.Family.GgufArchitecture!, config);

    // What llama.cpp has otherwise of the scaling of RoPE's frequencies.
    private static string? ScalingLimit(ModelConfig config) => config.RopeScaling switch
    {
        Llama3RopeScaling when !config.Family.GgufReadsRopeFactors => "llama3",
        YarnRopeScaling yarn when yarn != YarnRopeScaling.From(yarn.Factor, yarn.OriginalContext) => "yarn with settings of its own",
        _ => null,
    };

    /// <summary>Adds the sizes.</summary>
    public void AddTo(GgufMetadata metadata)
    {
        metadata.Add($"{Name}.vocab_size", _config.VocabularySize);
        metadata.Add($"{Name}.context_length", _config.ContextLength);
        metadata.Add($"{Name}.embedding_length", _config.HiddenSize);
        metadata.Add($"{Name}.block_count", _config.Layers);
        metadata.Add($"{Name}.feed_forward_length", _config.IntermediateSize);
        metadata.Add($"{Name}.attention.head_count", _config.Heads);
        metadata.Add($"{Name}.attention.head_count_kv", _config.KeyValueHeads);
        metadata.Add(
            $"{Name}.attention.{(_config.LayerNorm ? "layer_norm_epsilon" : "layer_norm_rms_epsilon")}", (float)_config.NormEpsilon);
        if (_config.LearnedPositions)
            return;

        metadata.Add($"{Name}.attention.key_length", _config.HeadSize);
        metadata.Add($"{Name}.attention.value_length", _config.HeadSize);
        metadata.Add($"{Name}.rope.dimension_count", _config.RotaryColumns ?? _config.HeadSize);
        metadata.Add($"{Name}.rope.freq_base", (float)_config.RopeTheta);
        if (_config.QueryKeyValueByHead)
            metadata.Add($"{Name}.use_parallel_residual", _config.ParallelBlocks);

        AddScaling(metadata);
        AddFactors(metadata);
    }

    // Dynamic scaling changes nothing within the context, and Llama 3's is a tensor of its own.
    private void AddScaling(GgufMetadata metadata)
    {
        switch (_config.RopeScaling)
        {
            case LinearRopeScaling linear:
                metadata.Add($"{Name}.rope.scaling.type", "linear");
                metadata.Add($"{Name}.rope.scaling.factor", (float)linear.Factor);
                break;
            case YarnRopeScaling yarn:
                metadata.Add($"{Name}.rope.scaling.type", "yarn");
                metadata.Add($"{Name}.rope.scaling.factor", (float)yarn.Factor);
                metadata.Add($"{Name}.rope.scaling.original_context_length", yarn.OriginalContext);
                break;
            case LongRopeScaling lengthened:
                metadata.Add($"{Name}.rope.scaling.original_context_length", lengthened.OriginalContext);
                metadata.Add($"{Name}.rope.scaling.attn_factor", (float)lengthened.Attention);
                break;
        }
    }

    private void AddFactors(GgufMetadata metadata)
    {
        if (_config.EmbeddingScale != 1 && !_config.Family.GgufScalesEmbedding)
            metadata.Add($"{Name}.embedding_scale", (float)_config.EmbeddingScale);

        if (_config.ResidualScale != 1)
            metadata.Add($"{Name}.residual_scale", (float)_config.ResidualScale);

        if (_config.LogitScale != 1)
            metadata.Add($"{Name}.logit_scale", (float)(1 / _config.LogitScale));

        if (_config.AttentionScale != 1 / Math.Sqrt(_config.HeadSize))
            metadata.Add($"{Name}.attention.scale", (float)_config.AttentionScale);

        if (_config.ScoreCap > 0)
            metadata.Add($"{Name}.attn_logit_softcapping", (float)_config.ScoreCap);

        if (_config.LogitCap > 0)
            metadata.Add($"{Name}.final_logit_softcapping", (float)_config.LogitCap);

        if (_config.Family.GgufWindowPattern > 0)
            metadata.Add($"{Name}.attention.sliding_window", _config.Windows.Max());
    }

    /// <summary>Name of the tensor that holds a parameter, such as <c>blk.0.attn_q.weight</c>.</summary>
    public string TensorOf(string parameter)
    {
        int dot = parameter.LastIndexOf('.');
        return $"{NameOf(parameter[..dot])}{parameter[dot..]}";
    }

    /// <summary>Name of a module, such as <c>blk.0.attn_q</c>.</summary>
    public string NameOf(string module)
    {
        if (module == _modules.Embedding)
            return "token_embd";

        if (module == _modules.Positions)
            return "position_embd";

        if (module == _modules.FinalNorm)
            return "output_norm";

        if (module == _modules.Head)
            return "output";

        string[] parts = module[(_modules.Blocks.Length + 1)..].Split('.', 2);
        return $"blk.{parts[0]}.{NameInBlock(parts[1])}";
    }

    /// <summary>
    /// Where llama.cpp has the rows of a module in another order: which row of the checkpoint's stands in a row of its; else null.
    /// </summary>
    public Func<int, int>? RowOrder(string module)
    {
        int d = _config.HeadSize, width = _config.Heads * d;
        if (_config.QueryKeyValueByHead && IsIn(_modules.FusedQueryKeyValue!))
        {
            // All queries, all keys, all values, which the checkpoint has head by head.
            return row => (row % width / d * 3 * d) + (row / width * d) + (row % d);
        }

        // Row i of a head and row i + D/2, which RoPE turns together, stand side by side, as RoFormer pairs them.
        return _config.Family.GgufPairsRows && (IsIn(_modules.Query) || IsIn(_modules.Key))
            ? row => (row / d * d) + (row % d / 2) + (row % 2 * (d / 2))
            : null;

        bool IsIn(string name) => name.Length > 0 && module.EndsWith($".{name}", StringComparison.Ordinal);
    }

    private string NameInBlock(string module)
    {
        (string Module, string Name)[] names =
        [
            (_modules.AttentionNorm, "attn_norm"), (_modules.AttentionOutputNorm, "post_attention_norm"),
            (_modules.QueryNorm, "attn_q_norm"), (_modules.KeyNorm, "attn_k_norm"), (_modules.MlpOutputNorm, "post_ffw_norm"),
            (_modules.FusedQueryKeyValue ?? "", "attn_qkv"), (_modules.Query, "attn_q"),
            (_modules.Key, "attn_k"), (_modules.Value, "attn_v"), (_modules.AttentionOutput, "attn_output"),
            (_modules.MlpNorm, "ffn_norm"), (_modules.FusedGateUp ?? "", "ffn_up"), (_modules.Gate, "ffn_gate"),
            (_modules.Up, "ffn_up"), (_modules.Down, "ffn_down"),
        ];
        return names.First(n => n.Module == module).Name;
    }
}

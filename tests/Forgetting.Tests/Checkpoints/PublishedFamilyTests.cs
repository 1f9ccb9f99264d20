using Forgetting.Checkpoints;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>
/// <c>config.json</c> of models that differ from Llama in more than sizes: as many parameters as published, and what the file says of
/// norms, windows, factors and positions arrives and is written again.
/// </summary>
public sealed class PublishedFamilyTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, long, string> Published => new()
    {
        { "Qwen3-0.6B", 596_049_920, Qwen3(1024, 3072, 28, 16, tied: true) },
        { "Qwen3-8B", 8_190_735_360, Qwen3(4096, 12288, 36, 32, tied: false) },
        { "gemma-2b", 2_506_172_416, Gemma(2048, 16384, 18, 8, 1) },
        { "gemma-7b", 8_537_680_896, Gemma(3072, 24576, 28, 16, 16) },
        { "gemma-2-2b", 2_614_341_888, Gemma2(2304, 9216, 26, 8, 4, 256, 256) },
        { "gemma-2-9b", 9_241_705_984, Gemma2(3584, 14336, 42, 16, 8, 256, 256) },
        { "gemma-2-27b", 27_227_128_320, Gemma2(4608, 36864, 46, 32, 16, 128, 144) },
        { "gemma-3-1b-pt", 999_885_952, """
            {"architectures": ["Gemma3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "attn_logit_softcapping": null,
             "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": 1, "final_logit_softcapping": null, "head_dim": 256,
             "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "initializer_range": 0.02, "intermediate_size": 6912,
             "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 26,
             "num_key_value_heads": 1, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
             "rope_local_base_freq": 10000, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": 512,
             "sliding_window_pattern": 6, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0", "use_cache": true,
             "vocab_size": 262144}
            """ },
        { "gemma-3-270m", 268_098_176, """
            {"_sliding_window_pattern": 6, "architectures": ["Gemma3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
             "attn_logit_softcapping": null, "bos_token_id": 2, "eos_token_id": 1, "final_logit_softcapping": null, "head_dim": 256,
             "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 640, "initializer_range": 0.02, "intermediate_size": 2048,
             "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention",
                "full_attention", "sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention",
                "full_attention", "sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention",
                "full_attention"],
             "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 18,
             "num_key_value_heads": 1, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
             "rope_local_base_freq": 10000.0, "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": 512,
             "torch_dtype": "bfloat16", "transformers_version": "4.55.0.dev0", "use_bidirectional_attention": false, "use_cache": true,
             "vocab_size": 262144}
            """ },
        { "Phi-3-mini-4k-instruct", 3_821_079_552, Phi3(3072, 8192, 32, 32, 32, 32064, false, 4096, "2047", "\"rope_scaling\": null") },
        { "Phi-3-mini-128k-instruct", 3_821_079_552, Phi3(
            3072, 8192, 32, 32, 32, 32064, false, 131072, "262144", LongRope(48, "longrope")) },
        { "Phi-4-mini-instruct", 3_836_021_760, Phi3(
            3072, 8192, 32, 24, 8, 200064, true, 131072, "262144", "\"partial_rotary_factor\": 0.75, " + LongRope(48, "longrope")) },
        { "phi-4", 14_659_507_200, Phi3(
            5120, 17920, 40, 40, 10, 100352, false, 16384, "null", "\"rope_scaling\": null, \"original_max_position_embeddings\": 16384")
                .Replace("\"original_max_position_embeddings\": 4096, ", "", StringComparison.Ordinal) },
        { "pythia-70m", 70_426_624, NeoX(512, 2048, 6, 8, 50304) },
        { "pythia-410m", 405_334_016, NeoX(1024, 4096, 24, 16, 50304) },
        { "pythia-1.4b", 1_414_647_808, NeoX(2048, 8192, 24, 16, 50304) },
        { "pythia-6.9b", 6_857_302_016, NeoX(4096, 16384, 32, 32, 50432) },
        { "pythia-12b", 11_846_072_320, NeoX(5120, 20480, 36, 40, 50688) },
        { "gpt-neox-20b", 20_554_567_680, NeoX(6144, 24576, 44, 64, 50432) },
        { "OLMo-2-0425-1B", 1_484_916_736, Olmo2(2048, 8192, 16, 16) },
        { "OLMo-2-1124-7B", 7_298_617_344, Olmo2(4096, 11008, 32, 32) },
        { "granite-3.3-2b-instruct", 2_533_539_840, """
            {"architectures": ["GraniteForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "attention_multiplier": 0.015625,
             "bos_token_id": 0, "embedding_multiplier": 12.0, "eos_token_id": 0, "hidden_act": "silu", "hidden_size": 2048,
             "initializer_range": 0.02, "intermediate_size": 8192, "logits_scaling": 8.0, "max_position_embeddings": 131072,
             "mlp_bias": false, "model_type": "granite", "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8,
             "pad_token_id": 0, "residual_multiplier": 0.22, "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 10000000.0,
             "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.49.0", "use_cache": true,
             "vocab_size": 49159}
            """ },
        { "SmolLM3-3B", 3_075_098_624, """
            {"architectures": ["SmolLM3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": null,
             "eos_token_id": 128012, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 11008,
             "layer_types": [
                "full_attention", "full_attention", "full_attention", "full_attention", "full_attention", "full_attention",
                "full_attention", "full_attention", "full_attention", "full_attention", "full_attention", "full_attention",
                "full_attention", "full_attention", "full_attention", "full_attention", "full_attention", "full_attention",
                "full_attention", "full_attention", "full_attention", "full_attention", "full_attention", "full_attention",
                "full_attention", "full_attention", "full_attention", "full_attention", "full_attention", "full_attention",
                "full_attention", "full_attention", "full_attention", "full_attention", "full_attention", "full_attention"],
             "max_position_embeddings": 65536, "max_window_layers": 28, "mlp_bias": false, "model_type": "smollm3",
             "no_rope_layer_interval": 4,
             "no_rope_layers": [1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0],
             "num_attention_heads": 16, "num_hidden_layers": 36, "num_key_value_heads": 4, "pad_token_id": 128004,
             "pretraining_tp": 2, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 5000000.0, "sliding_window": null,
             "torch_dtype": "bfloat16", "transformers_version": "4.54.0.dev0", "use_cache": false, "use_sliding_window": false,
             "tie_word_embeddings": true, "vocab_size": 128256}
            """ },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Published))]
    public void Parameters_are_as_many_as_published(string name, long parameters, string config)
    {
        ModelConfig read = Read(config);
        Assert.Equal((name, parameters), (name, Decoder.Describe(read).Base.Sum(p => p.Shape.Count)));
    }

    [Theory]
    [MemberData(nameof(Published))]
    public void What_is_written_is_read_as_the_published_file_is(string name, long parameters, string config)
    {
        ModelConfig read = Read(config);
        ConfigWriter.Write(_folder.Path, read, StoredType.BF16);
        Assert.Equal((name, Describe(read), parameters > 0), (name, Describe(ConfigFile.Read(_folder.Path)), true));
    }

    [Fact]
    public void Features_are_what_the_files_say()
    {
        ModelConfig qwen = ReadPublished("Qwen3-0.6B");
        Assert.Equal((128, QueryKeyNorm.Head, NormPlace.Before), (qwen.HeadSize, qwen.QueryKeyNorm, qwen.NormPlace));
        ModelConfig olmo = ReadPublished("OLMo-2-0425-1B");
        Assert.Equal((QueryKeyNorm.Projection, NormPlace.After), (olmo.QueryKeyNorm, olmo.NormPlace));
        ModelConfig granite = ReadPublished("granite-3.3-2b-instruct");
        Assert.Equal(
            (12, 1.0 / 64, 0.22, 1.0 / 8), (granite.EmbeddingScale, granite.AttentionScale, granite.ResidualScale, granite.LogitScale));
        ModelConfig smol = ReadPublished("SmolLM3-3B");
        Assert.Equal(Enumerable.Range(0, 36).Select(i => i % 4 != 3), smol.RotaryLayers);
        Assert.All(smol.Windows, window => Assert.Equal(0, window));
        Assert.Null(smol.RopeOf(3));
        Assert.Equal(new Rope(5e6, 128, null), smol.RopeOf(4));
    }

    [Fact]
    public void Features_of_gemma_are_what_the_files_say()
    {
        ModelConfig first = ReadPublished("gemma-2b");
        Assert.Equal(
            (ActivationKind.GeGluTanh, 1.0, Math.Sqrt(2048), true, NormPlace.Before),
            (first.Activation, first.GainOffset, first.EmbeddingScale, first.TiedHead, first.NormPlace));
        ModelConfig second = ReadPublished("gemma-2-27b");
        Assert.Equal(
            (1.0 / 12, 50.0, 30.0, NormPlace.Both), (second.AttentionScale, second.ScoreCap, second.LogitCap, second.NormPlace));
        Assert.Equal(Enumerable.Range(0, 46).Select(i => i % 2 == 0 ? 4096 : 0), second.Windows);
        foreach (string name in new[] { "gemma-3-1b-pt", "gemma-3-270m" })
        {
            ModelConfig third = ReadPublished(name);
            Assert.Equal(
                (1.0 / 16, 0.0, 0.0, QueryKeyNorm.Head), (third.AttentionScale, third.ScoreCap, third.LogitCap, third.QueryKeyNorm));
            Assert.Equal(Enumerable.Range(1, third.Layers).Select(i => i % 6 == 0 ? 0 : 512), third.Windows);
            Assert.Equal((new Rope(1e4, 256, null), new Rope(1e6, 256, null)), (third.RopeOf(4), third.RopeOf(5)));
        }
    }

    [Fact]
    public void Features_of_phi_and_neox_are_what_the_files_say()
    {
        ModelConfig phi = ReadPublished("Phi-4-mini-instruct");
        Assert.Equal((96, 128, 131_072, true), (phi.RotaryColumns, phi.HeadSize, phi.ContextLength, phi.TiedHead));
        var scaling = Assert.IsType<LongRopeScaling>(phi.RopeScaling);
        Assert.Equal((4096, 131_072), (scaling.OriginalContext, scaling.FullContext));
        Assert.Equal(1.1902380714238083, scaling.AttentionFactor, 1e-12); // √(1 + ln 32 / ln 4096) = √(1 + 5/12)
        ModelConfig small = ReadPublished("Phi-3-mini-4k-instruct");
        Assert.Equal(Enumerable.Repeat(2047, 32), small.Windows);
        Assert.Equal(((int?)null, (RopeScaling?)null, 96), (small.RotaryColumns, small.RopeScaling, small.HeadSize));
        ModelConfig pythia = ReadPublished("pythia-1.4b");
        Assert.Equal(
            (32, 128, true, true, ActivationKind.Gelu),
            (pythia.RotaryColumns, pythia.HeadSize, pythia.ParallelBlocks, pythia.QueryKeyValueByHead, pythia.Activation));
    }

    // As transformers 5 writes it.
    [Fact]
    public void Rope_of_gemma_3_is_read_by_kinds_of_layers_too()
    {
        string config = Published.Select(row => (string)row[2]).Single(c => c.Contains("\"hidden_size\": 1152", StringComparison.Ordinal));
        const string Old = "\"rope_local_base_freq\": 10000, \"rope_scaling\": null, \"rope_theta\": 1000000,";
        Assert.Contains(Old, config, StringComparison.Ordinal);
        ModelConfig read = Read(config.Replace(
            Old,
            "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 8.0, \"rope_theta\": 2e6}, "
                + "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 3e4}},",
            StringComparison.Ordinal));
        Assert.Equal((new Rope(3e4, 256, null), new Rope(2e6, 256, new LinearRopeScaling(8))), (read.RopeOf(0), read.RopeOf(5)));

        // What is said of full attention alone is looked up there.
        string factors = string.Join(", ", Enumerable.Repeat("1.5", 128));
        read = Read(config.Replace(
            Old,
            "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"longrope\", \"original_max_position_embeddings\": 4096, "
                + $"\"partial_rotary_factor\": 1.0, \"short_factor\": [{factors}], \"long_factor\": [{factors}]}}, "
                + "\"sliding_attention\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 1.0}},",
            StringComparison.Ordinal));
        Assert.Equal((4096, 1.5), (read.TurnsOtherwiseFrom, ((LongRopeScaling)read.RopeScaling!).ShortFactors[127]));
    }

    // By the formulas of arXiv 2309.00071 for 128 columns, θ = 10⁶, 32,768 positions made 131,072: pairs up to ⌊64·ln(32768/(32·2π))/ln θ⌋
    // = 23 stay, those from ⌈64·ln(32768/2π)/ln θ⌉ = 40 turn four times slower.
    [Theory]
    [InlineData("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 32768}")]
    [InlineData("\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 32768}")]
    [InlineData("\"rope_parameters\": {\"rope_type\": \"yarn\", \"rope_theta\": 1e6, \"factor\": 4.0, "
        + "\"original_max_position_embeddings\": 32768, \"attention_factor\": 1.1386294361119891}")]
    public void Qwen3_with_yarn_turns_low_frequencies_slower(string fields)
    {
        string config = Qwen3(1024, 3072, 28, 16, tied: true).Replace("\"rope_scaling\": null", fields, StringComparison.Ordinal);
        Rope rope = Read(config).RopeOf(0)!;
        Assert.Equal(1 + (0.1 * Math.Log(4)), rope.Scaling!.AttentionFactor, 1e-12);
        double[] scaled = RotaryTable.Frequencies(rope), plain = RotaryTable.Frequencies(rope with { Scaling = null });
        double[] ratios = [.. scaled.Zip(plain, (s, p) => s / p)];
        Assert.All(ratios[..24], ratio => Assert.Equal(1, ratio, 1e-12));
        Assert.All(ratios[40..], ratio => Assert.Equal(0.25, ratio, 1e-12));
        Assert.Equal(0.25 + (0.75 * 10 / 17), ratios[30], 1e-12);
    }

    private ModelConfig ReadPublished(string name) =>
        Read((string)Published.Single(row => (string)row[0] == name)[2]);

    private ModelConfig Read(string config)
    {
        _folder.Write("config.json", config);
        return ConfigFile.Read(_folder.Path);
    }

    // Lists are compared by reference in records.
    private static string Describe(ModelConfig config) =>
        $"{config with { Windows = [], RotaryLayers = [] }} {string.Join(' ', config.Windows)} {string.Join(' ', config.RotaryLayers)}";

    private static string Qwen3(int hidden, int inner, int layers, int heads, bool tied) => $$"""
        {"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643,
         "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": {{hidden}}, "initializer_range": 0.02,
         "intermediate_size": {{inner}}, "max_position_embeddings": 40960, "max_window_layers": {{layers}}, "model_type": "qwen3",
         "num_attention_heads": {{heads}}, "num_hidden_layers": {{layers}}, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
         "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": {{(tied ? "true" : "false")}},
         "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false,
         "vocab_size": 151936}
        """;

    private static string Gemma(int hidden, int inner, int layers, int heads, int keyValueHeads) => $$"""
        {"architectures": ["GemmaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 2, "eos_token_id": 1,
         "head_dim": 256, "hidden_act": "gelu", "hidden_activation": null, "hidden_size": {{hidden}}, "initializer_range": 0.02,
         "intermediate_size": {{inner}}, "max_position_embeddings": 8192, "model_type": "gemma", "num_attention_heads": {{heads}},
         "num_hidden_layers": {{layers}}, "num_key_value_heads": {{keyValueHeads}}, "pad_token_id": 0, "rms_norm_eps": 1e-06,
         "rope_scaling": null, "rope_theta": 10000.0, "torch_dtype": "bfloat16", "transformers_version": "4.38.1", "use_cache": true,
         "vocab_size": 256000}
        """;

    private static string Gemma2(int hidden, int inner, int layers, int heads, int keyValueHeads, int headSize, int scalar) => $$"""
        {"architectures": ["Gemma2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "attn_logit_softcapping": 50.0,
         "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": 1, "final_logit_softcapping": 30.0,
         "head_dim": {{headSize}}, "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
         "hidden_size": {{hidden}}, "initializer_range": 0.02, "intermediate_size": {{inner}}, "max_position_embeddings": 8192,
         "model_type": "gemma2", "num_attention_heads": {{heads}}, "num_hidden_layers": {{layers}},
         "num_key_value_heads": {{keyValueHeads}}, "pad_token_id": 0, "query_pre_attn_scalar": {{scalar}}, "rms_norm_eps": 1e-06,
         "rope_theta": 10000.0, "sliding_window": 4096, "torch_dtype": "float32", "transformers_version": "4.42.0.dev0",
         "use_cache": true, "vocab_size": 256000}
        """;

    private static string Phi3(
        int hidden, int inner, int layers, int heads, int keyValueHeads, int vocabulary, bool tied, int context, string window,
        string rope) =>
        $$"""
        {"architectures": ["Phi3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
         "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"},
         "bos_token_id": 1, "embd_pdrop": 0.0, "eos_token_id": 32000, "hidden_act": "silu", "hidden_size": {{hidden}},
         "initializer_range": 0.02, "intermediate_size": {{inner}}, "max_position_embeddings": {{context}}, "model_type": "phi3",
         "num_attention_heads": {{heads}}, "num_hidden_layers": {{layers}}, "num_key_value_heads": {{keyValueHeads}},
         "original_max_position_embeddings": 4096, "pad_token_id": 32000, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
         "rope_theta": 10000.0, "sliding_window": {{window}}, "tie_word_embeddings": {{(tied ? "true" : "false")}},
         "torch_dtype": "bfloat16", "transformers_version": "4.40.2", "use_cache": true,
         "vocab_size": {{vocabulary}}, {{rope}}}
        """;

    // The published lists are longer to read and no other to test.
    private static string LongRope(int pairs, string type)
    {
        string factors = string.Join(", ", Enumerable.Range(0, pairs).Select(i => $"1.{i:00}"));
        return $"\"rope_scaling\": {{\"long_factor\": [{factors}], \"short_factor\": [{factors}], \"type\": \"{type}\"}}";
    }

    private static string NeoX(int hidden, int inner, int layers, int heads, int vocabulary) => $$"""
        {"architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu", "hidden_size": {{hidden}},
         "initializer_range": 0.02, "intermediate_size": {{inner}}, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048,
         "model_type": "gpt_neox", "num_attention_heads": {{heads}}, "num_hidden_layers": {{layers}}, "rotary_emb_base": 10000,
         "rotary_pct": 0.25, "tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.24.0",
         "use_cache": true, "use_parallel_residual": true, "vocab_size": {{vocabulary}}}
        """;

    private static string Olmo2(int hidden, int inner, int layers, int heads) => $$"""
        {"architectures": ["Olmo2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "eos_token_id": 100257,
         "hidden_act": "silu", "hidden_size": {{hidden}}, "initializer_range": 0.02, "intermediate_size": {{inner}},
         "max_position_embeddings": 4096, "model_type": "olmo2", "num_attention_heads": {{heads}}, "num_hidden_layers": {{layers}},
         "num_key_value_heads": {{heads}}, "pad_token_id": 100277, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 500000,
         "tie_word_embeddings": false, "torch_dtype": "float32", "transformers_version": "4.47.0", "use_cache": false,
         "vocab_size": 100352}
        """;
}

using Forgetting.Checkpoints;
using Forgetting.IO;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>The configurations of published models, and the numbers of parameters that their publishers state.</summary>
public sealed class PublishedConfigTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, long, string> Published => new()
    {
        { "Llama-3.2-1B", 1_235_814_400, Llama(2048, 8192, 16, 32, 8, 128256, true, "\"head_dim\": 64, " + Scaled(32)) },
        { "Llama-3.2-3B", 3_212_749_824, Llama(3072, 8192, 28, 24, 8, 128256, true, "\"head_dim\": 128, " + Scaled(32)) },
        { "Llama-3.1-8B", 8_030_261_248, Llama(4096, 14336, 32, 32, 8, 128256, false, Scaled(8)) },
        { "Llama-2-13b", 13_015_864_320, Llama(5120, 13824, 40, 40, 40, 32000, false, "\"rope_scaling\": null") },
        { "TinyLlama-1.1B", 1_100_048_384, Llama(2048, 5632, 22, 32, 4, 32000, false, "\"rope_scaling\": null") },
        { "SmolLM-135M", 134_515_008, Llama(576, 1536, 30, 9, 3, 49152, true, "\"rope_interleaved\": false") },
        { "Qwen2.5-3B", 3_085_938_688, """
            {"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151643,
             "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 11008,
             "max_position_embeddings": 32768, "max_window_layers": 36, "model_type": "qwen2", "num_attention_heads": 16,
             "num_hidden_layers": 36, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768,
             "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true, "use_mrope": false, "use_sliding_window": false,
             "vocab_size": 151936}
            """ },
        { "Mistral-7B-v0.1", 7_241_732_096, Mistral(32000, "4096") },
        { "Mistral-7B-v0.3", 7_248_023_552, Mistral(32768, "null") },
        { "gpt2", 124_439_808, """
            {"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
             "embd_pdrop": 0.1, "eos_token_id": 50256, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768,
             "n_head": 12, "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1,
             "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257}
            """ },
        { "gpt-neo-2.7B", 2_651_307_520, """
            {"activation_function": "gelu_new", "architectures": ["GPTNeoForCausalLM"], "attention_dropout": 0,
             "attention_layers": ["global", "local"], "attention_types": [[["global", "local"], 16]], "bos_token_id": 50256,
             "embed_dropout": 0, "eos_token_id": 50256, "hidden_size": 2560, "intermediate_size": null, "layer_norm_epsilon": 1e-05,
             "max_position_embeddings": 2048, "model_type": "gpt_neo", "num_heads": 20, "num_layers": 32, "resid_dropout": 0,
             "vocab_size": 50257, "window_size": 256}
            """ },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Published))]
    public void Parameters_are_as_many_as_published(string name, long parameters, string config)
    {
        _folder.Write("config.json", config);
        ModelConfig read = ConfigFile.Read(_folder.Path);
        Assert.Equal((name, parameters), (name, Decoder.Describe(read).Base.Sum(p => p.Shape.Count)));
        Assert.Equal(
            name.StartsWith("Llama-3", StringComparison.Ordinal)
                ? new Llama3RopeScaling(name.Contains("3.1", StringComparison.Ordinal) ? 8 : 32, 1, 4, 8192)
                : null,
            read.RopeScaling);
        int[] windows = name switch
        {
            "gpt-neo-2.7B" => [.. Enumerable.Range(0, 32).Select(i => i % 2 * 256)],
            "Mistral-7B-v0.1" => [.. Enumerable.Repeat(4096, 32)],
            _ => [],
        };
        Assert.Equal(windows, read.Windows);
    }

    [Theory]
    [InlineData("\"sliding_window\": 5", "5 5")]
    [InlineData("\"sliding_window\": null", "")]
    [InlineData("\"sliding_window\": 5, \"attention_bias\": false", "5 5")]
    [InlineData("\"tie_word_embeddings\": false", "4096 4096")]
    public void Mistral_has_one_window_for_all_blocks_and_one_by_default(string fields, string windows)
    {
        _folder.Write("config.json", $$"""
            {"model_type": "mistral", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2,
             "num_attention_heads": 2, {{fields}}}
            """);
        ModelConfig read = ConfigFile.Read(_folder.Path);
        Assert.Equal(windows, string.Join(' ', read.Windows));
        ConfigWriter.Write(_folder.Path, read, StoredType.F32);
        Assert.Equal(windows, string.Join(' ', ConfigFile.Read(_folder.Path).Windows));
    }

    [Theory]
    [InlineData("\"use_sliding_window\": true, \"sliding_window\": 5, \"max_window_layers\": 1", "0 5 5")]
    [InlineData("\"use_sliding_window\": true, \"sliding_window\": 5, \"layer_types\": [\"sliding_attention\", "
        + "\"full_attention\", \"sliding_attention\"]", "5 0 5")]
    [InlineData("\"use_sliding_window\": true, \"max_window_layers\": 1", "0 4096 4096")]
    [InlineData("\"use_sliding_window\": false, \"sliding_window\": 5, \"max_window_layers\": 1", "")]
    [InlineData("\"use_sliding_window\": true, \"sliding_window\": null", "")]
    public void Qwen2_says_in_several_ways_which_blocks_have_a_window(string fields, string windows)
    {
        _folder.Write("config.json", $$"""
            {"model_type": "qwen2", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 3,
             "num_attention_heads": 2, {{fields}}}
            """);
        Assert.Equal(windows, string.Join(' ', ConfigFile.Read(_folder.Path).Windows));
    }

    // One model in the spellings of transformers 4 and 5; the nested base comes first, as in transformers 5.
    [Theory]
    [InlineData("\"rope_theta\": 5e5, \"rope_scaling\": {SCALING}")]
    [InlineData("\"rope_scaling\": {\"rope_theta\": 5e5, SCALING}")]
    [InlineData("\"rope_parameters\": {\"rope_theta\": 5e5, SCALING}")]
    [InlineData("\"rope_theta\": 5e5, \"rope_parameters\": {SCALING}")]
    [InlineData("\"rope_theta\": 1e4, \"rope_parameters\": {\"rope_theta\": 5e5, SCALING}")]
    [InlineData("\"rope_scaling\": {\"rope_theta\": 5e5, SCALING}, \"rope_parameters\": {\"rope_theta\": 5e5, SCALING}")]
    public void Rope_is_the_same_in_every_spelling(string fields)
    {
        _folder.Write("config.json", Small(fields.Replace(
            "SCALING",
            "\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
                + "\"original_max_position_embeddings\": 64",
            StringComparison.Ordinal)));
        ModelConfig read = ConfigFile.Read(_folder.Path);
        Assert.Equal((5e5, new Llama3RopeScaling(8, 1, 4, 64)), (read.RopeTheta, read.RopeScaling));
    }

    [Theory]
    [InlineData("\"embedding_multiplier\": 12", "'embedding_multiplier' is the number 12")]
    [InlineData("\"qk_norm\": true", "'qk_norm' is true")]
    [InlineData("\"rope_interleaved\": true", "'rope_interleaved' is true")]
    [InlineData("\"use_mrope\": true", "'use_mrope' is true")]
    [InlineData("\"final_logit_softcapping\": 30.0", "'final_logit_softcapping' is the number 30.0")]
    [InlineData("\"pruned_heads\": {\"0\": [1]}", "'pruned_heads' is an object")]
    [InlineData(
        "\"rope_scaling\": {\"rope_type\": \"default\", \"mrope_section\": [8, 12, 12]}", "'rope_scaling.mrope_section' is an array")]
    [InlineData("\"rope_scaling\": {\"factor\": 8}", "'rope_scaling' is without rope_type")]
    [InlineData(
        "\"rope_scaling\": {\"rope_theta\": 5}, \"rope_parameters\": {\"rope_theta\": 6}", "'rope_scaling' is other than rope_parameters")]
    public void A_key_that_may_change_the_computation_and_is_not_read_is_an_error(string field, string expected)
    {
        _folder.Write("config.json", Small(field));
        UserException error = Assert.Throws<UserException>(() => ConfigFile.Read(_folder.Path));
        Assert.StartsWith($"{_folder["config.json"]}: {expected}; expected ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"use_mrope\": false, \"rope_interleaved\": false, \"embedding_multiplier\": null, \"pruned_heads\": {}, "
        + "\"unsloth_version\": \"2025.1\", \"max_sequence_length\": 2048")]
    [InlineData("\"id2label\": {\"0\": \"LABEL_0\"}, \"temperature\": 1.0, \"auto_map\": {\"AutoModel\": \"x.y\"}, "
        + "\"transformers.js_config\": {\"dtype\": \"q4\"}")]
    public void Keys_that_are_off_or_known_to_be_harmless_are_passed_over(string fields)
    {
        _folder.Write("config.json", Small(fields));
        Assert.Equal(9, ConfigFile.Read(_folder.Path).VocabularySize);
    }

    private static string Small(string fields) => $$"""
        {"model_type": "llama", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        {{fields}}}
        """;

    private static string Scaled(int factor) => $$"""
        "rope_theta": 500000.0, "rope_scaling": {"factor": {{factor}}.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"}
        """;

    private static string Mistral(int vocabulary, string window) => $$"""
        {"architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096,
         "initializer_range": 0.02,
         "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32,
         "num_hidden_layers": 32,
         "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": {{window}}, "tie_word_embeddings": false,
         "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": {{vocabulary}}}
        """;

    private static string Llama(int hidden, int inner, int layers, int heads, int keyValueHeads, int vocabulary, bool tied, string more) =>
        $$"""
            {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
             "hidden_act": "silu", "hidden_size": {{hidden}}, "initializer_range": 0.02, "intermediate_size": {{inner}},
             "max_position_embeddings": 4096, "mlp_bias": false, "model_type": "llama", "num_attention_heads": {{heads}},
             "num_hidden_layers": {{layers}}, "num_key_value_heads": {{keyValueHeads}}, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
             "tie_word_embeddings": {{(tied ? "true" : "false")}}, "torch_dtype": "bfloat16", "use_cache": true,
             "vocab_size": {{vocabulary}}, {{more}}}
            """;
}

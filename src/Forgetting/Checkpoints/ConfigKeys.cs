using System.Collections.Frozen;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Models.Families;

namespace Forgetting.Checkpoints;

/// <summary>
/// Which keys of <c>config.json</c> are read, and which are known to leave the computation of a decoder as it is. Any other key that says
/// something is an error: it may name a scale, a cap or a kind of layer that would be left out in silence.
/// </summary>
internal static class ConfigKeys
{
    // Names, notes, training, generation defaults, classification heads: of transformers' PretrainedConfig and of
    // its families, old versions included.
    private static readonly FrozenSet<string> s_harmless = FrozenSet.ToFrozenSet([
        "_name_or_path", "_num_labels", "architectures", "auto_map", "transformers_version", "torch_dtype", "dtype", "tokenizer_class",
        "language", "license", "initializer_range", "use_cache", "pretraining_tp", "gradient_checkpointing", "use_bfloat16", "torchscript",
        "tf_legacy_loss", "xla_device", "output_past", "_attn_implementation", "attn_implementation", "_attn_implementation_autoset",
        "_flash_attn_2_enabled", "_experts_implementation", "is_llama_config", "transformers.js_config", "reorder_and_upcast_attn",
        "cache_implementation", "internal_version", "custom_pipelines", "line_by_line", "use_deepspeed_checkpointing",
        "chunk_size_feed_forward", "is_decoder", "return_dict", "return_dict_in_generate", "output_attentions",
        "output_hidden_states", "output_scores", "save_step", "finetuning_task", "task_specific_params", "problem_type", "id2label",
        "label2id", "num_labels", "attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "embed_dropout",
        "resid_dropout", "classifier_dropout", "dropout",
        "attention_probs_dropout_prob", "hidden_dropout_prob", "summary_type", "summary_use_proj", "summary_activation",
        "summary_proj_to_labels", "summary_first_dropout", "predict_special_tokens", "n_special",
        "max_length", "min_length", "max_new_tokens", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty",
        "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "remove_invalid_values",
        "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id",
        "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id", "decoder_start_token_id", "prefix",

        // Sizes that repeat others. The converters of other programs look for them.
        "n_ctx", "n_vocab", "max_sequence_length", "sliding_window_size", "original_max_position_embeddings",
    ]);

    // Of Phi-4-mini; no code that is published reads them, and 1 says that every layer's attention is full and nothing is interpolated.
    private static readonly FrozenSet<string> s_one = FrozenSet.ToFrozenSet(["full_attn_mod", "interpolate_factor"]);

    // Refused where read: these say by their value whether they matter.
    private static readonly FrozenSet<string> s_read =
        FrozenSet.ToFrozenSet(["model_type", "vocab_size", "tie_word_embeddings", "quantization_config"]);

    /// <summary>Refuses keys that say something and are neither read for a family nor known to be harmless.</summary>
    /// <exception cref="UserException">Names the first such key and its value.</exception>
    public static void Check(JsonView json, ModelFamily family) => UnknownKeys.Check(
        json,
        key => s_read.Contains(key) || family.ConfigKeys.Contains(key) || s_harmless.Contains(key)
            || key.StartsWith("unsloth_", StringComparison.Ordinal) || (s_one.Contains(key) && json.IntOrNull(key, 1, 1) == 1));
}

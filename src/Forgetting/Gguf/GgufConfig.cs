using System.Globalization;
using System.Text.Json.Nodes;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Models.Families;

namespace Forgetting.Gguf;

/// <summary>
/// The configuration of the model in a GGUF file: its metadata in the words of <c>config.json</c>, which the family then reads. What
/// <see cref="GgufArchitecture"/> writes, and llama.cpp's converter, is read; a size or a switch that is not looked at is refused by name.
/// </summary>
internal static class GgufConfig
{
    // Llama 3's settings that all its models share; the file has what each frequency is divided by.
    private const double LowFrequencyFactor = 1, HighFrequencyFactor = 4;
    private const int OriginalContext = 8192;

    private static readonly string[] s_ends = ["eos", "eot", "eom"];

    /// <summary>Reads the configuration.</summary>
    /// <exception cref="UserException">An unknown architecture, a size that is missing, or a feature that is not supported.</exception>
    public static ModelConfig Read(GgufContents file, MappedFile bytes)
    {
        string name = file.TextOrNull("general.architecture") ?? throw new UserException($"{file.Path}: has no general.architecture");
        if (ModelFamilies.All.FirstOrDefault(f => f.GgufArchitecture == name) is not { } family)
        {
            IEnumerable<string> known = ModelFamilies.All.Select(f => f.GgufArchitecture).OfType<string>().Distinct();
            throw new UserException(
                $"{file.Path}: general.architecture is {Wording.Quote(name)}, expected one of {string.Join(", ", known)}");
        }

        var reading = new Reading(file, bytes, name, family);
        JsonObject json = family == ModelFamilies.Gpt2 ? reading.Gpt2()
            : family == ModelFamilies.GptNeoX ? reading.NeoX()
            : reading.Llama();
        json["vocab_size"] = file.Tensors.TryGetValue("token_embd.weight", out GgufEntry? embedding) && embedding.Sizes.Count == 2
            ? embedding.Sizes[1] : throw new UserException($"{file.Path}: has no matrix token_embd.weight");
        json["tie_word_embeddings"] = !file.Tensors.ContainsKey("output.weight");
        string[] unread = [.. file.Unread($"{name}.")];
        if (unread.Length > 0)
            throw new UserException($"{file.Path}: has {string.Join(", ", unread)}, which is not read; expected a model without");

        ModelFamily read = ModelFamilies.Find((string)json["model_type"]!)!;
        var view = JsonView.Of(json, file.Path);
        ModelConfig config = read.ReadConfig(view);
        int?[] ends = [.. s_ends.Select(end => file.IntOrNull($"tokenizer.ggml.{end}_token_id"))];
        return config with
        {
            BosTokenId = file.IntOrNull("tokenizer.ggml.bos_token_id") is int begin && begin < config.VocabularySize ? begin : null,
            EosTokenIds = [.. ends.OfType<int>().Where(id => id >= 0 && id < config.VocabularySize).Distinct()],
        };
    }

    private sealed class Reading(GgufContents file, MappedFile bytes, string name, ModelFamily family)
    {
        public JsonObject Gpt2() => new()
        {
            ["model_type"] = family.ModelType,
            ["n_embd"] = Int("embedding_length"),
            ["n_head"] = Heads(),
            ["n_layer"] = Int("block_count"),
            ["n_inner"] = Int("feed_forward_length"),
            ["n_positions"] = Int("context_length"),
            ["layer_norm_epsilon"] = Number("attention.layer_norm_epsilon") ?? 1e-5,
        };

        public JsonObject NeoX()
        {
            int hidden = Int("embedding_length"), heads = Heads(), width = Width(hidden, heads);
            CheckWidths(width);
            var json = new JsonObject
            {
                ["model_type"] = family.ModelType,
                ["hidden_size"] = hidden,
                ["num_attention_heads"] = heads,
                ["num_hidden_layers"] = Int("block_count"),
                ["intermediate_size"] = Int("feed_forward_length"),
                ["max_position_embeddings"] = Int("context_length"),
                ["layer_norm_eps"] = Number("attention.layer_norm_epsilon") ?? 1e-5,
                ["rotary_emb_base"] = Number("rope.freq_base") ?? 10_000,
                ["use_parallel_residual"] = file.FlagOrNull($"{name}.use_parallel_residual") ?? true,
                ["attention_bias"] = file.Tensors.ContainsKey("blk.0.attn_qkv.bias"),
            };
            json["rotary_pct"] = (double)(IntOrNull("rope.dimension_count") ?? width) / width;
            AddScaling(json, width);
            return json;
        }

        public JsonObject Llama()
        {
            int hidden = Int("embedding_length"), heads = Int("attention.head_count"), layers = Int("block_count");
            int width = IntOrNull("attention.key_length") is null ? Width(hidden, heads) : Int("attention.key_length");
            CheckWidths(width);
            int? window = IntOrNull("attention.sliding_window") is > 0 and int size ? size : null;

            if (window is not null && family != ModelFamilies.Llama && family != ModelFamilies.Phi3 && family is not Gemma2Family)
                throw new UserException($"{file.Path}: {name}.attention.sliding_window is {window}, expected none for {family}");

            // llama.cpp has one name for both.
            bool mistral = family == ModelFamilies.Llama && window is not null;
            var json = new JsonObject
            {
                ["model_type"] = (mistral ? ModelFamilies.Mistral : family).ModelType,
                ["hidden_size"] = hidden,
                ["num_attention_heads"] = heads,
                ["num_key_value_heads"] = IntOrNull("attention.head_count_kv") ?? heads,
                ["head_dim"] = width,
                ["num_hidden_layers"] = layers,
                ["intermediate_size"] = Int("feed_forward_length"),
                ["max_position_embeddings"] = Int("context_length"),
                ["rms_norm_eps"] = Number("attention.layer_norm_rms_epsilon") ?? 1e-6,
                ["rope_theta"] = Number("rope.freq_base") ?? 10_000,
                ["attention_bias"] = file.Tensors.ContainsKey("blk.0.attn_q.bias"),
                ["mlp_bias"] = file.Tensors.ContainsKey("blk.0.ffn_up.bias"),
                ["sliding_window"] = window,
            };
            int columns = IntOrNull("rope.dimension_count") ?? width;
            if (columns != width)
                json["partial_rotary_factor"] = (double)columns / width;

            AddScaling(json, columns);
            if (family is Gemma2Family gemma)
                AddGemma(json, layers == gemma.LargestLayers ? Width(hidden, heads) : width);

            if (family == ModelFamilies.Granite)
                AddFactors(json, width);

            return json;
        }

        // llama.cpp knows the scale of scores by the number of layers.
        private void AddGemma(JsonObject json, double scalar)
        {
            json["query_pre_attn_scalar"] =
                Number("attention.scale", positive: true) is { } scale ? Math.Round(Math.Pow(scale, -2), 4) : scalar;
            if (Number("attn_logit_softcapping") is { } scores)
                json["attn_logit_softcapping"] = scores;

            if (Number("final_logit_softcapping") is { } logits)
                json["final_logit_softcapping"] = logits;

            if (Number("rope.freq_base_swa") is { } theta)
                json["rope_local_base_freq"] = theta;
        }

        private void AddFactors(JsonObject json, int width)
        {
            json["embedding_multiplier"] = Number("embedding_scale") ?? 1;
            json["residual_multiplier"] = Number("residual_scale") ?? 1;
            json["logits_scaling"] = Number("logit_scale") ?? 1;
            json["attention_multiplier"] = Number("attention.scale") ?? (1 / Math.Sqrt(width));
        }

        private void AddScaling(JsonObject json, int columns)
        {
            string? type = file.TextOrNull($"{name}.rope.scaling.type");
            double? factor = Number("rope.scaling.factor");
            int? original = IntOrNull("rope.scaling.original_context_length");
            if (Factors("rope_freqs.weight", columns) is { } divisors)
            {
                json["rope_scaling"] = Llama3(json, divisors);
            }
            else if (Factors("rope_factors_long.weight", columns) is { } longer
                && Factors("rope_factors_short.weight", columns) is { } shorter)
            {
                // In binary32, where it is not what follows from the contexts.
                double? attention = Number("rope.scaling.attn_factor");
                int full = (int)json["max_position_embeddings"]!;
                if (original is { } within && (float?)attention == (float)LongRopeScaling.DefaultAttention(within, (double)full / within))
                    attention = null;

                json["rope_scaling"] = new JsonObject
                {
                    ["rope_type"] = "longrope", ["short_factor"] = List(shorter), ["long_factor"] = List(longer),
                    ["original_max_position_embeddings"] = original, ["attention_factor"] = attention,
                };
            }
            else if (type is not (null or "none"))
            {
                json["rope_scaling"] = new JsonObject { ["rope_type"] = type, ["factor"] = factor };
                if (original is not null)
                    json["rope_scaling"]!["original_max_position_embeddings"] = original;
            }

            static JsonArray List(double[] factors) => new([.. factors.Select(factor => (JsonNode)factor)]);
        }

        // Where a pair is divided by less than the slowest are, its divisor tells the original context (see Llama3RopeScaling).
        private JsonObject? Llama3(JsonObject json, double[] divisors)
        {
            double factor = divisors.Max();
            if (factor == 1)
                return null;

            double[] plain = RotaryTable.Frequencies(new Rope((double)json["rope_theta"]!, 2 * divisors.Length, null));
            int between = Array.FindIndex(divisors, divisor => divisor > 1 && divisor < factor);
            int original = OriginalContext;
            if (between >= 0)
            {
                double share = ((1 / divisors[between]) - (1 / factor)) / (1 - (1 / factor));
                double turns = LowFrequencyFactor + (share * (HighFrequencyFactor - LowFrequencyFactor));
                original = (int)Math.Clamp(Math.Round(turns * 2 * Math.PI / plain[between]), 1, int.MaxValue);
            }

            var rope = new Rope(
                (double)json["rope_theta"]!, 2 * divisors.Length,
                new Llama3RopeScaling(factor, LowFrequencyFactor, HighFrequencyFactor, original));
            double[] scaled = RotaryTable.Frequencies(rope);
            if (plain.Zip(scaled, divisors).Any(f => !(Math.Abs((f.First / f.Second / f.Third) - 1) < 1e-4)))
            {
                throw new UserException($"{file.Path}: rope_freqs.weight has divisors other than those of Llama 3 with low_freq_factor "
                    + $"{LowFrequencyFactor} and high_freq_factor {HighFrequencyFactor}, expected these");
            }

            return new JsonObject
            {
                ["rope_type"] = "llama3", ["factor"] = factor, ["low_freq_factor"] = LowFrequencyFactor,
                ["high_freq_factor"] = HighFrequencyFactor, ["original_max_position_embeddings"] = original,
            };
        }

        private double[]? Factors(string tensor, int columns)
        {
            if (!file.Tensors.Remove(tensor, out GgufEntry? entry))
                return null;

            if (columns < 2)
                throw new UserException($"{file.Path}: has {tensor}, and {columns} columns that are turned; expected at least 2");

            if (entry.Type != (uint)GgufType.F32 || entry.Sizes is not [var count] || count != columns / 2
                || entry.Offset + (count * sizeof(float)) > bytes.Length)
            {
                throw new UserException(
                    $"{file.Path}: {tensor} is no list of {columns / 2} numbers in F32, expected one for each pair of columns");
            }

            using MappedView view = bytes.Map(entry.Offset, count * sizeof(float));
            var values = new float[count];
            ElementConversion.ToSingle(view.Bytes, StoredType.F32, values);
            return Array.ConvertAll(values, GgufContents.Shortest);
        }

        // Keys and values of one width, as many of them as heads where heads do not share.
        private void CheckWidths(int width)
        {
            foreach (string key in new[] { "attention.key_length", "attention.value_length" })
            {
                if (IntOrNull(key) is int other && other != width)
                    throw new UserException($"{file.Path}: {name}.{key} is {other}, expected {width}");
            }

            // Said elsewhere too, or nothing where it is 0.
            _ = (IntOrNull("vocab_size"), file.FlagOrNull($"{name}.rope.scaling.finetuned"));
            foreach (string key in new[] { "expert_count", "expert_used_count" })
            {
                if (IntOrNull(key) is not (null or 0))
                    throw new UserException($"{file.Path}: {name}.{key} is {Int(key)}, expected no mixture of experts");
            }
        }

        private int Heads()
        {
            int heads = Int("attention.head_count");
            _ = IntOrNull("vocab_size");
            return IntOrNull("attention.head_count_kv") is int shared && shared != heads
                ? throw new UserException($"{file.Path}: {name}.attention.head_count_kv is {shared}, expected {heads}")
                : heads;
        }

        private int Width(int hidden, int heads) => heads <= hidden
            ? hidden / heads
            : throw new UserException($"{file.Path}: {name}.attention.head_count is {heads}, expected at most {hidden}, the model's width");

        // Sizes: nothing is divided by 0.
        private int Int(string key) => file.Int($"{name}.{key}") is > 0 and int size
            ? size
            : throw new UserException($"{file.Path}: {name}.{key} is {file.Int($"{name}.{key}")}, expected at least 1");

        private int? IntOrNull(string key) => file.IntOrNull($"{name}.{key}");

        private double? Number(string key, bool positive = false) =>
            file.NumberOrNull($"{name}.{key}") is not { } number ? null
            : double.IsFinite(number) && (!positive || number > 0) ? number
            : throw new UserException(string.Create(
                CultureInfo.InvariantCulture,
                $"{file.Path}: {name}.{key} is {number}, expected a {(positive ? "positive " : "finite ")}number"));
    }
}

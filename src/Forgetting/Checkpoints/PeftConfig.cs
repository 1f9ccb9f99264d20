using System.Text.Json;
using System.Text.RegularExpressions;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;

namespace Forgetting.Checkpoints;

/// <summary>PEFT's <c>adapter_config.json</c> in and out.</summary>
internal static class PeftConfig
{
    public const string Name = "adapter_config.json";

    // Variants of LoRA that compute something else; each is off where it is absent, null, false or empty.
    private static readonly string[] s_unsupported =
    [
        "lora_bias", "layer_replication", "megatron_config", "trainable_token_indices", "target_parameters", "exclude_modules",
        "alora_invocation_tokens", "use_qalora", "arrow_config", "loftq_config", "corda_config", "ensure_weight_tying",
    ];

    /// <summary>Reads the file of an adapter folder.</summary>
    /// <exception cref="UserException">Missing, not JSON, not LoRA, out of range, or a variant that is not supported.</exception>
    public static LoraConfig Read(string folder)
    {
        JsonView json = JsonViewFields.LoadObject(Path.Combine(folder, Name));
        if (json["peft_type"].AsString() != "LORA")
            throw json["peft_type"].Wrong(json["peft_type"].Describe(), "LORA");

        if (json.Find("bias") is { } bias && bias.AsString() != "none")
            throw bias.Wrong(bias.Describe(), "none");

        foreach (string key in s_unsupported)
        {
            if (json.Find(key) is { } value && !IsOff(value.Element))
                throw value.Wrong(value.Describe(), "null: this is not supported");
        }

        // These start from a base that they changed, which the adapter alone does not tell. PEFT takes their names in any case of letters.
        if (json.Find("init_lora_weights") is { Element.ValueKind: JsonValueKind.String } init && ChangesBase(init.AsString()))
            throw init.Wrong(init.Describe(), "an adapter converted to an ordinary one (path_initial_model_for_weight_conversion)");

        (IReadOnlyList<string> targets, string? pattern) = ReadTargets(json);
        return new LoraConfig
        {
            Rank = json.Int("r", 1, 1 << 16),
            Alpha = json["lora_alpha"].AsPositive(),
            Dropout = ReadDropout(json),
            RankStabilized = json.Flag("use_rslora"),
            Dora = json.Flag("use_dora"),
            Targets = targets,
            TargetPattern = pattern,
            RankPattern = ReadPattern(json, "rank_pattern", value => value.AsInt32()),
            AlphaPattern = ReadPattern(json, "alpha_pattern", value => value.AsPositive()),
            ModulesToSave = [.. json.Find("modules_to_save")?.Items().Select(item => item.AsString()) ?? []],
        };
    }

    /// <summary>Whether a folder is an adapter's and no model's besides.</summary>
    public static bool IsIn(string folder) =>
        File.Exists(Path.Combine(folder, Name)) && !Checkpoint.HasWeights(folder);

    /// <summary>
    /// The model that an adapter belongs to, where its folder names one that is here: by its path, or by that from the folder.
    /// </summary>
    /// <exception cref="UserException">It names none, or none that is here.</exception>
    public static string ReadBase(string folder)
    {
        JsonView name = JsonViewFields.LoadObject(Path.Combine(folder, Name))["base_model_name_or_path"];
        string path = name.AsString(), beside = Path.Combine(folder, path);
        return Path.Exists(path) ? path
            : path.Length > 0 && Path.Exists(beside) ? beside
            : throw name.Wrong(name.Describe(), "a model that is here, or the model's own path together with the adapter's");
    }

    /// <summary>Writes the file into a folder.</summary>
    /// <param name="adapted">Paths of the adapted layers, from which the targets are named where
    /// <paramref name="config"/> means all.</param>
    public static void Write(string folder, LoraConfig config, ModelFamily family, string baseModel, IEnumerable<string> adapted)
    {
        using FileStream stream = File.Create(Path.Combine(folder, Name));
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteString("peft_type", "LORA");
        json.WriteString("task_type", "CAUSAL_LM");
        json.WriteString("base_model_name_or_path", baseModel);
        json.WriteNull("revision");
        json.WriteBoolean("inference_mode", true);
        json.WriteNumber("r", config.Rank);
        json.WriteNumber("lora_alpha", config.Alpha);
        json.WriteNumber("lora_dropout", config.Dropout);
        json.WriteBoolean("use_rslora", config.RankStabilized);
        json.WriteBoolean("use_dora", config.Dora);
        json.WriteString("bias", "none");
        json.WriteBoolean("fan_in_fan_out", family.StoresTransposed);
        json.WriteBoolean("init_lora_weights", true);
        WriteNumbers(json, "rank_pattern", config.RankPattern.Select(p => (p.Key, (double)p.Value)));
        WriteNumbers(json, "alpha_pattern", config.AlphaPattern.Select(p => (p.Key, p.Value)));
        if (config.TargetPattern is { } pattern)
        {
            json.WriteString("target_modules", pattern);
        }
        else
        {
            WriteStrings(
                json, "target_modules",
                config.Targets.Count > 0 ? config.Targets : adapted.Select(p => p[(p.LastIndexOf('.') + 1)..]).Distinct());
        }

        if (config.ModulesToSave.Count > 0)
            WriteStrings(json, "modules_to_save", config.ModulesToSave);
        else
            json.WriteNull("modules_to_save");

        json.WriteNull("layers_to_transform");
        json.WriteNull("layers_pattern");
        json.WriteEndObject();
    }

    private static bool ChangesBase(string start) =>
        start.StartsWith("pissa", StringComparison.OrdinalIgnoreCase)
        || new[] { "olora", "loftq", "corda", "lora_ga" }.Contains(start, StringComparer.OrdinalIgnoreCase);

    private static bool IsOff(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.False => true,
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => !value.EnumerateObject().Any(),
        _ => false,
    };

    private static double ReadDropout(JsonView json)
    {
        if (json.Find("lora_dropout") is not { } value)
            return 0;

        return value.Element.ValueKind == JsonValueKind.Number && value.Element.GetDouble() is >= 0 and < 1
            ? value.Element.GetDouble()
            : throw value.Wrong(value.Describe(), "0 or more and below 1");
    }

    // A list of names, a regular expression, or "all-linear"; a list may be limited to some blocks.
    private static (IReadOnlyList<string> Targets, string? Pattern) ReadTargets(JsonView json)
    {
        JsonView targets = json["target_modules"];
        IReadOnlyList<int> layers = json.Ints("layers_to_transform", 0, int.MaxValue);
        if (targets.Element.ValueKind == JsonValueKind.String)
        {
            string text = targets.AsString();
            if (layers.Count > 0)
                throw json["layers_to_transform"].Wrong("given", "null where target_modules is not a list");

            return text == "all-linear" ? ([], null) : ([], text);
        }

        string[] names = [.. targets.Items().Select(item => item.AsString())];
        if (names.Length == 0)
            throw targets.Wrong("empty", "names of modules");

        if (layers.Count == 0)
            return (names, null);

        string among = string.Join('|', names.Select(Regex.Escape));
        return ([], $@".*\.(?:layers|h)\.(?:{string.Join('|', layers)})\.(?:.*\.)?(?:{among})");
    }

    private static Dictionary<string, T> ReadPattern<T>(JsonView json, string key, Func<JsonView, T> read) =>
        json.Find(key)?.Members().GroupBy(m => m.Key, m => m.Value).ToDictionary(g => g.Key, g => read(g.Last())) ?? [];

    private static void WriteNumbers(Utf8JsonWriter json, string key, IEnumerable<(string Key, double Value)> numbers)
    {
        json.WriteStartObject(key);
        foreach ((string name, double number) in numbers)
        {
            json.WriteNumber(name, number);
        }

        json.WriteEndObject();
    }

    private static void WriteStrings(Utf8JsonWriter json, string key, IEnumerable<string> strings)
    {
        json.WriteStartArray(key);
        foreach (string text in strings)
        {
            json.WriteStringValue(text);
        }

        json.WriteEndArray();
    }
}

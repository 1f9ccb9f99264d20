using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Models.Families;

namespace Forgetting.Checkpoints;

/// <summary>
/// Reads <c>config.json</c> (and the end tokens of <c>generation_config.json</c>) of every family into a <see cref="ModelConfig"/>.
/// </summary>
internal static class ConfigFile
{
    /// <summary>Its name in a model folder.</summary>
    public const string Name = "config.json";

    /// <summary>Reads the configuration of a model folder.</summary>
    /// <exception cref="UserException">Missing, not JSON, an unknown family, a size that is missing or out of range, or a feature
    /// that is not supported.</exception>
    public static ModelConfig Read(string folder)
    {
        JsonView json = JsonViewFields.LoadObject(Path.Combine(folder, Name));
        if (json.Find("quantization_config") is { } quantization && !BitsAndBytes.Describes(quantization))
            throw quantization.Wrong("set", "weights in float32, float16 or bfloat16, or in bitsandbytes' NF4");

        JsonView type = json["model_type"];
        if (ModelFamilies.Find(type.AsString()) is not { } family)
        {
            string[] known = [.. ModelFamilies.All.Select(f => f.ModelType)];
            throw type.Wrong(type.Describe(), $"{string.Join(", ", known[..^1])} or {known[^1]}");
        }

        ModelConfig config = family.ReadConfig(json);
        ConfigKeys.Check(json, family);
        return WithSpecialTokens(config, json, folder);
    }

    // The model's own end token comes first: it is the one appended to training text. generation_config.json adds those that end a turn.
    private static ModelConfig WithSpecialTokens(ModelConfig config, JsonView json, string folder)
    {
        int most = config.VocabularySize - 1;
        List<int> ends = [.. json.Ints("eos_token_id", 0, most)];
        string generation = Path.Combine(folder, "generation_config.json");
        if (File.Exists(generation))
            ends.AddRange(JsonViewFields.LoadObject(generation).Ints("eos_token_id", 0, most));

        return config with { BosTokenId = json.IntOrNull("bos_token_id", 0, most), EosTokenIds = [.. ends.Distinct()] };
    }
}

using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.IO;
using Forgetting.Models;

namespace Forgetting.Checkpoints;

/// <summary>
/// Writes <c>config.json</c> for a model that has none yet, in the spelling that every version of Hugging Face's library reads.
/// </summary>
internal static class ConfigWriter
{
    /// <summary>Writes the file into a folder.</summary>
    /// <param name="type">Type of the weights, for <c>torch_dtype</c>.</param>
    public static void Write(string folder, ModelConfig config, StoredType type)
    {
        using FileStream stream = File.Create(Path.Combine(folder, ConfigFile.Name));
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        config.Family.WriteConfig(json, config);
        json.WriteNumber("vocab_size", config.VocabularySize);
        json.WriteBoolean("tie_word_embeddings", config.TiedHead);
        WriteOptional(json, "bos_token_id", config.BosTokenId);
        WriteEnds(json, config.EosTokenIds);
        json.WriteString("torch_dtype", NameOf(type));
        json.WriteEndObject();
    }

    /// <summary>Changes what a written configuration says where the weights beside it are no longer as the source had them.</summary>
    /// <param name="type">Other type of the weights, or null.</param>
    /// <param name="untied">The head is no longer the embedding.</param>
    /// <param name="dequantized">Weights are no longer quantised.</param>
    internal static void Amend(string folder, StoredType? type, bool untied, bool dequantized)
    {
        if (type is null && !untied && !dequantized)
            return;

        Change(folder, json =>
        {
            if (type is { } stored)
            {
                // Newer files spell it dtype, and some have both.
                if (json.ContainsKey("dtype"))
                    json["dtype"] = NameOf(stored);

                if (json.ContainsKey("torch_dtype") || !json.ContainsKey("dtype"))
                    json["torch_dtype"] = NameOf(stored);
            }

            if (dequantized)
                json.Remove("quantization_config");

            if (untied)
                json["tie_word_embeddings"] = false;
        });
    }

    private static void Change(string folder, Action<JsonObject> change)
    {
        string path = Path.Combine(folder, ConfigFile.Name);
        JsonObject json = JsonNode.Parse(InputFile.ReadTextBytes(path, "JSON").Span)!.AsObject();
        change(json);
        File.WriteAllText(
            path,
            json.ToJsonString(new JsonSerializerOptions { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
    }

    /// <summary>Says in a written configuration how the weights beside it are quantised.</summary>
    internal static void Describe(string folder, JsonObject quantization) =>
        Change(folder, json => json["quantization_config"] = quantization);

    /// <summary>PyTorch's name of a type.</summary>
    internal static string NameOf(StoredType type) => type switch
    {
        StoredType.F16 => "float16",
        StoredType.BF16 => "bfloat16",
        _ => "float32",
    };

    private static void WriteOptional(Utf8JsonWriter json, string key, int? value)
    {
        if (value is { } number)
            json.WriteNumber(key, number);
        else
            json.WriteNull(key);
    }

    private static void WriteEnds(Utf8JsonWriter json, IReadOnlyList<int> ends)
    {
        if (ends.Count <= 1)
        {
            WriteOptional(json, "eos_token_id", ends.Count == 1 ? ends[0] : null);
            return;
        }

        json.WriteStartArray("eos_token_id");
        foreach (int end in ends)
        {
            json.WriteNumberValue(end);
        }

        json.WriteEndArray();
    }
}

using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>What the configurations of several families have in common.</summary>
internal static class ConfigFields
{
    /// <summary>Far above any published model; keeps sizes and their products within int and long.</summary>
    public const int MaxWidth = 1 << 20, MaxVocabulary = 1 << 24, MaxLayers = 10_000, MaxContext = 1 << 21;

    /// <summary>Window of a layer of a kind; 0 for full attention.</summary>
    public static int WindowOf(JsonView kind, string full, string windowed, int window)
    {
        string name = kind.AsString();
        return name == full ? 0 : name == windowed ? window : throw kind.Wrong(kind.Describe(), $"{full} or {windowed}");
    }

    /// <summary>Writes which layers look back over a window.</summary>
    public static void WriteLayerTypes(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteStartArray("layer_types");
        for (int layer = 0; layer < config.Layers; layer++)
        {
            json.WriteStringValue(config.WindowOf(layer) == 0 ? "full_attention" : "sliding_attention");
        }

        json.WriteEndArray();
    }

    /// <summary>Reads what <see cref="WriteLayerTypes"/> writes: the window of each layer, 0 for full attention.</summary>
    public static int[] ReadLayerTypes(JsonView types, int layers, int window) =>
        OfLayers(types, layers, kind => WindowOf(kind, "full_attention", "sliding_attention", window));

    /// <summary>A list with an entry for each layer.</summary>
    public static T[] OfLayers<T>(JsonView list, int layers, Func<JsonView, T> read)
    {
        T[] all = [.. list.Items().Select(read)];
        return all.Length == layers ? all : throw list.Wrong($"a list of {all.Length}", $"one entry for each of {layers} layers");
    }

    /// <summary>The variant of GELU.</summary>
    public static ActivationKind Gelu(JsonView json, string key = "activation_function", string absent = "gelu_new") =>
        (json.Find(key)?.AsString() ?? absent) switch
        {
            "gelu_new" or "gelu_pytorch_tanh" or "gelu_fast" => ActivationKind.GeluTanh,
            "gelu" => ActivationKind.Gelu,
            _ => throw json[key].Wrong(json[key].Describe(), "gelu_new, gelu_pytorch_tanh or gelu"),
        };

    /// <summary>Its name in files.</summary>
    public static string GeluName(ModelConfig config) => config.Activation == ActivationKind.Gelu ? "gelu" : "gelu_new";

    /// <summary>Columns of a head where these share the width.</summary>
    public static int HeadSize(JsonView json, string hiddenKey, int hidden, string headsKey, int heads) => hidden % heads == 0
        ? hidden / heads
        : throw json[headsKey].Wrong($"{heads}", $"a divisor of {hiddenKey}, which is {hidden}");

    /// <summary>Refuses a feature that is not supported.</summary>
    public static void RequireFalse(JsonView json, string key)
    {
        if (json.Flag(key))
            throw json[key].Wrong("true", "false: this is not supported");
    }

    /// <summary>Writes type and architecture.</summary>
    public static void WriteType(Utf8JsonWriter json, ModelFamily family, string architecture)
    {
        json.WriteString("model_type", family.ModelType);
        json.WriteStartArray("architectures");
        json.WriteStringValue(architecture);
        json.WriteEndArray();
    }

    /// <summary>Writes what GPT-2 and GPT-Neo share.</summary>
    public static void WriteGelu(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteString("activation_function", GeluName(config));
        json.WriteNumber("layer_norm_epsilon", config.NormEpsilon);
    }
}

using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>What <c>config.json</c> says of rotary positions, in all its spellings.</summary>
internal static class RopeSettings
{
    private static readonly string[] s_keys =
    [
        "rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
        "partial_rotary_factor",
    ];

    /// <summary>θ, and the stretching of low frequencies or null.</summary>
    /// <exception cref="Core.UserException">A kind that is not supported, or two that differ.</exception>
    public static (double Theta, RopeScaling? Scaling) Read(JsonView json)
    {
        // Older files have rope_theta beside rope_scaling, newer ones have both in rope_parameters, and transformers reads the newer
        // spelling under the older name too.
        JsonView? newer = json.ObjectOrNull("rope_parameters"), older = json.ObjectOrNull("rope_scaling");
        if (newer is { } one && older is { } two && !JsonElement.DeepEquals(one.Element, two.Element))
            throw two.Wrong("other than rope_parameters", "one of the two, or the same in both");

        JsonView? described = newer ?? older;
        double theta = described?.PositiveOrNull("rope_theta") ?? json.PositiveOrNull("rope_theta") ?? 10_000;
        foreach (JsonView fields in new[] { json, described ?? json })
        {
            if (fields.PositiveOrNull("partial_rotary_factor") is { } part and not 1)
                throw fields["partial_rotary_factor"].Wrong($"{part}", "1");
        }

        if (described is not { } scaling)
            return (theta, null);

        UnknownKeys.Check(scaling, s_keys.Contains);
        if ((scaling.Find("rope_type") ?? scaling.Find("type")) is not { } type)
            return scaling.Has("factor") ? throw scaling.Wrong("without rope_type", "rope_type default or llama3") : (theta, null);

        switch (type.AsString())
        {
            case "default":
                return (theta, null);
            case "llama3":
                double low = scaling["low_freq_factor"].AsPositive();
                double high = scaling["high_freq_factor"].AsPositive();
                if (high <= low)
                    throw scaling["high_freq_factor"].Wrong($"{high}", $"more than low_freq_factor, which is {low}");

                return (theta, new RopeScaling(
                    scaling["factor"].AsPositive(), low, high, scaling.Int("original_max_position_embeddings", 1, int.MaxValue)));
            default:
                throw type.Wrong(type.Describe(), "default or llama3");
        }
    }

    /// <summary>Writes it.</summary>
    public static void Write(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteNumber("rope_theta", config.RopeTheta);
        if (config.RopeScaling is not { } scaling)
            return;

        json.WriteStartObject("rope_scaling");
        json.WriteString("rope_type", "llama3");
        json.WriteNumber("factor", scaling.Factor);
        json.WriteNumber("low_freq_factor", scaling.LowFrequencyFactor);
        json.WriteNumber("high_freq_factor", scaling.HighFrequencyFactor);
        json.WriteNumber("original_max_position_embeddings", scaling.OriginalContext);
        json.WriteEndObject();

        // llama.cpp's converter looks for it here.
        json.WriteNumber("original_max_position_embeddings", scaling.OriginalContext);
    }
}

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
        "partial_rotary_factor", "beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim", "truncate", "short_factor",
        "long_factor",
    ];

    private static readonly string[] s_kinds = ["full_attention", "sliding_attention"];

    /// <summary>θ, and the scaling of frequencies or null.</summary>
    /// <param name="context">Most positions.</param>
    /// <param name="defaultTheta">θ where the file does not say.</param>
    /// <param name="byKind">Whether kinds of layers may have settings of their own; read are those of full attention.</param>
    /// <exception cref="Core.UserException">A kind that is not supported, or two that differ.</exception>
    public static (double Theta, RopeScaling? Scaling) Read(JsonView json, int context, double defaultTheta, bool byKind)
    {
        // Older files have rope_theta beside rope_scaling, newer ones have both in rope_parameters, and transformers reads the newer
        // spelling under the older name too.
        JsonView? newer = json.ObjectOrNull("rope_parameters"), older = json.ObjectOrNull("rope_scaling");
        if (newer is { } one && older is { } two && !JsonElement.DeepEquals(one.Element, two.Element))
            throw two.Wrong("other than rope_parameters", "one of the two, or the same in both");

        JsonView? described = newer ?? older;
        if (byKind && described is { } kinds && IsByKind(kinds))
        {
            UnknownKeys.Check(kinds, s_kinds.Contains);
            described = kinds["full_attention"];
        }

        double theta = described?.PositiveOrNull("rope_theta") ?? json.PositiveOrNull("rope_theta") ?? defaultTheta;
        return (theta, described is { } scaling ? ReadScaling(json, scaling, context) : null);
    }

    /// <summary>How many columns of a head are turned; null for all.</summary>
    /// <param name="partial">Whether it may be less than all.</param>
    /// <param name="key">What the family calls the share.</param>
    /// <param name="absent">The share where the file does not say.</param>
    /// <exception cref="Core.UserException">No even number of columns, or not all where it must be.</exception>
    public static int? ReadColumns(
        JsonView json, int headSize, bool partial, string key = "partial_rotary_factor", double absent = 1)
    {
        JsonView described = OfFullAttention(json) ?? json;
        (JsonView Fields, string Key)[] places = [(described, "partial_rotary_factor"), (json, key), (json, "partial_rotary_factor")];
        (JsonView at, string name) = places.FirstOrDefault(place => place.Fields.PositiveOrNull(place.Key) is not null);
        double share = name is null ? absent : at.PositiveOrNull(name)!.Value;
        if (share == 1)
            return null;

        int columns = (int)(headSize * share);
        return partial && share < 1 && columns > 0 && columns % 2 == 0
            ? columns
            : throw (name is null ? json : at[name]).Wrong($"{share}", partial ? $"a share that turns pairs of {headSize} columns" : "1");
    }

    /// <summary>θ of layers with a window where the file names kinds of layers, else null.</summary>
    /// <exception cref="Core.UserException">Their frequencies are scaled, which is not supported.</exception>
    public static double? ReadOfWindows(JsonView json)
    {
        if (Said(json) is not { } kinds || !IsByKind(kinds) || kinds.ObjectOrNull("sliding_attention") is not { } windowed)
            return null;

        UnknownKeys.Check(windowed, key => key is "rope_type" or "rope_theta" or "partial_rotary_factor");
        if (windowed.Find("rope_type") is { } type && type.AsString() != "default")
            throw type.Wrong(type.Describe(), "default");

        if (windowed.PositiveOrNull("partial_rotary_factor") is not (null or 1))
            throw windowed["partial_rotary_factor"].Wrong(windowed["partial_rotary_factor"].Describe(), "1");

        return windowed.PositiveOrNull("rope_theta");
    }

    // The newer spelling, or the older.
    private static JsonView? Said(JsonView json) => json.ObjectOrNull("rope_parameters") ?? json.ObjectOrNull("rope_scaling");

    // The settings of full attention where kinds of layers have their own, else those of all layers.
    private static JsonView? OfFullAttention(JsonView json) =>
        Said(json) is { } said && IsByKind(said) ? said["full_attention"] : Said(json);

    private static bool IsByKind(JsonView json) => json.Has("full_attention") || json.Has("sliding_attention");

    /// <summary>Checks that there is a factor for each pair.</summary>
    /// <exception cref="Core.UserException">There is not.</exception>
    public static void RequireFactors(JsonView json, LongRopeScaling scaling, int columns)
    {
        JsonView described = OfFullAttention(json)!.Value;
        foreach ((string key, IReadOnlyList<double> factors) in new[]
        {
            ("short_factor", scaling.ShortFactors), ("long_factor", scaling.LongFactors),
        })
        {
            if (factors.Count != columns / 2)
                throw described[key].Wrong($"a list of {factors.Count}", $"{columns / 2} numbers, one for each pair of columns");
        }
    }

    private static RopeScaling? ReadScaling(JsonView config, JsonView json, int context)
    {
        UnknownKeys.Check(json, s_keys.Contains);
        if ((json.Find("rope_type") ?? json.Find("type")) is not { } type)
            return json.Has("factor") ? throw json.Wrong("without rope_type", "rope_type beside it") : null;

        return type.AsString() switch
        {
            "default" => null,
            "linear" => new LinearRopeScaling(json["factor"].AsPositive()),
            "dynamic" => new DynamicRopeScaling(json["factor"].AsPositive()),
            "llama3" => ReadLlama3(json),
            "yarn" => ReadYarn(json, context),
            "longrope" or "su" => ReadLongRope(config, json, context),
            _ => throw type.Wrong(type.Describe(), "default, linear, dynamic, llama3, yarn or longrope"),
        };
    }

    private static Llama3RopeScaling ReadLlama3(JsonView json)
    {
        double low = json["low_freq_factor"].AsPositive(), high = json["high_freq_factor"].AsPositive();
        if (high <= low)
            throw json["high_freq_factor"].Wrong($"{high}", $"more than low_freq_factor, which is {low}");

        return new(json["factor"].AsPositive(), low, high, json.Int("original_max_position_embeddings", 1, int.MaxValue));
    }

    private static YarnRopeScaling ReadYarn(JsonView json, int context)
    {
        double factor = json["factor"].AsPositive();
        double attention = json.PositiveOrNull("attention_factor")
            ?? (json.PositiveOrNull("mscale") is { } scale && json.PositiveOrNull("mscale_all_dim") is { } whole
                ? YarnRopeScaling.Magnitude(factor, scale) / YarnRopeScaling.Magnitude(factor, whole)
                : YarnRopeScaling.Magnitude(factor, 1));
        double fast = json.PositiveOrNull("beta_fast") ?? 32, slow = json.PositiveOrNull("beta_slow") ?? 1;
        if (fast < slow)
            throw json["beta_fast"].Wrong($"{fast}", $"at least beta_slow, which is {slow}");

        int original = json.IntOrNull("original_max_position_embeddings", 1, int.MaxValue) ?? context;
        return new(factor, fast, slow, original, attention, json.Flag("truncate", absent: true));
    }

    private static LongRopeScaling ReadLongRope(JsonView config, JsonView json, int context)
    {
        int? original = json.IntOrNull("original_max_position_embeddings", 1, int.MaxValue)
            ?? config.IntOrNull("original_max_position_embeddings", 1, int.MaxValue);

        // By how much the context has grown is said where the first one is not.
        double grown = original is { } first ? (double)context / first : json.PositiveOrNull("factor") ?? 1;
        return new(
            Factors("short_factor"), Factors("long_factor"), original ?? context, context,
            json.PositiveOrNull("attention_factor") ?? LongRopeScaling.DefaultAttention(original ?? context, grown));

        double[] Factors(string key) => [.. json[key].Items().Select(item => item.AsPositive())];
    }

    /// <summary>Writes it.</summary>
    public static void Write(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteNumber("rope_theta", config.RopeTheta);
        if (config.RopeScaling is not { } scaling)
            return;

        json.WriteStartObject("rope_scaling");
        json.WriteString("rope_type", scaling.Type);
        int? original = null;
        switch (scaling)
        {
            case LinearRopeScaling linear:
                json.WriteNumber("factor", linear.Factor);
                break;
            case DynamicRopeScaling dynamic:
                json.WriteNumber("factor", dynamic.Factor);
                break;
            case Llama3RopeScaling llama3:
                json.WriteNumber("factor", llama3.Factor);
                json.WriteNumber("low_freq_factor", llama3.LowFrequencyFactor);
                json.WriteNumber("high_freq_factor", llama3.HighFrequencyFactor);
                original = llama3.OriginalContext;
                break;
            case YarnRopeScaling yarn:
                json.WriteNumber("factor", yarn.Factor);
                json.WriteNumber("beta_fast", yarn.BetaFast);
                json.WriteNumber("beta_slow", yarn.BetaSlow);
                json.WriteNumber("attention_factor", yarn.Attention);
                json.WriteBoolean("truncate", yarn.Truncate);
                original = yarn.OriginalContext;
                break;
            case LongRopeScaling lengthened:
                WriteFactors("short_factor", lengthened.ShortFactors);
                WriteFactors("long_factor", lengthened.LongFactors);
                json.WriteNumber("attention_factor", lengthened.Attention);
                original = lengthened.OriginalContext;
                break;
        }

        if (original is { } context)
            json.WriteNumber("original_max_position_embeddings", context);

        json.WriteEndObject();

        // llama.cpp's converter looks for it here.
        if (original is { } beside)
            json.WriteNumber("original_max_position_embeddings", beside);

        void WriteFactors(string key, IReadOnlyList<double> factors)
        {
            json.WriteStartArray(key);
            foreach (double factor in factors)
            {
                json.WriteNumberValue(factor);
            }

            json.WriteEndArray();
        }
    }
}

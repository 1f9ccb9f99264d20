using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>
/// Keys of a configuration that nobody reads: where they say something they are an error, since they may name a scale, a cap or a kind of
/// layer that would be left out in silence.
/// </summary>
internal static class UnknownKeys
{
    // What every decoder here does and some of a family's models do not: false turns it off, as in models that make embeddings.
    private static readonly string[] s_always =
        ["is_causal", "causal", "use_causal_mask", "use_rope", "use_rotary", "use_rotary_pos_emb", "use_pos_enc"];

    /// <summary>Refuses keys that say something and are not known.</summary>
    /// <exception cref="Core.UserException">Names the first such key and its value.</exception>
    public static void Check(JsonView json, Func<string, bool> known)
    {
        foreach ((string key, JsonView value) in json.Members())
        {
            if (s_always.Contains(key))
            {
                if (!json.Flag(key, absent: true))
                    throw json[key].Wrong("false", "true: this is not supported");
            }
            else if (!SaysNothing(value.Element) && !known(key))
            {
                throw json[key].Wrong(
                    json[key].Describe(),
                    "no such key: it is not known to leave the computation as it is; null or its removal says that it does");
            }
        }
    }

    // Off: a feature that is not there.
    private static bool SaysNothing(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null or JsonValueKind.False => true,
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => !value.EnumerateObject().Any(),
        _ => false,
    };
}

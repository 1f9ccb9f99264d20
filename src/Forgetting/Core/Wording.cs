using System.Text.Json;

namespace Forgetting.Core;

/// <summary>Words of messages.</summary>
internal static class Wording
{
    private const int Longest = 80;
    private const int MaxNames = 4;

    /// <summary>Text from a file on one line: quoted, control characters escaped, cut where it is long.</summary>
    public static string Quote(string text) =>
        JsonSerializer.Serialize(text.Length <= Longest ? text : text[..Longest] + "…", RelaxedStrings.Options);

    /// <summary>The first few of several names.</summary>
    public static string List(IReadOnlyCollection<string> names) =>
        string.Join(", ", names.Take(MaxNames)) + (names.Count > MaxNames ? $" and {names.Count - MaxNames} more" : string.Empty);

    private static class RelaxedStrings
    {
        public static readonly JsonSerializerOptions Options =
            new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    }
}

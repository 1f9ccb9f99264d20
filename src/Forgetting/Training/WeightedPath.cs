using System.Globalization;

namespace Forgetting.Training;

/// <summary>A path with a number behind an equals sign, as <c>--data a.jsonl=0.7</c>.</summary>
internal static class WeightedPath
{
    /// <summary>Path and number as texts; no number where there is none, or where a file has the whole name.</summary>
    public static (string Path, string? Weight) Split(string text)
    {
        int at = text.LastIndexOf('=');
        return at > 0 && double.TryParse(text.AsSpan(at + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out _) && !Path.Exists(text)
            ? (text[..at], text[(at + 1)..])
            : (text, null);
    }

    /// <summary>The text with its path changed.</summary>
    public static string Map(string text, Func<string, string> map) =>
        Split(text) is (var path, { } weight) ? $"{map(path)}={weight}" : map(text);
}

using System.Globalization;
using System.Text;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Text.Tokenizers;

/// <summary>A change of the text before it is split.</summary>
internal delegate string Normalizer(string text);

/// <summary>The <c>normalizer</c> of a <c>tokenizer.json</c>.</summary>
internal static class Normalizers
{
    /// <summary>Reads one normalizer, sequences included.</summary>
    /// <exception cref="UserException">The kind is not supported.</exception>
    public static Normalizer Read(JsonView view)
    {
        string type = view["type"].AsString();
        switch (type)
        {
            case "Sequence":
                return Sequence([.. view["normalizers"].Items().Select(Read)]);
            case "Prepend":
                return Prepend(view["prepend"].AsString());
            case "Replace":
                TextPattern pattern = TextPattern.Read(view["pattern"]);
                string content = view["content"].AsString();
                return text => pattern.Replace(text, content);
            case "Lowercase":
                return Lowercase;
            case "Strip":
                return Strip(view.Flag("strip_left", true), view.Flag("strip_right", true));
            case "StripAccents":
                return StripAccents;
            case "NFC":
                return text => UnicodeNormalization.Normalize(text, NormalizationForm.FormC);
            case "NFD":
                return text => UnicodeNormalization.Normalize(text, NormalizationForm.FormD);
            case "NFKC":
                return text => UnicodeNormalization.Normalize(text, NormalizationForm.FormKC);
            case "NFKD":
                return text => UnicodeNormalization.Normalize(text, NormalizationForm.FormKD);
            default:
                throw view["type"].Wrong(
                    view["type"].Describe(),
                    "a supported normalizer (Sequence, Prepend, Replace, Lowercase, Strip, StripAccents, NFC, NFD, NFKC, NFKD)");
        }
    }

    /// <summary>One after the other.</summary>
    public static Normalizer Sequence(IReadOnlyList<Normalizer> parts) => text => parts.Aggregate(text, (t, part) => part(t));

    /// <summary>Puts a prefix before any text that is not empty.</summary>
    public static Normalizer Prepend(string prefix) => text => text.Length == 0 ? text : prefix + text;

    private static Normalizer Strip(bool left, bool right) => text =>
    {
        string stripped = left ? text.TrimStart() : text;
        return right ? stripped.TrimEnd() : stripped;
    };

    private static string Lowercase(string text)
    {
        StringBuilder lower = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            // The one character whose lower case is two: i with a combining dot.
            lower.Append(rune.Value == 0x130 ? "i\u0307" : Rune.ToLowerInvariant(rune).ToString());
        }

        return lower.ToString();
    }

    private static string StripAccents(string text)
    {
        StringBuilder bare = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (Rune.GetUnicodeCategory(rune)
                is not (UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark))
            {
                bare.Append(rune.ToString());
            }
        }

        return bare.ToString();
    }
}

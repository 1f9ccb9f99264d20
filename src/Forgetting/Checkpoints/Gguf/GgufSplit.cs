using System.Text;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>
/// The name under which llama.cpp knows how a byte-level tokenizer cuts a text before merging. It takes the cut from a list of names, not
/// from the file.
/// </summary>
internal static class GgufSplit
{
    /// <summary>The name, or null where llama.cpp has no such split.</summary>
    /// <exception cref="UserException">
    /// It has the split, but merges words that this tokenizer takes whole, or the other way round.
    /// </exception>
    public static string? NameOf(TokenizerParts parts)
    {
        bool whole = parts.Options.IgnoreMerges;
        (string Name, bool Whole)? split = Split(parts) switch
        {
            "gpt2" => ("gpt-2", false),
            "digits, gpt2" => ("smollm", false),
            PreTokenizers.Llama3Pattern => (whole ? "llama-bpe" : "smaug-bpe", whole),
            PreTokenizers.Qwen2Pattern => ("qwen2", false),
            _ => null,
        };
        if (split is { } known && known.Whole != whole && UnmergedWord(parts) is { } word)
        {
            throw new UserException(
                $"{parts.Source}: ignore_merges is true and {Wording.Quote(word)} is no product of merges; "
                + "for GGUF expected ignore_merges with the split of llama3 only, or merges that make every token");
        }

        return split?.Name;
    }

    // What the split is made of; null where it is of another kind.
    private static string? Split(TokenizerParts parts)
    {
        string folder = Path.GetDirectoryName(parts.Source)!;
        if (Path.GetFileName(parts.Source) == "vocab.json")
        {
            string file = Path.Combine(folder, "tokenizer_config.json");
            JsonView? config = File.Exists(file) ? JsonView.Load(file) : null;
            bool qwen2 = TokenizerJson.IsQwen2(config);
            return qwen2 ? PreTokenizers.Qwen2Pattern : config?.Flag("add_prefix_space") ?? false ? null : "gpt2";
        }

        bool isGguf = GgufVocabulary.IsSource(parts.Source);
        if (!isGguf && Path.GetFileName(parts.Source) != "tokenizer.json")
            return null;

        JsonView root = isGguf ? GgufVocabulary.ByteLevel(parts.Source) : JsonView.Load(parts.Source);
        if (root.Find("normalizer") is { } normalizer && !IsComposition(normalizer))
            return null;

        return root.Find("pre_tokenizer") is { } split ? Split(split) : null;
    }

    // llama.cpp does not compose characters: it gives the same ids for text that is composed, as most is.
    private static bool IsComposition(JsonView normalizer) => normalizer["type"].AsString() switch
    {
        "NFC" => true,
        "Sequence" => normalizer["normalizers"].Items().All(IsComposition),
        _ => false,
    };

    private static string? Split(JsonView split)
    {
        JsonView[] steps = split["type"].AsString() == "Sequence" ? [.. split["pretokenizers"].Items()] : [split];
        if (steps.Length is 0 or > 2 || steps[^1]["type"].AsString() != "ByteLevel" || steps[^1].Flag("add_prefix_space", true))
            return null;

        bool gpt2 = steps[^1].Flag("use_regex", true);
        if (steps.Length == 1)
            return gpt2 ? "gpt2" : null;

        return steps[0]["type"].AsString() switch
        {
            "Digits" when gpt2 && steps[0].Flag("individual_digits") => "digits, gpt2",
            "Split" when !gpt2 && steps[0]["behavior"].AsString() == "Isolated" && !steps[0].Flag("invert")
                && steps[0]["pattern"].Find("Regex") is { Element.ValueKind: JsonValueKind.String } pattern => pattern.AsString(),
            _ => null,
        };
    }

    // A token of whole characters that is a piece of the split, and that merging its bytes does not give.
    private static string? UnmergedWord(TokenizerParts parts)
    {
        HashSet<int> added = [.. parts.AddedTokens.Select(t => t.Id)];
        Dictionary<string, int> plain = new(parts.Vocabulary.Where(t => !added.Contains(t.Value)), StringComparer.Ordinal);
        var merging = new BytePairEncoding(plain, parts.Merges, parts.Options with { IgnoreMerges = false });
        var utf8 = new UTF8Encoding(false, throwOnInvalidBytes: true);
        List<int> ids = [];
        List<Segment> pieces = [];
        foreach ((string token, int id) in plain)
        {
            string word;
            try
            {
                word = utf8.GetString(ByteLevelAlphabet.Read(token));
            }
            catch (DecoderFallbackException)
            {
                continue; // part of a character
            }

            ids.Clear();
            pieces.Clear();
            parts.PreTokenizer!(new Segment(word, 0, word.Length, First: true), pieces);
            merging.Encode(word, ids);
            if (pieces.Count == 1 && (ids is not [var only] || only != id))
                return word;
        }

        return null;
    }
}

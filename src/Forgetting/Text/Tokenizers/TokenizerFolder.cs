using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Text.Tokenizers;

/// <summary>Finds the tokenizer of a checkpoint folder and adds what the other files of the folder say about special tokens.</summary>
internal static class TokenizerFolder
{
    private static readonly string[] s_files =
        ["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "tokenizer.model", "special_tokens_map.json",
            "chat_template.jinja"];

    /// <summary>Copies a tokenizer's files, those that are there, to a folder.</summary>
    public static void Copy(string source, string target)
    {
        foreach (string file in Files(source))
        {
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)), overwrite: true);
        }
    }

    /// <summary>Whether a folder has a tokenizer.</summary>
    public static bool IsIn(string folder) => File.Exists(Path.Combine(folder, "tokenizer.json"))
        || File.Exists(Path.Combine(folder, "tokenizer.model"))
        || (File.Exists(Path.Combine(folder, "vocab.json")) && File.Exists(Path.Combine(folder, "merges.txt")));

    /// <summary>Paths of a tokenizer's files, those that are there.</summary>
    public static IEnumerable<string> Files(string folder) => s_files.Select(f => Path.Combine(folder, f)).Where(File.Exists);

    /// <summary>Reads the folder; see <see cref="Tokenizer.Load"/>.</summary>
    public static TokenizerParts Read(string folder)
    {
        if (GgufVocabulary.IsSource(folder))
            return GgufVocabulary.Read(folder);

        folder = ModelPath.FilesOf(folder);
        if (File.Exists(folder))
        {
            if (Path.GetFileName(folder).StartsWith("tok", StringComparison.Ordinal) && folder.EndsWith(".bin", StringComparison.Ordinal))
                return Llama2cVocabulary.Read(folder);

            // A llama2.c model is a file; its tokenizer lies beside it.
            folder = Path.GetDirectoryName(Path.GetFullPath(folder))!;
        }

        if (!Directory.Exists(folder))
            throw new UserException($"{folder}: no such folder");

        JsonView? config = Optional(folder, "tokenizer_config.json");
        TokenizerParts parts = ReadFiles(folder, config);
        return WithSpecialTokens(parts, folder, config);
    }

    /// <summary>The JSON file of this name, or null where there is none.</summary>
    private static JsonView? Optional(string folder, string name)
    {
        string file = Path.Combine(folder, name);
        return File.Exists(file) ? JsonView.Load(file) : null;
    }

    private static TokenizerParts ReadFiles(string folder, JsonView? config)
    {
        string json = Path.Combine(folder, "tokenizer.json");
        if (File.Exists(json))
            return TokenizerJson.Read(json);

        string vocabulary = Path.Combine(folder, "vocab.json"), merges = Path.Combine(folder, "merges.txt");
        if (File.Exists(vocabulary) && File.Exists(merges))
            return TokenizerJson.ReadVocabularyAndMerges(vocabulary, merges, config, Optional(folder, "added_tokens.json"));

        string sentencePiece = Path.Combine(folder, "tokenizer.model");
        if (File.Exists(sentencePiece))
            return SentencePieceFile.Read(sentencePiece);

        string[] llama2c = Directory.GetFiles(folder, "tok*.bin");
        return llama2c.Length switch
        {
            1 => Llama2cVocabulary.Read(llama2c[0]),
            0 => throw new UserException(
                $"{folder}: no tokenizer; expected tokenizer.json, vocab.json with merges.txt, tokenizer.model or tok*.bin"),
            _ => throw new UserException($"{folder}: {llama2c.Length} files tok*.bin and no tokenizer.json; expected one"),
        };
    }

    private static TokenizerParts WithSpecialTokens(TokenizerParts parts, string folder, JsonView? config)
    {
        JsonView? map = Optional(folder, "special_tokens_map.json");
        int? bos = Named("bos_token") ?? parts.BosId;
        List<int> eos = [];
        if (Named("eos_token") is int named)
            eos.Add(named);

        // The tokenizer's own token first: it is the one that training data ends with. A model may stop at others, too.
        foreach (string file in (string[])["config.json", "generation_config.json"])
        {
            JsonView? model = Optional(folder, file);
            bos ??= model?.Find("bos_token_id")?.AsInt32();
            if (model?.Find("eos_token_id") is { } ids)
            {
                eos.AddRange(
                    ids.Element.ValueKind == System.Text.Json.JsonValueKind.Array ? ids.Items().Select(i => i.AsInt32()) : [ids.AsInt32()]);
            }
        }

        bool? addBos = config?.Find("add_bos_token")?.AsBoolean();
        return parts with
        {
            BosId = bos,
            EosIds = eos.Count > 0 ? [.. eos.Distinct()] : parts.EosIds,
            PadId = Named("pad_token") ?? parts.PadId,
            Prefix = addBos switch
            {
                true when bos is int id => [id],
                false => [],
                _ => parts.Prefix,
            },
        };

        int? Named(string role)
        {
            JsonView? token = config?.Find(role) ?? map?.Find(role);
            if (token is not { } view)
                return null;

            string content = (view.Element.ValueKind == System.Text.Json.JsonValueKind.Object ? view["content"] : view).AsString();
            return parts.AddedTokens.FirstOrDefault(t => t.Content == content)?.Id
                ?? (parts.Vocabulary.TryGetValue(content, out int id) ? id : null);
        }
    }
}

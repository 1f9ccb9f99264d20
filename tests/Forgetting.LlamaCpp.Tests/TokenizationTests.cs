using System.Text;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Checkpoints.Gguf;
using Forgetting.Gguf;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Testing;
using Forgetting.Text;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>llama.cpp tokenizes as this program does what tokenizers get wrong.</summary>
public class TokenizationTests
{
    public static TheoryData<string> Kinds => [.. TinyTokenizers.Kinds];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Hard_texts_have_the_same_ids(string kind)
    {
        using TemporaryFolder folder = new();
        TinyTokenizers.Write(kind, folder["tokenizer"]);
        Compare(folder, folder["tokenizer"], composed: kind == TinyTokenizers.Qwen2);
    }

    [SharedDataTheory]
    [InlineData("tokenizers", "gpt2")]
    [InlineData("tokenizers", "tiny-llama3-style")]
    [InlineData("stories260K", "hf")]
    public void Hard_texts_have_the_same_ids_in_published_vocabularies(string first, string second)
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder["tokenizer"]);
        TokenizerFolder.Copy(SharedData.Path(first, second), folder["tokenizer"]);
        Compare(folder, folder["tokenizer"], composed: false);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Control_tokens_are_found_in_a_text_only_where_that_is_asked_for(string kind)
    {
        using TemporaryFolder folder = new();
        TinyTokenizers.Write(kind, folder["tokenizer"]);
        (Tokenizer ours, LlamaCppModel theirs) = Both(folder, folder["tokenizer"]);
        using (theirs)
        {
            string[] texts = ["gulls<|turn|>noon <extra> and <|end|>", "a<|endoftext|>b", "<|end|><|end|>fair<extra>", "</s>gulls<s>"];
            foreach (string text in texts)
            {
                Assert.Equal(ours.Encode(text, bos: false), theirs.Tokenize(text, bos: false));
                if (kind != TinyTokenizers.SentencePiece || !text.Contains('s', StringComparison.Ordinal))
                    Assert.Equal(ours.Encode(text, bos: false, allowSpecial: true), theirs.Tokenize(text, bos: false, special: true));
            }
        }
    }

    // Qwen2's text is composed first, which llama.cpp does not do.
    private static void Compare(TemporaryFolder folder, string tokenizer, bool composed)
    {
        (Tokenizer ours, LlamaCppModel theirs) = Both(folder, tokenizer);

        // What the file itself says of the tokenizer, and what is written of that.
        var read = Tokenizer.Load(folder["model.gguf"]);
        Directory.CreateDirectory(folder["written"]);
        GgufVocabulary.WriteFiles(folder["model.gguf"], folder["written"]);
        var written = Tokenizer.Load(folder["written"]);
        Assert.Equal(ours.BosId, read.BosId);
        Assert.Equal(ours.EosIds.Take(1).DefaultIfEmpty(0), read.EosIds);
        using (theirs)
        {
            foreach (string text in HardTexts.All().Concat(TinyTokenizers.Text.Split('\n')).Append(TinyTokenizers.Text))
            {
                // As UTF-8, which has no halves of characters.
                string whole = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
                whole = composed ? UnicodeNormalization.Normalize(whole, NormalizationForm.FormC) : whole;
                int[] expected = ours.Encode(whole, bos: true), found = theirs.Tokenize(whole, bos: true);
                Assert.Equal((text, string.Join(' ', expected)), (text, string.Join(' ', found)));
                Assert.Equal(expected, read.Encode(whole, bos: true));
                Assert.Equal(expected, written.Encode(whole, bos: true));
                Assert.Equal(ours.Decode(expected), read.Decode(expected));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_model_read_from_GGUF_is_exported_with_the_same_tokenizer(string kind)
    {
        using TemporaryFolder folder = new();
        TinyTokenizers.Write(kind, folder["tokenizer"]);
        Both(folder, folder["tokenizer"]).Theirs.Dispose();
        GgufExport.WriteModel(folder["model.gguf"], folder["again.gguf"], GgufType.F32);
        Dictionary<string, object> first = new GgufReader(folder["model.gguf"]).Metadata,
            again = new GgufReader(folder["again.gguf"]).Metadata;
        string[] keys = [.. first.Keys.Where(key => key.StartsWith("tokenizer.", StringComparison.Ordinal))];
        Assert.Contains("tokenizer.ggml.tokens", keys);
        Assert.Equal(keys, again.Keys.Where(key => key.StartsWith("tokenizer.", StringComparison.Ordinal)));
        Assert.All(keys, key => Assert.Equal(first[key], again[key]));
    }

    [Fact]
    public void A_tokenizer_beside_the_file_and_a_template_in_it_are_taken()
    {
        using TemporaryFolder folder = new();
        TinyTokenizers.Write(TinyTokenizers.SentencePiece, folder["tokenizer"]);
        File.WriteAllText(
            Path.Combine(folder["tokenizer"], "chat_template.jinja"),
            "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}");
        Both(folder, folder["tokenizer"]).Theirs.Dispose();
        ChatMessage[] messages = [new("user", "gulls"), new("assistant", "noon")];
        ChatTemplate template = ChatTemplate.Load(folder["model.gguf"])!;
        Assert.Equal("<s>[user] gulls</s>[assistant] noon</s>", template.Render(messages));

        // A template of the user's own, with the file's special tokens.
        File.WriteAllText(folder["own.jinja"], "{{ eos_token }}{{ messages[0].content }}{{ bos_token }}");
        Assert.Equal("</s>gulls<s>", ChatTemplate.LoadFile(folder["own.jinja"], folder["model.gguf"]).Render(messages));
        Directory.CreateDirectory(folder["written"]);
        GgufVocabulary.WriteFiles(folder["model.gguf"], folder["written"]);
        Assert.Equal(template.Render(messages), ChatTemplate.Load(folder["written"])!.Render(messages));

        TinyTokenizers.Write(TinyTokenizers.Gpt2, folder.Path);
        Assert.Equal(Tokenizer.Load(folder.Path).Encode("gulls"), Tokenizer.Load(folder["model.gguf"]).Encode("gulls"));
        Assert.Null(ChatTemplate.Load(folder["model.gguf"]));
    }

    // The tokenizer here, and in a model with random weights there.
    private static (Tokenizer Ours, LlamaCppModel Theirs) Both(TemporaryFolder folder, string tokenizer)
    {
        Tokenizer ours = Tokenizer.Load(tokenizer);
        var config = new ModelConfig
        {
            Family = ModelFamilies.Llama, VocabularySize = ours.VocabularySize, HiddenSize = 8, IntermediateSize = 8, Layers = 1, Heads = 2,
            KeyValueHeads = 2, HeadSize = 4,
            ContextLength = 64, AttentionScale = 0.5, EosTokenIds = ours.EosIds.Count > 0 ? ours.EosIds : [0], TiedHead = true,
        };
        using var backend = new CpuBackend(1);
        using var decoder = new Models.Decoder(config, backend);
        decoder.Initialize(1);
        CheckpointWriter.WriteNew(
            folder["model"], config, decoder.BaseParameters, backend, addFiles: target => TokenizerFolder.Copy(tokenizer, target));
        GgufExport.WriteModel(folder["model"], folder["model.gguf"], GgufType.F32);
        return (ours, new LlamaCppModel(folder["model.gguf"]));
    }
}

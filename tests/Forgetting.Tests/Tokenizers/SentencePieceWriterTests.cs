using System.Text;
using System.Text.Json.Nodes;
using Forgetting.Checkpoints;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Tests.Checkpoints;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>
/// The tokenizer.model that is written, read here byte by byte and merged by scores alone, as sentencepiece and llama.cpp do.
/// </summary>
public sealed class SentencePieceWriterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SharedDataTheory]
    [InlineData("hf")]
    [InlineData("stories260K.bin")]
    public void Scores_alone_give_the_same_ids_as_the_merges(string model)
    {
        using var memory = new HostMemory();
        using (Checkpoint checkpoint = Checkpoint.Open(SharedData.Path("stories260K", model)))
        {
            List<Parameter> parameters = Folders.Parameters(checkpoint.Config, memory);
            checkpoint.LoadInto(parameters, memory);
            CheckpointWriter.Write(_folder["out"], checkpoint, parameters, memory);
        }

        List<(string Text, float Score, int Type)> pieces = Pieces(File.ReadAllBytes(_folder["out", "tokenizer.model"]));
        Assert.Equal(
            (512, "<unk>", 2, "<s>", 3, "<0x00>", 6),
            (pieces.Count, pieces[0].Text, pieces[0].Type, pieces[1].Text, pieces[1].Type, pieces[3].Text, pieces[3].Type));
        Tokenizer expected = Tokenizer.Load(SharedData.Path("stories260K", "hf"));
        foreach (string text in File.ReadLines(SharedData.Path("tinyshakespeare", "input.txt"))
            .Take(400)
            .Append("Ünï 日本 𝒜  two  spaces")
            .Where(t => t.Length > 0))
        {
            Assert.Equal(expected.Encode(text)[1..], Merge(pieces, "▁" + text.Replace(' ', '▁')));
        }
    }

    [Fact]
    public void A_tokenizer_that_sentencepiece_cannot_say_gets_no_such_file()
    {
        foreach (JsonObject change in new JsonObject[]
        {
            new() { ["merges"] = new JsonArray("b c", "a b") }, // a piece "abc" that only one of its cuts makes
            new() { ["byte_fallback"] = false },
        })
        {
            var model = new JsonObject
            {
                ["type"] = "BPE", ["unk_token"] = "<unk>", ["byte_fallback"] = true, ["merges"] = new JsonArray("a b", "ab c"),
                ["vocab"] = new JsonObject { ["<unk>"] = 0, ["a"] = 1, ["b"] = 2, ["c"] = 3, ["ab"] = 4, ["bc"] = 5, ["abc"] = 6 },
            };
            foreach ((string key, JsonNode? value) in change)
            {
                model[key] = value!.DeepClone();
            }

            string json = new JsonObject
            {
                ["added_tokens"] = new JsonArray(new JsonObject { ["id"] = 0, ["content"] = "<unk>", ["special"] = true }),
                ["pre_tokenizer"] = null, ["model"] = model,
                ["normalizer"] = new JsonObject
                {
                    ["type"] = "Sequence",
                    ["normalizers"] = new JsonArray(
                        new JsonObject { ["type"] = "Prepend", ["prepend"] = "▁" },
                        new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = " " }, ["content"] = "▁" }),
                },
            }.ToJsonString();
            _folder.Write("tokenizer.json", json);
            SentencePieceWriter.Complete(_folder.Path);
            Assert.False(File.Exists(_folder["tokenizer.model"]));
        }
    }

    // The neighbours that make the piece of the highest score, the leftmost of equals, until none make a
    // piece; then bytes for what is no piece.
    private static int[] Merge(List<(string Text, float Score, int Type)> pieces, string text)
    {
        Dictionary<string, int> ids =
            pieces.Select((p, i) => (p.Text, i)).Where(p => pieces[p.i].Type is 1 or 6).ToDictionary(p => p.Text, p => p.i);
        List<string> symbols = [.. text.EnumerateRunes().Select(r => r.ToString())];
        while (true)
        {
            int best = -1;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                if (ids.TryGetValue(symbols[i] + symbols[i + 1], out int id)
                    && (best < 0 || pieces[id].Score > pieces[ids[symbols[best] + symbols[best + 1]]].Score))
                {
                    best = i;
                }
            }

            if (best < 0)
                break;

            symbols[best] += symbols[best + 1];
            symbols.RemoveAt(best + 1);
        }

        return [.. symbols.SelectMany(
            s => ids.TryGetValue(s, out int id) ? [id] : Encoding.UTF8.GetBytes(s).Select(b => ids[$"<0x{b:X2}>"]))];
    }

    private static List<(string Text, float Score, int Type)> Pieces(byte[] model)
    {
        List<(string, float, int)> pieces = [];
        foreach ((int field, byte[] piece) in Fields(model))
        {
            if (field != 1)
                continue;

            Dictionary<int, byte[]> parts = Fields(piece).ToDictionary(f => f.Number, f => f.Bytes);
            pieces.Add((Encoding.UTF8.GetString(parts[1]), BitConverter.ToSingle(parts[2]), parts[3][0]));
        }

        return pieces;
    }

    private static IEnumerable<(int Number, byte[] Bytes)> Fields(byte[] message)
    {
        for (int at = 0; at < message.Length;)
        {
            int tag = Varint(ref at), length = (tag & 7) switch { 2 => Varint(ref at), 5 => 4, _ => 0 };
            if ((tag & 7) == 0)
            {
                int start = at;
                while (message[at++] >= 0x80)
                {
                }

                yield return (tag >> 3, message[start..at]);
                continue;
            }

            yield return (tag >> 3, message[at..(at + length)]);
            at += length;
        }

        int Varint(ref int at)
        {
            int value = 0;
            for (int shift = 0; ; shift += 7)
            {
                byte next = message[at++];
                value |= (next & 0x7F) << shift;
                if (next < 0x80)
                    return value;
            }
        }
    }
}

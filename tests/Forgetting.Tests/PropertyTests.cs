using System.Text;
using CsCheck;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Testing;
using Forgetting.Tests.Tokenizers;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests;

/// <summary>What holds for every input, on inputs that are drawn at random and made small where they fail.</summary>
public sealed class PropertyTests
{
    private static readonly Gen<EncodedExample[]> s_steps =
        Gen.Select(Gen.Int[0, 999], Gen.Bool, (id, response) => (id, response)).Array[1, 9].Array[1, 8].Select(step =>
            step.Select((tokens, i) => new EncodedExample
            {
                Index = i,
                Ids = [.. tokens.Select(t => t.id)],
                Response = [.. tokens.Select((t, j) => j > 0 && t.response)],
            }).ToArray());

    [Fact]
    public void A_step_in_micro_batches_is_the_step_at_once() =>
        Gen.Select(s_steps, Gen.Int[1, 30]).Sample((step, most) =>
        {
            float[][] weights = [.. step.Select((e, i) => e.Ids.Select((_, j) => (float)(100 * i + j)).ToArray())];
            TokenBatch whole = BatchBuilder.Create(step, new MicroBatch(0, step.Length, 0), weights);
            TokenBatch[] parts = [.. BatchBuilder.MicroBatches(step, most).Select(run => BatchBuilder.Create(step, run, weights))];
            Assert.All(parts, part => Assert.True(part.Rows <= most || part.Documents == 1));
            Assert.Equal(whole.Ids, parts.SelectMany(p => p.Ids));
            Assert.Equal(whole.Positions, parts.SelectMany(p => p.Positions));
            Assert.Equal(whole.RowKeys, parts.SelectMany(p => p.RowKeys));
            Assert.Equal(whole.Targets, parts.SelectMany(p => p.Targets));
            Assert.Equal(whole.Weights, parts.SelectMany(p => p.Weights));

            // By its definition: row and target are neighbours in one document, and the weight is the target's.
            foreach (TokenBatch part in parts)
            {
                for (int d = 0; d < part.Documents; d++)
                {
                    for (int h = part.HeadOffsets[d]; h < part.HeadOffsets[d + 1]; h++)
                    {
                        int position = part.HeadRows[h] - part.Offsets[d] + 1;
                        EncodedExample example = step[part.Examples[d]];
                        Assert.True(example.Response[position]);
                        Assert.Equal((example.Ids[position], weights[part.Examples[d]][position]), (part.Targets[h], part.Weights[h]));
                    }
                }
            }
        });

    [Fact]
    public void Any_text_is_read_back_from_its_ids()
    {
        Tokenizer tokenizer = TestTokenizers.Bytes(["a b", "ab c", "Ã ©", "Ġ a"], bos: false);
        Gen.OneOf(Gen.String, Gen.String[Gen.Char["abc é\uD83D\uDE00\r\n"], 0, 40]).Sample(text =>
        {
            string wellFormed = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
            int[] ids = tokenizer.Encode(text);
            Assert.Equal(wellFormed, tokenizer.Decode(ids));
            StreamingDecoder stream = tokenizer.StartDecoding();
            Assert.Equal(wellFormed, string.Concat([.. ids.Select(stream.Add), stream.Finish()]));
        });
    }

    [Fact]
    public void Any_table_is_read_back_from_csv()
    {
        Gen<string> field = Gen.String[Gen.Char["ab ,\"\n\r"], 0, 8];
        Gen.Int[2, 4].SelectMany(columns => field.Array[columns].Array[1, 6]).Sample(rows =>
        {
            // A carriage return before a line feed is part of the line end outside of quotes only; everything is quoted here.
            string text = "0,1,2,3"[..(2 * rows[0].Length - 1)] + "\n"
                + string.Concat(rows.Select(
                    row => string.Join(',', row.Select(f => $"\"{f.Replace("\"", "\"\"", StringComparison.Ordinal)}\"")) + "\n"));
            (int Line, Dictionary<string, string> Fields)[] read = [.. CsvFile.Read(text, "table", ',')];
            Assert.Equal(rows, read.Select(r => r.Fields.Values.ToArray()));

            // A record begins behind the line feeds of those before it.
            int line = 2;
            foreach ((string[] row, (int at, _)) in rows.Zip(read))
            {
                Assert.Equal(line, at);
                line += 1 + row.Sum(f => f.Count(c => c == '\n'));
            }
        });
    }

    [Fact]
    public void A_damaged_header_of_safetensors_is_read_or_refused_in_words()
    {
        using TemporaryFolder folder = new();
        using var stream = new MemoryStream();
        var writer = new SafeTensorsWriter(
            stream, [new("a", StoredType.F32, [2, 3]), new("b", StoredType.BF16, [4])], SafeTensorsWriter.StandardMetadata);
        writer.Write(new byte[24]);
        writer.Write(new byte[8]);
        writer.Complete();
        byte[] sound = stream.ToArray();
        Gen.Select(Gen.Int[0, sound.Length - 1], Gen.Byte, Gen.Int[0, sound.Length]).Array[1, 3].Sample(
            damage =>
            {
                byte[] bytes = [.. sound];
                foreach ((int at, byte value, _) in damage)
                {
                    bytes[at] = value;
                }

                string path = folder["damaged.safetensors"];
                File.WriteAllBytes(path, bytes[..damage[0].Item3]);
                try
                {
                    using SafeTensorsFile file = SafeTensorsFile.Open(path);
                    foreach (StoredTensor tensor in file.Tensors)
                    {
                        using MappedView view = tensor.Map(0, tensor.Bytes);
                        Assert.Equal(tensor.Bytes, view.Length);
                    }
                }
                catch (UserException error)
                {
                    Assert.StartsWith(path, error.Message, StringComparison.Ordinal);
                }
            },
            threads: 1);
    }

    [Fact]
    public void Any_bytes_are_json_or_refused_in_words() =>
        Gen.OneOf(
            Gen.Byte.Array[0, 30],
            Gen.String[Gen.Char["{}[]\":,0e-.tnul \\\u00E9"], 0, 30].Select(Encoding.UTF8.GetBytes)).Sample(bytes =>
        {
            try
            {
                JsonView.Parse(bytes, "data.jsonl", firstLine: 7);
            }
            catch (UserException error)
            {
                Assert.StartsWith("data.jsonl: line ", error.Message, StringComparison.Ordinal);
            }
        });

    [Fact]
    public void A_partition_learns_the_highest_scores_and_forgets_the_lowest() =>
        Gen.Select(Gen.Int[-6, 6].Array[1, 12].Array[1, 6], Gen.Int[1, 10], Gen.Int[0, 10]).Sample((scores, learn, ignore) =>
        {
            float[][] score = [.. scores.Select(s => s.Select(v => v * 0.5f).ToArray())];
            bool[][] response = [.. scores.Select(s => s.Select((_, t) => t > 0).ToArray())];
            double rho = learn / 10.0, ignored = Math.Min(ignore, 10 - learn) / 10.0;
            Partition partition = Partition.From(score, response, new(PartitionLevel.Token, rho, ignored));
            (float Score, sbyte Sign)[] ranked = [.. score.Zip(partition.Signs).SelectMany(e => e.First.Zip(e.Second).Skip(1))];
            Assert.Equal(Partition.PositiveCount(ranked.Length, rho), ranked.Count(t => t.Sign > 0));
            Assert.Equal(
                Partition.PositiveCount(ranked.Length, rho) + Partition.PositiveCount(ranked.Length, ignored),
                ranked.Count(t => t.Sign >= 0));
            Assert.All(partition.Signs, signs => Assert.Equal(0, signs[0]));
            foreach ((sbyte high, sbyte low) in new (sbyte, sbyte)[] { (1, 0), (1, -1), (0, -1) })
            {
                Assert.True(
                    ranked.Where(t => t.Sign == high).Select(t => t.Score).DefaultIfEmpty(99).Min()
                    >= ranked.Where(t => t.Sign == low).Select(t => t.Score).DefaultIfEmpty(-99).Max());
            }
        });
}

using System.Runtime.InteropServices;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>What merging writes, against W + s·B·A in double precision, and what the check finds.</summary>
public sealed class AdapterMergeTests : IDisposable
{
    private static readonly LoraConfig s_lora = new() { Rank = 3, Alpha = 6 };

    private readonly TemporaryFolder _folder = new();
    private readonly CpuBackend _backend = new(1);

    public void Dispose()
    {
        _folder.Dispose();
        _backend.Dispose();
    }

    public static TheoryData<string, string, double> Merges
    {
        get
        {
            var data = new TheoryData<string, string, double>
            {
                { "llama", "BF16", 1.0 / (1 << 9) }, { "olmo2", "BF16", 1.0 / (1 << 9) }, { "gpt2", "F16", 1.0 / (1 << 12) },
            };
            foreach (string name in ReferenceConfigs.OfFamilies)
            {
                data.Add(name, "F32", 1.0 / (1 << 24));
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Merges))]
    public void Merged_weights_taken_apart_are_the_base_up_to_rounding(string model, string type, double rounding)
    {
        ModelConfig config = ReferenceConfigs.All[model];
        Dictionary<string, Folders.Raw> source = WriteModel(config, type);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["base"]);
        using Decoder decoder = Load(checkpoint, scale: 0.05f);
        double found = AdapterMerge.Write(_folder["merged"], decoder, checkpoint).Difference;

        Dictionary<string, Folders.Raw> merged = Folders.ReadTensors(_folder["merged", "model.safetensors"]);
        double largest = 0;
        for (int i = 0; i < decoder.AdapterParameters.Count; i += 2)
        {
            Parameter a = decoder.AdapterParameters[i], b = decoder.AdapterParameters[i + 1];
            string name = a.Name["base_model.model.".Length..^".lora_A.weight".Length] + ".weight";
            float[] before = Folders.Values(source[name]), after = Folders.Values(merged[name]);
            Assert.NotEqual(before, after);
            double weight = before.Max(Math.Abs), most = 0;
            for (int j = 0; j < before.Length; j++)
            {
                bool transposed = config.Family == ModelFamilies.Gpt2;
                (int o, int n) = transposed ? (j % b.Shape.Rows, j / b.Shape.Rows) : (j / a.Shape.Columns, j % a.Shape.Columns);
                double update = 0;
                for (int r = 0; r < 3; r++)
                {
                    update += 2.0 * b.Value.AsSpan<float>()[(o * 3) + r] * a.Value.AsSpan<float>()[(r * a.Shape.Columns) + n];
                }

                most = Math.Max(most, Math.Abs(after[j] - update - before[j]));
            }

            Assert.InRange(most, 0, 4 * rounding * after.Max(Math.Abs));
            largest = Math.Max(largest, most / weight);
        }

        Assert.Equal(largest, found, 1e-6);
        Assert.True(found > 0);
        foreach (string untouched in source.Keys.Where(
            name => !TargetsOf(config).Any(t => name.EndsWith($"{t}.weight", StringComparison.Ordinal))))
        {
            Assert.Equal(source[untouched].Data, merged[untouched].Data);
        }
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(float.NaN)]
    public void An_update_that_drowns_the_base_or_is_not_finite_is_refused_and_nothing_is_written(float scale)
    {
        WriteModel(ReferenceConfigs.All["llama"], "BF16");
        using Checkpoint checkpoint = Checkpoint.Open(_folder["base"]);
        using Decoder decoder = Load(checkpoint, scale);
        UserException error = Assert.Throws<UserException>(() => AdapterMerge.Write(_folder["merged"], decoder, checkpoint));
        Assert.StartsWith(
            "model.layers.0.self_attn.q_proj.weight: merged and taken apart again, a weight is off by ", error.Message,
            StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["merged"]));
    }

    // ‖round(W + U) − (W + U)‖ / ‖U‖ in double precision, of an update that BF16 hardly sees and Float32 keeps.
    [Theory]
    [InlineData("BF16", null)]
    [InlineData("BF16", "F32")]
    [InlineData("F32", "BF16")]
    [InlineData("F32", "F16")]
    public void What_rounding_takes_from_the_update_is_measured(string source, string? target)
    {
        ModelConfig config = ReferenceConfigs.All["llama"];
        Dictionary<string, Folders.Raw> before = WriteModel(config, source);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["base"]);
        using Decoder decoder = Load(checkpoint, scale: 0.001f);
        double found = AdapterMerge.Write(
            _folder["merged"], decoder, checkpoint, type: target is null ? null : Enum.Parse<StoredType>(target)).RoundingLoss;

        Dictionary<string, Folders.Raw> after = Folders.ReadTensors(_folder["merged", "model.safetensors"]);
        Assert.All(after.Values, t => Assert.Equal(target ?? source, t.Type));
        double errors = 0, updates = 0;
        for (int i = 0; i < decoder.AdapterParameters.Count; i += 2)
        {
            Parameter a = decoder.AdapterParameters[i], b = decoder.AdapterParameters[i + 1];
            string name = PeftNames.ModuleOf(a.Name) + ".weight";
            float[] old = Folders.Values(before[name]), written = Folders.Values(after[name]);
            for (int j = 0; j < old.Length; j++)
            {
                (int o, int n) = (j / a.Shape.Columns, j % a.Shape.Columns);
                double update = Enumerable.Range(0, 3)
                    .Sum(r => 2.0 * b.Value.AsSpan<float>()[(o * 3) + r] * a.Value.AsSpan<float>()[(r * a.Shape.Columns) + n]);
                updates += update * update;
                errors += Math.Pow(written[j] - old[j] - update, 2);
            }
        }

        if (target == "F32")
            Assert.InRange(found, 0, 1e-3);
        else
            Assert.Equal(Math.Sqrt(errors / updates), found, 0.01 * found);

        Assert.Equal(target != "F32", Forgetting.Runs.RoundingNote.From(found) is not null);
    }

    private Dictionary<string, Folders.Raw> WriteModel(ModelConfig config, string type)
    {
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, type, 1);
        foreach ((string name, double[] values) in ReferenceConfigs.RandomWeights(config, 1))
        {
            float[] single = Array.ConvertAll(values, v => (float)v);
            byte[] data = type switch
            {
                "F32" => MemoryMarshal.AsBytes(single.AsSpan()).ToArray(),
                "F16" => MemoryMarshal.AsBytes(Array.ConvertAll(single, v => (Half)v).AsSpan()).ToArray(),
                _ => MemoryMarshal.AsBytes(Array.ConvertAll(single, v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)).AsSpan())
                    .ToArray(),
            };
            tensors[name] = tensors[name] with { Data = data };
        }

        Folders.Write(_folder["base"], Folders.Config(config), tensors);
        return tensors;
    }

    // What makes the queries, and what leads out of the MLP.
    private static string[] TargetsOf(ModelConfig config)
    {
        ReferenceNames names = ReferenceNames.Of(config);
        return [names.Fused == "" ? names.Query : names.Fused, names.Down];
    }

    private Decoder Load(Checkpoint checkpoint, float scale)
    {
        LoraConfig lora = s_lora with { Targets = TargetsOf(checkpoint.Config) };
        var decoder = new Decoder(checkpoint.Config, _backend, lora, seed: 1);
        checkpoint.LoadInto(decoder.BaseParameters, _backend);
        var random = new Random(2);
        for (int i = 1; i < decoder.AdapterParameters.Count; i += 2)
        {
            foreach (ref float value in decoder.AdapterParameters[i].Value.AsSpan<float>())
            {
                value = scale * (random.NextSingle() - 0.5f);
            }
        }

        return decoder;
    }
}

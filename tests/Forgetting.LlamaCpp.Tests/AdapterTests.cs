using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Checkpoints.Gguf;
using Forgetting.Cli;
using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.Models;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>An adapter in llama.cpp, on its base there, is the adapter here.</summary>
[Collection(TinyModels.Shared)]
public class AdapterTests(TinyModels models)
{
    private static readonly LoraConfig s_plain = new() { Rank = 4, Alpha = 6 };

    public static TheoryData<string, bool> Cases => new()
    {
        { "llama", false }, { "llama", true }, { "llama3", true }, { "qwen2", true }, { "gpt2", false }, { "gpt2-untied", true },
        { "qwen3", true }, { "olmo2", false }, { "granite", false }, { "smollm3", true },
        { "gemma2", true }, { "gemma3", false }, { "phi", true }, { "gpt_neox", true },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_and_greedy_ids_are_those_of_the_adapter_on_its_base(string name, bool scaled)
    {
        using TemporaryFolder folder = new();

        // Scales that one number cannot say: by the root of the rank, and of their own for some layers.
        string down = TinyModels.All[name].Config.Family.Names.Down;
        WriteAdapter(name, folder["adapter"], !scaled ? s_plain : s_plain with
        {
            RankStabilized = true,
            RankPattern = new Dictionary<string, int> { [down] = 2 },
            AlphaPattern = new Dictionary<string, double> { [down] = 3 },
        });
        GgufExport.WriteModel(models[name], folder["base.gguf"], GgufType.F32);
        GgufExport.WriteAdapter(models[name], folder["adapter"], folder["adapter.gguf"], GgufType.F32);
        using var ours = new HeldModel(models[name], folder["adapter"]);
        using var theirs = new LlamaCppModel(folder["base.gguf"], folder["adapter.gguf"]);
        int[] start = TinyModels.Sequence[..6], ids = ours.Greedy(start, 80), taken = theirs.Greedy(start, 80);
        using var bare = new HeldModel(models[name]);
        int[] all = [.. start, .. ids];
        float[][] expected = ours.Logits(all), without = bare.Logits(all), found = theirs.Logits(all);
        double effect = Largest(expected, without), error = Largest(expected, found);
        Assert.InRange(error / effect, 0, TinyModels.All[name].Config.Activation == ActivationKind.SwiGlu ? 1e-4 : 2e-2);

        // The same tokens, up to one of two that are nearer to each other than llama.cpp's table of GELU is exact.
        int same = ids.Zip(taken).TakeWhile(pair => pair.First == pair.Second).Count();
        Assert.InRange(same, 20, 80);
        if (same < 80)
        {
            float[] logits = expected[start.Length - 1 + same];
            Assert.InRange(logits.Max() - logits[taken[same]], 0, 2 * error);
        }
    }

    [Fact]
    public void The_facade_and_the_command_export_what_they_have()
    {
        using TemporaryFolder folder = new();
        WriteAdapter("qwen2", folder["cats"], s_plain);
        using (var model = LanguageModel.Load(models["qwen2"], "cpu", folder["cats"]))
        {
            model.ExportGguf(folder["merged.gguf"], GgufType.F32);
        }

        // An adapter's own folder names its base.
        Assert.Equal(0, CommandLine.Run(["export", "--model", models["qwen2"], "--type", "f32", "--out", folder["base.gguf"]]));
        Assert.Equal(0, CommandLine.Run(["export", "--model", folder["cats"], "--type", "f32", "--out", folder["adapter.gguf"]]));
        Assert.Equal(CommandLine.BadInput, CommandLine.Run(["export", "--model", folder["cats"], "--out", folder["adapter.gguf"]]));
        Assert.Equal("cats", new GgufReader(folder["merged.gguf"]).Metadata["general.name"]);
        string modelfile = File.ReadAllText(folder["merged.Modelfile"]);
        Assert.StartsWith("FROM ./merged.gguf\nTEMPLATE \"\"\"{{ .Prompt }}", modelfile, StringComparison.Ordinal);
        Assert.Contains("\nADAPTER ./adapter.gguf\n", File.ReadAllText(folder["adapter.Modelfile"]), StringComparison.Ordinal);
        int[] text = TinyModels.Sequence[..60];
        using var merged = new LlamaCppModel(folder["merged.gguf"]);
        using var both = new LlamaCppModel(folder["base.gguf"], folder["adapter.gguf"]);
        using var bare = new LlamaCppModel(folder["base.gguf"]);
        float[][] expected = both.Logits(text);
        Assert.InRange(Largest(expected, merged.Logits(text)) / Largest(expected, bare.Logits(text)), 0, 1e-4);
    }

    [Fact]
    public void What_a_gguf_adapter_cannot_hold_is_refused()
    {
        using TemporaryFolder folder = new();
        WriteAdapter("llama3", folder["embedding"], s_plain with { Targets = ["q_proj", "embed_tokens"] });
        WriteAdapter("llama", folder["whole"], s_plain with { Targets = ["q_proj"], ModulesToSave = ["lm_head"] });
        Assert.Contains("adapts model.embed_tokens", Refused("llama3", "embedding"), StringComparison.Ordinal);
        Assert.Contains("holds lm_head whole", Refused("llama", "whole"), StringComparison.Ordinal);
        Assert.Contains("'q_proj' matches no linear layer", Refused("gpt2", "embedding"), StringComparison.Ordinal);
        Assert.False(File.Exists(folder["x.gguf"]));

        string Refused(string name, string adapter) => Assert.Throws<UserException>(
            () => GgufExport.WriteAdapter(models[name], folder[adapter], folder["x.gguf"], GgufType.F16)).Message;
    }

    private static double Largest(float[][] a, float[][] b) =>
        a.Zip(b).Max(rows => rows.First.Zip(rows.Second).Max(v => Math.Abs((double)v.First - v.Second)));

    // With random B, which is zero at first.
    private void WriteAdapter(string name, string folder, LoraConfig lora)
    {
        using var backend = new CpuBackend(1);
        using Checkpoint source = Checkpoint.Open(models[name]);
        using var decoder = new Decoder(source.Config, backend, lora, seed: 3);
        source.LoadInto(decoder.BaseParameters, backend);
        var random = new Random(8);
        foreach (Parameter parameter in decoder.AdapterParameters.Where(p => p.Name.Contains("_B", StringComparison.Ordinal)))
        {
            IEnumerable<float> values = Enumerable.Range(0, (int)parameter.Shape.Count).Select(_ => (float)(random.NextDouble() - 0.5) / 4);
            parameter.SetRows(backend, 0, [.. values]);
        }

        PeftAdapter.Write(folder, decoder, models[name]);
    }
}

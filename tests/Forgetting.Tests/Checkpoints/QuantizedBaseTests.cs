using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>
/// An adapter on its base in NF4, wherever models are used, against a folder that has the same weights in Float32: dequantised, the
/// adapter added.
/// </summary>
[Collection(CommandCollection.Name)]
public sealed class QuantizedBaseTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static string Stories => SharedData.Path("stories260K", "hf");

    private string Adapter => _folder["adapter"];

    private string Whole => _folder["whole"];

    [SharedDataFact]
    public void Commands_compute_with_it_as_with_the_same_weights_in_float32()
    {
        Write();
        string[] quantized = ["--model", Stories, "--adapter", Adapter, "--base-dtype", "nf4", "--device", "cpu"],
            plain = ["--model", Whole, "--device", "cpu"], other = ["--model", Stories, "--adapter", Adapter, "--device", "cpu"];
        string[] generate = ["generate", "--prompt", "Once upon a time there was a", "--max-new-tokens", "60"];
        string expected = Of([.. generate, .. plain]);
        Assert.Equal(expected, Of([.. generate, .. quantized]));
        Assert.NotEqual(expected, Of([.. generate, .. other]));

        string[] eval = ["eval", "--tasks", "boolq", "--data-dir", SharedData.Path("boolq"), "--limit", "12", "--log-samples"];
        Of([.. eval, .. plain, "--out", _folder["eval-whole"]]);
        Of([.. eval, .. quantized, "--out", _folder["eval-quantized"]]);
        double[] likelihoods = Likelihoods("eval-whole");
        Assert.Equal(24, likelihoods.Length);
        Assert.All(likelihoods.Zip(Likelihoods("eval-quantized")), pair => Assert.Equal(pair.First, pair.Second, 2e-3));

        (int code, _, string error) = CommandResult.Of([.. generate, .. other, "--base-dtype", "int4"]);
        Assert.Equal(2, code);
        Assert.Contains("--base-dtype is \"int4\", expected nf4", error, StringComparison.Ordinal);

        static string Of(string[] command)
        {
            (int code, string output, string error) = CommandResult.Of(command);
            Assert.True(code == 0, error);
            return output;
        }

        double[] Likelihoods(string folder) =>
        [
            .. Directory.GetFiles(_folder[folder], "samples_*.jsonl").SelectMany(File.ReadLines).SelectMany(line =>
                System.Text.Json.JsonDocument.Parse(line).RootElement.GetProperty("resps").EnumerateArray()
                    .Select(answer => double.Parse(
                        answer[0][0].ToString(), System.Globalization.CultureInfo.InvariantCulture))),
        ];
    }

    [SharedDataFact]
    public void An_adapter_beside_a_served_base_in_NF4_and_the_library_say_the_same()
    {
        Write();
        using var backend = new CpuBackend(2);
        using LoadedModel plain = LoadedModel.Load(Whole, backend);
        using LoadedModel first = LoadedModel.Load(Stories, backend, baseType: DType.NormalFloat4);
        using LoadedModel served = first.WithAdapter(Adapter);
        float[] expected = Losses(plain.Decoder), actual = Losses(served.Decoder);
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
        Assert.Contains(served.Decoder.BaseParameters, parameter => parameter.Value.DType == DType.NormalFloat4);

        using var whole = LanguageModel.Load(Whole, "cpu");
        using var quantized = LanguageModel.Load(Stories, "cpu", Adapter, baseDtype: "nf4");
        Assert.Equal(whole.Generate("Once upon a time"), quantized.Generate("Once upon a time"));
    }

    private static float[] Losses(Decoder decoder)
    {
        var random = new Random(1);
        var example = new EncodedExample
        {
            Index = 0, Ids = [.. Enumerable.Range(0, 60).Select(_ => random.Next(decoder.Config.VocabularySize))],
            Response = [.. Enumerable.Repeat(true, 60)],
        };
        TokenBatch batch = BatchBuilder.ForScoring([example], new MicroBatch(0, 1, 0), allTokens: true);
        var losses = new float[batch.HeadRows.Length];
        decoder.Forward(batch, losses);
        return losses;
    }

    private void Write()
    {
        StoriesAdapter.Write(Adapter, 3);
        using var backend = new CpuBackend(2);
        using LoadedModel model = LoadedModel.Load(Stories, backend, adapter: Adapter, baseType: DType.NormalFloat4);
        AdapterMerge.Write(Whole, model.Decoder, model.Source, ChatFiles.OfAdapter(Adapter).AddTo, StoredType.F32);
        foreach (string file in new[] { "tokenizer.json", "tokenizer_config.json" })
        {
            File.Copy(Path.Combine(Stories, file), Path.Combine(Whole, file), overwrite: true);
        }
    }
}

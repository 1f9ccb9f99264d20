using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods.LearningWithForgetting;

public sealed class FisherFileTests : IDisposable
{
    private static readonly ModelConfig s_config = new()
    {
        Family = ModelFamilies.Gpt2, LayerNorm = true, LearnedPositions = true, VocabularySize = 9, HiddenSize = 8, IntermediateSize = 12,
        Layers = 1, Heads = 2, KeyValueHeads = 2, HeadSize = 4, ContextLength = 8, AttentionScale = 0.5, TiedHead = true,
        Activation = ActivationKind.GeluTanh, QueryKeyValueBias = true, AttentionOutputBias = true, MlpBias = true,
    };

    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();
    private readonly Decoder _decoder;
    private readonly string _path;

    public FisherFileTests()
    {
        _decoder = new Decoder(s_config, _backend);
        _decoder.AllocateGradients();
        _path = _folder["fisher.safetensors"];
        foreach (Parameter parameter in _decoder.BaseParameters)
        {
            _backend.Upload<float>(Values(parameter), parameter.Gradient);
        }

        FisherFile.Write(_path, _decoder, 17, FisherKind.True);
    }

    public void Dispose()
    {
        _decoder.Dispose();
        _backend.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void What_is_written_reads_back()
    {
        using (SafeTensorsFile file = SafeTensorsFile.Open(_path))
        {
            Assert.Equal(("true", "17"), (file.Metadata["fisher"], file.Metadata["examples"]));
            Assert.Equal(_decoder.BaseParameters.Select(p => p.Name).Order(), file.Tensors.Select(t => t.Name).Order());

            // In the checkpoint's own layout: gpt2 holds this projection as [in, out].
            Assert.Equal("[8, 24]", file.Tensors.Single(t => t.Name == "transformer.h.0.attn.c_attn.weight").ShapeText);
            Assert.Equal("[24]", file.Tensors.Single(t => t.Name == "transformer.h.0.attn.c_attn.bias").ShapeText);
        }

        foreach (Parameter parameter in _decoder.BaseParameters)
        {
            _backend.Fill(parameter.Gradient, -1);
        }

        Read(_path);
        foreach (Parameter parameter in _decoder.BaseParameters)
        {
            var found = new float[parameter.Shape.Count];
            _backend.Download<float>(parameter.Gradient, found);
            Assert.Equal(Values(parameter), found);
        }
    }

    [Fact]
    public void Bad_files_are_refused()
    {
        byte[] good = File.ReadAllBytes(_path);
        string bad = _folder["bad.safetensors"];
        File.WriteAllBytes(bad, good[..^4]);
        Assert.Contains("truncated", Assert.Throws<UserException>(() => Read(bad)).Message, StringComparison.Ordinal);
        Assert.StartsWith(_folder["none"], Assert.Throws<UserException>(() => Read(_folder["none"])).Message, StringComparison.Ordinal);

        Save(bad, tensors => tensors.RemoveAll(t => t.Name == "transformer.ln_f.bias"));
        Refused(bad, "no tensor \"transformer.ln_f.bias\": expected the Fisher information of this model's parameters");
        Save(bad, tensors => tensors.Add(new TensorEntry("extra", StoredType.F32, [2])));
        Refused(bad, "tensor \"extra\" belongs to no parameter of this model");
        Save(bad, tensors => tensors[^1] = tensors[^1] with { Dimensions = [3] });
        Refused(bad, "is F32 [3], expected F32 [1, 8]");
        Save(bad, tensors => tensors[^1] = tensors[^1] with { Type = StoredType.BF16 });
        Refused(bad, "is BF16 [8], expected F32 [1, 8]");
    }

    private void Refused(string path, string expected)
    {
        string message = Assert.Throws<UserException>(() => Read(path)).Message;
        Assert.StartsWith(path, message, StringComparison.Ordinal);
        Assert.Contains(expected, message, StringComparison.Ordinal);
    }

    private void Read(string path) => FisherFile.Read(path, s_config.Family, _decoder.BaseParameters, _backend, p => p.Gradient);

    // A file of zeros with the good one's tensors, changed; the last is the final norm's bias.
    private void Save(string path, Action<List<TensorEntry>> change)
    {
        List<TensorEntry> tensors;
        using (SafeTensorsFile file = SafeTensorsFile.Open(_path))
        {
            tensors = [.. file.Tensors.Select(t => new TensorEntry(t.Name, t.Type, t.Dimensions))
                .OrderBy(t => t.Name == "transformer.ln_f.bias")];
        }

        change(tensors);
        using FileStream stream = File.Create(path);
        var writer = new SafeTensorsWriter(stream, tensors, new Dictionary<string, string>());
        foreach (TensorEntry tensor in writer.Entries)
        {
            writer.Write(new byte[tensor.Bytes]);
        }

        writer.Complete();
    }

    private static float[] Values(Parameter parameter) =>
        [.. Enumerable.Range(0, (int)parameter.Shape.Count).Select(i => i + parameter.Name.Length / 100f)];
}

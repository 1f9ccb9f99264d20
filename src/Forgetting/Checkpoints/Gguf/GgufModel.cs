using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.IO;
using Forgetting.Models;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>Writes a checkpoint as a GGUF file, one piece of a tensor at a time.</summary>
internal static class GgufModel
{
    // What llama.cpp asks of a file with quantised tensors.
    private const uint QuantizationVersion = 2;

    /// <summary>Writes the file.</summary>
    /// <param name="path">File to write; appears whole or not at all.</param>
    /// <param name="source">The checkpoint, still open.</param>
    /// <param name="type">Element type of its matrices.</param>
    /// <param name="ends">Ids that end an answer, the first also a text.</param>
    /// <param name="name">What the file calls the model.</param>
    /// <exception cref="UserException">
    /// llama.cpp has no such model or tokenizer, a weight is not finite or too large for the type, or the file cannot be written.
    /// </exception>
    public static void Write(string path, Checkpoint source, GgufType type, IReadOnlyList<int> ends, string name)
    {
        var architecture = GgufArchitecture.From(source.Path, source.Config);
        var metadata = new GgufMetadata();
        metadata.Add("general.architecture", architecture.Name);
        metadata.Add("general.type", "model");
        metadata.Add("general.name", name);
        metadata.Add("general.file_type", type.FileType());
        if (type == GgufType.Q8_0)
            metadata.Add("general.quantization_version", QuantizationVersion);

        architecture.AddTo(metadata);
        GgufTokenizer.AddTo(metadata, source, ends);
        List<GgufTensor> tensors = Tensors(architecture, source, type);
        AtomicFile.Write(path, stream => GgufFile.Write(stream, metadata, tensors));
    }

    private static List<GgufTensor> Tensors(GgufArchitecture architecture, Checkpoint source, GgufType type)
    {
        List<GgufTensor> tensors = [];
        foreach (TensorBinding binding in TensorMap.Bind(source, Decoder.Describe(source.Config).Base))
        {
            // A tied head's copy says the same as the embedding, and buffers nothing that llama.cpp would read.
            if (binding.Parameter is not { } parameter || binding.AliasOf is not null)
                continue;

            string tensor = architecture.TensorOf(parameter.Name);
            bool isVector = parameter.Kind == ParameterKind.Vector;
            Func<int, int>? order = architecture.RowOrder(parameter.Name[..parameter.Name.LastIndexOf('.')]);
            double offset = isVector && parameter.Name.EndsWith(".weight", StringComparison.Ordinal) ? source.Config.GainOffset : 0;
            var rows = new StoredRows(binding.Source, isVector, binding.Transposed, order, offset: offset);

            // Positions are added, not multiplied, and are kept as norms are.
            bool isPosition = tensor.StartsWith("position_embd.", StringComparison.Ordinal);
            tensors.Add(isVector ? GgufTensor.Vector(tensor, rows) : GgufTensor.Matrix(tensor, isPosition ? GgufType.F32 : type, rows));
        }

        if (source.Config.RopeScaling is Llama3RopeScaling)
            tensors.Add(GgufTensor.Vector("rope_freqs.weight", new MemoryRow(RopeFactors(source.Config))));

        if (source.Config.RopeScaling is LongRopeScaling lengthened)
        {
            tensors.Add(GgufTensor.Vector("rope_factors_long.weight", Row(lengthened.LongFactors)));
            tensors.Add(GgufTensor.Vector("rope_factors_short.weight", Row(lengthened.ShortFactors)));
        }

        return tensors;

        static MemoryRow Row(IReadOnlyList<double> factors) => new([.. factors.Select(factor => (float)factor)]);
    }

    // What llama.cpp divides each frequency by.
    private static float[] RopeFactors(ModelConfig config)
    {
        Rope rope = config.RopeOf(0)!;
        double[] plain = RotaryTable.Frequencies(rope with { Scaling = null }), scaled = RotaryTable.Frequencies(rope);
        return [.. plain.Zip(scaled, (p, s) => (float)(p / s))];
    }
}

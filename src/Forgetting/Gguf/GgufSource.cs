using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;

namespace Forgetting.Gguf;

/// <summary>
/// Reads a GGUF file as a checkpoint: the tensors under Hugging Face's names and in its layout, rows of q and k in its order, gains as the
/// family keeps them; blocks of Q8_0 as the numbers they stand for. It undoes what exporting does.
/// </summary>
internal static class GgufSource
{
    // Numbers of types whose names users know, for errors.
    private static readonly Dictionary<uint, string> s_otherTypes = new()
    {
        [2] = "Q4_0", [3] = "Q4_1", [6] = "Q5_0", [7] = "Q5_1", [9] = "Q8_1", [10] = "Q2_K", [11] = "Q3_K", [12] = "Q4_K", [13] = "Q5_K",
        [14] = "Q6_K", [15] = "Q8_K", [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL",
        [21] = "IQ3_S", [22] = "IQ2_S", [23] = "IQ4_XS", [28] = "F64", [29] = "IQ1_M", [34] = "TQ1_0", [35] = "TQ2_0", [39] = "MXFP4",
    };

    /// <summary>Reads the configuration and lists the tensors of an open file.</summary>
    /// <exception cref="UserException">No GGUF file that can be read, or one of another model than its metadata says.</exception>
    public static (ModelConfig Config, List<StoredTensor> Tensors) Read(MappedFile file)
    {
        var contents = GgufContents.Read(file);
        ModelConfig config = GgufConfig.Read(contents, file);
        var architecture = GgufArchitecture.Of(config);
        List<StoredTensor> tensors = [];
        List<string> missing = [];
        foreach (Parameter parameter in Decoder.Describe(config).Base)
        {
            string name = architecture.TensorOf(parameter.Name);
            if (contents.Tensors.Remove(name, out GgufEntry? entry))
                tensors.Add(Tensor(file, config, architecture, parameter, entry));
            else
                missing.Add(name);
        }

        if (missing.Count > 0)
            throw new UserException($"{file.Path}: missing tensors: {Wording.List(missing)}");

        return contents.Tensors.Count == 0
            ? (config, tensors)
            : throw new UserException(
                $"{file.Path}: tensors for which {config.Family} has no place: {Wording.List([.. contents.Tensors.Keys])}");
    }

    private static StoredTensor Tensor(
        MappedFile file, ModelConfig config, GgufArchitecture architecture, Parameter parameter, GgufEntry entry)
    {
        GgufType encoding = TypeOf(file, entry);

        // The innermost size first, as rows of columns; a vector has no columns.
        long[] sizes = [.. entry.Sizes.Reverse()];
        if (sizes.Length > 2 || (sizes.Length == 1) != (parameter.Kind == ParameterKind.Vector))
            throw new UserException($"{file.Path}: {entry.Name} has {sizes.Length} dimensions, which {parameter.Name} has not");

        float offset = parameter.Kind == ParameterKind.Vector && parameter.Name.EndsWith(".weight", StringComparison.Ordinal)
            ? (float)config.GainOffset : 0;
        TensorData data = new PackedData(file, entry.Offset);
        StoredType type = encoding.Stored();
        if (encoding == GgufType.Q8_0 || offset != 0)
            (data, type) = (new GgufDecoding(data, encoding, offset), StoredType.F32);

        long rowBytes = sizes.Skip(1).Aggregate((long)type.Size(), (product, size) => product * size);
        if (architecture.RowOrder(parameter.Name[..parameter.Name.LastIndexOf('.')]) is { } order && sizes[0] <= int.MaxValue
            && sizes[0] == parameter.Shape.Count / (sizes.Length == 1 ? 1 : parameter.Shape.Columns))
        {
            long[] place = new long[sizes[0]];
            for (int row = 0; row < place.Length; row++)
            {
                place[order(row)] = row;
            }

            data = new ReorderedRows(data, rowBytes, row => place[row]);
        }

        if (!config.Family.IsTransposed(parameter.Name))
            return new StoredTensor(parameter.Name, type, sizes, file.Path, data);

        long[] transposed = [sizes[1], sizes[0]];
        return new StoredTensor(
            parameter.Name, type, transposed, file.Path, new StridedData(data, type.Size(), transposed, [1, sizes[1]]));
    }

    // The type, where it is read and the data are there.
    private static GgufType TypeOf(MappedFile file, GgufEntry entry)
    {
        if (!Enum.IsDefined((GgufType)entry.Type))
            throw Bad($"is of type {s_otherTypes.GetValueOrDefault(entry.Type) ?? $"{entry.Type}"}, expected F32, F16, BF16 or Q8_0");

        var type = (GgufType)entry.Type;
        if (type == GgufType.Q8_0 && entry.Sizes[0] % GgufTypes.BlockElements != 0)
            throw Bad($"has rows of {entry.Sizes[0]}, expected whole blocks of {GgufTypes.BlockElements}");

        long bytes = type.Bytes(entry.Sizes.Aggregate(1L, (product, size) => product * size));
        return bytes <= file.Length - entry.Offset ? type : throw Bad("reaches behind the end of the file: truncated?");

        UserException Bad(string what) => new($"{file.Path}: tensor {Wording.Quote(entry.Name)} {what}");
    }
}

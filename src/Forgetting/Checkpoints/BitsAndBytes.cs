using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Checkpoints;

/// <summary>
/// Matrices in NF4 as bitsandbytes stores them in a model's folder: beside the codes under the weight's own name are, under that name and a
/// suffix, scales (<c>absmax</c>), levels (<c>quant_map</c>), the same of scales that are in 8 bits themselves (<c>nested_absmax</c>,
/// <c>nested_quant_map</c>), and a JSON text with sizes (<c>quant_state.bitsandbytes__nf4</c>).
/// </summary>
internal static class BitsAndBytes
{
    /// <summary>What a weight's name has behind it for the JSON text.</summary>
    public const string State = ".quant_state.bitsandbytes__nf4";

    private const int MostBytes = 1 << 16; // of the text

    /// <summary>Whether a configuration describes weights of this kind.</summary>
    /// <param name="quantization">Its <c>quantization_config</c>.</param>
    public static bool Describes(JsonView quantization) =>
        quantization.Find("quant_method") is { } method && method.AsString() == "bitsandbytes" && quantization.Flag("load_in_4bit")
        && quantization.Find("bnb_4bit_quant_type") is { } type && type.AsString() == "nf4";

    /// <summary>The tensors of a folder, with one for each quantised weight and what belongs to it.</summary>
    /// <exception cref="UserException">Something is missing, or has other sizes than the weight's.</exception>
    public static IReadOnlyList<StoredTensor> Combined(IReadOnlyList<StoredTensor> tensors)
    {
        string[] weights =
            [.. tensors.Where(t => t.Name.EndsWith(State, StringComparison.Ordinal)).Select(t => t.Name[..^State.Length])];
        if (weights.Length == 0)
            return tensors;

        ILookup<string, StoredTensor> byName = tensors.ToLookup(tensor => tensor.Name);
        HashSet<string> parts = [];
        Dictionary<string, StoredTensor> combined = [];
        foreach (string weight in weights)
        {
            combined[weight] = Combined(weight, suffix =>
            {
                parts.Add(weight + suffix);
                return byName[weight + suffix].FirstOrDefault();
            });
        }

        return
        [
            .. tensors.Where(tensor => !parts.Contains(tensor.Name) || combined.ContainsKey(tensor.Name))
                .Select(tensor => combined.GetValueOrDefault(tensor.Name, tensor)),
        ];
    }

    private static StoredTensor Combined(string weight, Func<string, StoredTensor?> find)
    {
        StoredTensor state = find(State)!;
        JsonView json = ReadState(state);
        string kind = json["quant_type"].AsString();
        if (kind != "nf4")
            throw json["quant_type"].Wrong($"\"{kind}\"", "nf4");

        string dtype = json["dtype"].AsString();
        StoredType type = dtype switch
        {
            "float32" => StoredType.F32,
            "float16" => StoredType.F16,
            "bfloat16" => StoredType.BF16,
            _ => throw json["dtype"].Wrong($"\"{dtype}\"", "float32, float16 or bfloat16"),
        };
        long[] shape = [.. json.Ints("shape", 1, int.MaxValue).Select(size => (long)size)];
        long count = shape.Length == 2 && shape[0] * shape[1] <= int.MaxValue
            ? shape[0] * shape[1] : throw json["shape"].Wrong(json["shape"].Describe(), "rows and columns of fewer than 2³¹ elements");
        int block = json.Int("blocksize", 1, 1 << 20);
        long scales = (count + block - 1) / block;
        bool nested = find(".nested_absmax") is not null;
        int group = nested ? json.Int("nested_blocksize", 1, 1 << 20) : 1;
        StoredTensor Part(string suffix, StoredType? element, long bytes)
        {
            StoredTensor part = find(suffix) ?? throw new UserException($"{state.Path}: {weight}{suffix} is missing");
            return part.Bytes == bytes && (element is null || part.Type == element)
                ? part
                : throw new UserException(
                    $"{part.Path}: tensor {Wording.Quote(part.Name)} is {part.Type} {part.ShapeText}, expected {bytes} bytes"
                    + (element is null ? "" : $" of {element}"));
        }

        float[] Floats(string suffix, long length)
        {
            using MappedView view = Part(suffix, StoredType.F32, length * sizeof(float)).Map(0, length * sizeof(float));
            var values = new float[length];
            ElementConversion.ToSingle(view.Bytes, StoredType.F32, values);
            return values;
        }

        var data = new BitsAndBytesData(
            type, count, block, Part("", element: null, (count + 1) / 2).Data,
            nested ? Part(".absmax", StoredType.U8, scales).Data : Part(".absmax", StoredType.F32, scales * sizeof(float)).Data,
            Floats(".quant_map", 16),
            nested
                ? new NestedScales(
                    group, Floats(".nested_absmax", (scales + group - 1) / group), Floats(".nested_quant_map", 256), Offset(json))
                : null);
        return new StoredTensor(weight, type, shape, state.Path, data);
    }

    private static float Offset(JsonView json)
    {
        JsonView offset = json["nested_offset"];
        return offset.Element.ValueKind == System.Text.Json.JsonValueKind.Number && float.IsFinite((float)offset.Element.GetDouble())
            ? (float)offset.Element.GetDouble() : throw offset.Wrong(offset.Describe(), "a finite number");
    }

    private static JsonView ReadState(StoredTensor state)
    {
        if (state.Type != StoredType.U8 || state.Bytes > MostBytes)
            throw new UserException($"{state.Path}: tensor {Wording.Quote(state.Name)} is {state.Type} {state.ShapeText}, expected a text");

        using MappedView view = state.Map(0, state.Bytes);
        return JsonView.Parse(view.Bytes.ToArray(), state.Path, firstLine: 1, $"{state.Path}: {state.Name}");
    }
}

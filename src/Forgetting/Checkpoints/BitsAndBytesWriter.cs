using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Checkpoints;

/// <summary>
/// Writes a checkpoint with the matrices of its blocks in NF4 with double quantisation (arXiv 2305.14314), as
/// <see cref="BitsAndBytes"/> reads it: what transformers leaves of a model that it quantises by bitsandbytes.
/// </summary>
internal static class BitsAndBytesWriter
{
    /// <summary>Writes the folder, which appears whole or not at all.</summary>
    /// <param name="addFiles">See <see cref="CheckpointWriter.Write"/>.</param>
    /// <exception cref="UserException">
    /// The family's files hold transposes, a matrix is too large, or the folder cannot be written.
    /// </exception>
    public static void Write(string folder, Checkpoint source, Action<string>? addFiles = null)
    {
        List<TensorBinding> bindings = TensorMap.Bind(source, Models.Decoder.Describe(source.Config).Base);
        if (bindings.Find(b => b.Transposed) is { } transposed)
        {
            throw new UserException(
                $"{source.Path}: {transposed.Name} is stored transposed, as {source.Config.Family.ModelType} does; "
                + "expected a family whose matrices are [out, in]");
        }

        string head = source.Config.Family.Names.HeadWeight;
        StoredType type = bindings.First(b => b.Parameter is { Kind: ParameterKind.Matrix }).Source.Type;
        CheckpointWriter.WriteStored(
            folder, source,
            [
                .. bindings.SelectMany(b => b.Parameter is { Kind: ParameterKind.Matrix } parameter && parameter.Name != head
                    ? Quantized(b.Source) : [b.Source]),
            ],
            target =>
            {
                addFiles?.Invoke(target);
                ConfigWriter.Describe(target, Configuration(type));
            });
    }

    /// <summary>The tensors that stand for one, in the bits that bitsandbytes gives it.</summary>
    internal static IEnumerable<StoredTensor> Quantized(StoredTensor weight)
    {
        const int most = int.MaxValue / sizeof(float);
        if (weight.Count > most)
            throw new UserException($"{weight.Path}: {weight.Name} has {weight.Count} elements, expected at most {most}");

        byte[] packed = (weight.Data as BitsAndBytesData)?.Packed() ?? NormalFloat4.Quantize(Values(weight));
        var layout = new NormalFloat4Layout(weight.Count);
        float offset = BitConverter.ToSingle(packed, NormalFloat4Layout.Offset);
        StoredTensor Part(string suffix, StoredType type, long at, params long[] sizes)
        {
            long bytes = sizes.Aggregate((long)type.Size(), (product, size) => product * size);
            return new StoredTensor(weight.Name + suffix, type, sizes, weight.Path, new Bytes(packed.AsMemory((int)at, (int)bytes)));
        }

        yield return Part("", StoredType.U8, layout.Codes, (weight.Count + 1) / 2, 1);
        yield return Part(".absmax", StoredType.U8, layout.ScaleCodes, layout.Scales);
        yield return Part(".nested_absmax", StoredType.F32, NormalFloat4Layout.Groups, layout.GroupCount);
        yield return Part(".nested_quant_map", StoredType.F32, NormalFloat4Layout.Map, 256);
        yield return Part(".quant_map", StoredType.F32, NormalFloat4Layout.Levels, 16);
        byte[] state = Encoding.UTF8.GetBytes(State(weight, offset));
        yield return new StoredTensor(weight.Name + BitsAndBytes.State, StoredType.U8, [state.Length], weight.Path, new Bytes(state));
    }

    // Spelt as Python's json does, whose numbers have small exponents.
    private static string State(StoredTensor weight, float offset)
    {
        string counted = ((double)offset).ToString("R", CultureInfo.InvariantCulture).ToLowerInvariant();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{{\"quant_type\": \"nf4\", \"blocksize\": {NormalFloat4Layout.Block}, \"dtype\": \"{ConfigWriter.NameOf(weight.Type)}\", "
                + $"\"shape\": [{weight.Dimensions[0]}, {weight.Dimensions[1]}], \"nested_blocksize\": {NormalFloat4Layout.Group}, "
                + $"\"nested_dtype\": \"float32\", \"nested_offset\": {counted}}}");
    }

    private static float[] Values(StoredTensor weight)
    {
        var values = new float[weight.Count];
        using MappedView view = weight.Map(0, weight.Bytes);
        ElementConversion.ToSingle(view.Bytes, weight.Type, values);
        return values;
    }

    private static JsonObject Configuration(StoredType type) => new()
    {
        ["bnb_4bit_compute_dtype"] = ConfigWriter.NameOf(type),
        ["bnb_4bit_quant_storage"] = "uint8",
        ["bnb_4bit_quant_type"] = "nf4",
        ["bnb_4bit_use_double_quant"] = true,
        ["llm_int8_enable_fp32_cpu_offload"] = false,
        ["llm_int8_has_fp16_weight"] = false,
        ["llm_int8_skip_modules"] = null,
        ["llm_int8_threshold"] = 6.0,
        ["load_in_4bit"] = true,
        ["load_in_8bit"] = false,
        ["quant_method"] = "bitsandbytes",
    };

    private sealed class Bytes(ReadOnlyMemory<byte> bytes) : TensorData
    {
        public override MappedView Map(long start, long length) => new(bytes.Slice((int)start, (int)length).ToArray());
    }
}

using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>
/// Folders in bitsandbytes' NF4: a vector computed by its plain rules in Python, whole models, and what is wrong with files.
/// </summary>
[Collection(CommandCollection.Name)]
public sealed class BitsAndBytesTests : IDisposable
{
    // Of [4, 64] whose rows have 1, 0.5, 0.25 and 2 as largest magnitudes, so that their mean, 0.9375, is exact in any order.
    private const string Codes =
        "f39e16c039e16c039e16c039e16c03ae16d03ae16d04ae27d04ae27d04ae27d000d18e3b05d17e2af4c17e29f4c16e29"
        + "f3c06d18e3b05d18e3b05d17e2af4c1718f6e4e3c2b1907f5e3d2b1907f5e4d2c1a1806e4e3c2b1907f5e3d2c1a08f6e"
        + "1b203e4e6081a1c2d4e5f7091b2d3e5f7091b2c3e4e6f81a1c2d4e5f7091b2d3";

    private const string State =
        "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [4, 64], \"nested_blocksize\": 256, "
        + "\"nested_dtype\": \"float32\", \"nested_offset\": 0.9375}";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_matrix_gets_the_bits_that_Python_gives_it_and_back()
    {
        float[] largest = [1, 0.5f, 0.25f, 2];
        var values = new float[256];
        for (int row = 0; row < 4; row++)
        {
            for (int j = 0; j < 64; j++)
            {
                values[(64 * row) + j] = largest[row] * (((37 * j) + (11 * row * j) + (5 * row)) % 129 - 64) / 64;
            }

            values[65 * row] = row % 2 == 0 ? largest[row] : -largest[row];
        }

        Assert.StartsWith("ff6c3fe15735d227", Hash(values), StringComparison.Ordinal);
        var weight = new StoredTensor("w", StoredType.F32, [4, 64], "here", new InMemory(MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
        StoredTensor[] parts = [.. BitsAndBytesWriter.Quantized(weight)];
        Assert.Equal(
            ["w U8 [128, 1]", "w.absmax U8 [4]", "w.nested_absmax F32 [1]", "w.nested_quant_map F32 [256]", "w.quant_map F32 [16]",
                $"w.quant_state.bitsandbytes__nf4 U8 [{State.Length}]"],
            parts.Select(part => $"{part.Name} {part.Type} {part.ShapeText}"));
        Assert.Equal(Codes, Convert.ToHexStringLower(Bytes(parts[0])));
        Assert.Equal("b02919ff", Convert.ToHexStringLower(Bytes(parts[1])));
        Assert.Equal(1.0625f, BitConverter.ToSingle(Bytes(parts[2])));
        Assert.Equal(State, Encoding.UTF8.GetString(Bytes(parts[5])));

        StoredTensor back = Assert.Single(BitsAndBytes.Combined(parts));
        Assert.Equal(("w", StoredType.F32, "[4, 64]"), (back.Name, back.Type, back.ShapeText));
        float[] dequantized = [.. MemoryMarshal.Cast<byte, float>(Bytes(back))];
        Assert.Equal("e397df445d1a87e3e336fd245d1d5e5f38b9806a7034d306e914b8500cf4326c", Hash(dequantized));

        // A piece that begins within a pair and within a block is the same numbers.
        using MappedView piece = back.Map(4 * 61, 4 * 70);
        Assert.Equal(dequantized[61..131], MemoryMarshal.Cast<byte, float>(piece.Bytes).ToArray());
        Assert.Equal(parts.Select(Bytes), BitsAndBytesWriter.Quantized(back).Select(Bytes));
    }

    // Scales in Float32, as without double quantisation; blocks of another size; a type that dequantised numbers are rounded to.
    [Fact]
    public void Scales_that_are_not_nested_are_read_too()
    {
        var random = new Random(3);
        byte[] codes = new byte[96], map = new byte[64], absmax = new byte[12];
        random.NextBytes(codes);
        float[] levels = [.. NormalFloat4.Levels], scales = [0.3f, 1.7f, 0.011f];
        MemoryMarshal.AsBytes(levels.AsSpan()).CopyTo(map);
        MemoryMarshal.AsBytes(scales.AsSpan()).CopyTo(absmax);
        byte[] state = Encoding.UTF8.GetBytes(
            "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": [6, 32]}");
        StoredTensor[] parts =
        [
            Stored("w", StoredType.U8, codes, 96, 1), Stored("w.absmax", StoredType.F32, absmax, 3), Stored("other", StoredType.U8, [1], 1),
            Stored("w.quant_map", StoredType.F32, map, 16), Stored("w" + BitsAndBytes.State, StoredType.U8, state, state.Length),
        ];
        IReadOnlyList<StoredTensor> combined = BitsAndBytes.Combined(parts);
        Assert.Equal(["w BF16 [6, 32]", "other U8 [1]"], combined.Select(tensor => $"{tensor.Name} {tensor.Type} {tensor.ShapeText}"));
        Assert.Null(((BitsAndBytesData)combined[0].Data).Packed());
        ushort[] numbers = [.. MemoryMarshal.Cast<byte, ushort>(Bytes(combined[0]))];
        for (int i = 0; i < numbers.Length; i++)
        {
            int code = i % 2 == 0 ? codes[i / 2] / 16 : codes[i / 2] % 16;
            double exact = (double)levels[code] * scales[i / 64];
            Assert.Equal(exact, BitConverter.UInt32BitsToSingle((uint)numbers[i] << 16), Math.Abs(exact) / 255);
        }
    }

    [SharedDataFact]
    public void A_model_goes_out_and_in_and_keeps_its_bits()
    {
        string stories = SharedData.Path("stories260K", "hf"), quantized = _folder["nf4"], again = _folder["again"];
        Export(stories, quantized);
        Assert.Contains("\"quant_method\": \"bitsandbytes\"", File.ReadAllText(_folder["nf4", "config.json"]), StringComparison.Ordinal);
        using var backend = new CpuBackend(2);
        using (LoadedModel expected = LoadedModel.Load(stories, backend, baseType: DType.NormalFloat4),
            packed = LoadedModel.Load(quantized, backend, baseType: DType.NormalFloat4), plain = LoadedModel.Load(quantized, backend))
        {
            int matrices = 0;
            foreach ((Parameter a, Parameter b, Parameter c) in expected.Decoder.BaseParameters.Zip(
                packed.Decoder.BaseParameters, plain.Decoder.BaseParameters))
            {
                matrices += a.Value.DType == DType.NormalFloat4 ? 1 : 0;
                Assert.Equal(a.Value.Raw.AsSpan<byte>(), b.Value.Raw.AsSpan<byte>());
                Assert.Equal(Numbers(backend, a), Numbers(backend, c));
            }

            Assert.Equal(7 * expected.Decoder.Config.Layers, matrices);

            // What is written of it is no longer quantised, and says so.
            CheckpointWriter.Write(_folder["whole"], plain.Source, plain.Decoder.BaseParameters, backend);
        }

        Assert.DoesNotContain("quantization_config", File.ReadAllText(_folder["whole", "config.json"]), StringComparison.Ordinal);
        using (LoadedModel whole = LoadedModel.Load(_folder["whole"], backend), plain = LoadedModel.Load(quantized, backend))
        {
            Assert.All(
                whole.Decoder.BaseParameters.Zip(plain.Decoder.BaseParameters),
                pair => Assert.Equal(Numbers(backend, pair.First), Numbers(backend, pair.Second)));
        }

        Export(quantized, again);
        Folders.AssertSame(
            Folders.ReadTensors(_folder["nf4", "model.safetensors"]), Folders.ReadTensors(_folder["again", "model.safetensors"]));

        static void Export(string model, string folder)
        {
            (int code, _, string error) = CommandResult.Of(["export", "--model", model, "--format", "bitsandbytes", "--out", folder]);
            Assert.True(code == 0, error);
        }
    }

    [Theory]
    [InlineData(0, null, "w is missing")]
    [InlineData(1, null, "w.absmax is missing")]
    [InlineData(3, null, "w.nested_quant_map is missing")]
    [InlineData(5, "{\"quant_type\": \"fp4\"}", "'quant_type' is \"fp4\"; expected nf4")]
    [InlineData(5, "{\"quant_type\": \"nf4\", \"dtype\": \"int8\"}", "'dtype' is \"int8\"; expected float32, float16 or bfloat16")]
    [InlineData(5, "{\"quant_type\": \"nf4\", \"dtype\": \"float32\", \"shape\": [4]}", "'shape' is an array; expected rows and columns")]
    [InlineData(
        5, "{\"quant_type\": \"nf4\", \"dtype\": \"float32\", \"shape\": [4, 65], \"blocksize\": 64, \"nested_blocksize\": 256}",
        "tensor \"w\" is U8 [128, 1], expected 130 bytes")]
    [InlineData(5, "not", "not JSON")]
    public void What_is_wrong_with_a_file_is_one_line(int part, string? text, string expected)
    {
        var weight = new StoredTensor("w", StoredType.F32, [4, 64], "here", new InMemory(new byte[1024]));
        List<StoredTensor> parts = [.. BitsAndBytesWriter.Quantized(weight)];
        if (text is null)
            parts.RemoveAt(part);
        else
            parts[part] = Stored(parts[part].Name, StoredType.U8, Encoding.UTF8.GetBytes(text), text.Length);

        string message = Assert.Throws<UserException>(() => BitsAndBytes.Combined(parts)).Message;
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.StartsWith("here: ", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    private static StoredTensor Stored(string name, StoredType type, byte[] bytes, params long[] shape) =>
        new(name, type, shape, "here", new InMemory(bytes));

    private static byte[] Bytes(StoredTensor tensor)
    {
        using MappedView view = tensor.Map(0, tensor.Bytes);
        return view.Bytes.ToArray();
    }

    private static string Hash(float[] values) => Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(values.AsSpan())));

    private static float[] Numbers(CpuBackend backend, Parameter parameter)
    {
        using DeviceBuffer buffer = backend.Allocate(parameter.Shape.Count * sizeof(float));
        Tensor exact = buffer.AsTensor(parameter.Shape, DType.Float32);
        backend.Copy(parameter.Value, exact);
        return exact.AsSpan<float>().ToArray();
    }

    private sealed class InMemory(byte[] bytes) : TensorData
    {
        public override MappedView Map(long start, long length) => new(bytes.AsSpan((int)start, (int)length).ToArray());
    }
}

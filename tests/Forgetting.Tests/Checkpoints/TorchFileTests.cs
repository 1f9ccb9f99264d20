using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>
/// Files of <c>torch.save</c>: what PyTorch 1.13 wrote (golden/torch_files.py) is read as PyTorch reads it, and nothing else is.
/// </summary>
public sealed class TorchFileTests : IDisposable
{
    private const int Mutations = 10_000;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("types")]
    [InlineData("types_protocol4")]
    [InlineData("views")]
    [InlineData("state")]
    public void Tensors_are_those_that_PyTorch_reads(string name)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Golden("torch_files.json")));
        JsonElement expected = json.RootElement.GetProperty(name);
        using TorchFile file = TorchFile.Open(Golden($"{name}.bin"));
        Assert.Equal(expected.EnumerateObject().Select(p => p.Name), file.Tensors.Select(t => t.Name));
        foreach (StoredTensor tensor in file.Tensors)
        {
            JsonElement one = expected.GetProperty(tensor.Name);
            Assert.Equal(TypeOf(one.GetProperty("type").GetString()!), tensor.Type);
            Assert.Equal(one.GetProperty("shape").EnumerateArray().Select(s => s.GetInt64()), tensor.Dimensions);
            double[] values = [.. one.GetProperty("values").EnumerateArray().Select(v => v.GetDouble())];
            Assert.Equal(values, Values(tensor, 0, tensor.Count));

            // From any place to any other.
            for (int first = 0; first < values.Length; first++)
            {
                int count = (values.Length - first + 1) / 2;
                Assert.Equal(values[first..(first + count)], Values(tensor, first, count));
            }
        }
    }

    [Theory]
    [InlineData("legacy", "format that PyTorch wrote before 1.6")]
    [InlineData("module", "data.pkl asks for \"torch.nn.modules.linear.Linear\"")]
    [InlineData("nested", "\"model\" is no tensor, expected a dictionary of tensors by name")]
    public void Other_files_of_PyTorch_are_refused(string name, string message)
    {
        string path = Golden($"{name}.bin");
        string found = Assert.Throws<UserException>(() => TorchFile.Open(path)).Message;
        Assert.StartsWith(path, found, StringComparison.Ordinal);
        Assert.Contains(message, found, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cos\nsystem\n(X\u0004\0\0\0truetR.", "asks for \"os.system\"")]
    [InlineData("cbuiltins\neval\nX\u0001\0\0\01\u0085R.", "asks for \"builtins.eval\"")]
    [InlineData("X\u0005\0\0\0posixX\u0006\0\0\0system\u0093.", "asks for \"posix.system\"")]
    [InlineData("ctorch.storage\n_load_from_bytes\n.", "asks for \"torch.storage._load_from_bytes\"")]
    [InlineData("cnumpy.core.multiarray\n_reconstruct\n.", "asks for \"numpy.core.multiarray._reconstruct\"")]
    [InlineData("(ios\nsystem\n.", "opcode 0x69")]
    [InlineData("}\u0081.", "opcode 0x81")]
    [InlineData("\u0080\u0001}.", "is of protocol 1, expected 2 to 5")]
    [InlineData("ccollections\nOrderedDict\n(K\u0001tR.", "calls collections.OrderedDict with arguments of another kind")]
    [InlineData("}h\0.", "recalls object 0, which it has not kept")]
    [InlineData("K\u0001.", "something other than a dictionary")]
    [InlineData("}(K\u0001u.", "a key without a value")]
    [InlineData("}K\u0001K\u0001s.", "a key that is no text")]
    [InlineData("]]b.", "something other than attributes")]
    [InlineData("t.", "a mark that is not there")]
    [InlineData("(.", "empty stack")]
    [InlineData("(a.", "empty stack")]
    [InlineData("}", "is cut off")]
    [InlineData("X\u0005\0\0\0ab", "is cut off")]
    [InlineData("cos", "is cut off")]
    [InlineData("}X\u0001\0\0\0aK\u0001s.", "\"a\" is no tensor")]
    public void A_pickle_of_anything_else_is_refused_by_what_it_asks_for(string pickle, string message) =>
        Refuses(new() { ["data.pkl"] = Encoding.Latin1.GetBytes(pickle) }, message);

    [Fact]
    public void Archives_that_are_packed_or_lack_data_are_refused()
    {
        TorchWriter.Write(_folder["good.bin"], new Dictionary<string, Folders.Raw> { ["a"] = new("F32", [2, 3], new byte[24]) });
        Dictionary<string, byte[]> entries = [];
        using (ZipArchive archive = ZipFile.OpenRead(_folder["good.bin"]))
        {
            foreach (ZipArchiveEntry entry in archive.Entries)
            {
                using var bytes = new MemoryStream();
                using Stream stream = entry.Open();
                stream.CopyTo(bytes);
                entries[entry.FullName["archive/".Length..]] = bytes.ToArray();
            }
        }

        Refuses(new(entries) { ["data/0"] = new byte[23] }, "tensor \"a\" reaches to element 6 of 5 in data/0");
        Refuses(new() { ["data.pkl"] = entries["data.pkl"] }, "has its data in data/0, which is not there");
        Refuses(new(entries) { ["byteorder"] = "big"u8.ToArray() }, "byteorder is \"big\", expected little");
        Refuses(new(entries) { ["x/data.pkl"] = [] }, "has 2 entries data.pkl, expected one");
        Refuses(new() { ["data/0"] = [] }, "has 0 entries data.pkl, expected one");
        TorchWriter.WriteArchive(_folder["packed.bin"], entries, packed: true);
        Assert.Contains("is packed or encrypted", Message(_folder["packed.bin"]), StringComparison.Ordinal);
        byte[] good = File.ReadAllBytes(_folder["good.bin"]);
        File.WriteAllBytes(_folder["cut.bin"], good[..^30]);
        Assert.Contains("it has no directory: truncated?", Message(_folder["cut.bin"]), StringComparison.Ordinal);
        File.WriteAllBytes(_folder["text.bin"], "some text"u8);
        Assert.Contains("is no zip archive", Message(_folder["text.bin"]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("views", 1)]
    [InlineData("types_protocol4", 2)]
    public void Damaged_files_are_read_or_refused_in_one_line(string name, int seed)
    {
        byte[] sound = File.ReadAllBytes(Golden($"{name}.bin"));
        int pickleAt = sound.AsSpan().IndexOf("data.pkl"u8), pickleEnd = sound.AsSpan(pickleAt).IndexOf("PK\x7\x8"u8) + pickleAt;
        var random = new Random(seed);
        int read = 0;
        for (int i = 0; i < Mutations; i++)
        {
            byte[] bytes = [.. sound];
            for (int change = random.Next(1, 4); change > 0; change--)
            {
                // Most of them in the pickle, half of them another opcode or number of it.
                int at = random.Next(3) > 0 ? random.Next(pickleAt, pickleEnd) : random.Next(bytes.Length);
                bytes[at] = random.Next(2) == 0 ? (byte)random.Next(256) : sound[random.Next(pickleAt, pickleEnd)];
            }

            string path = _folder["damaged.bin"];
            File.WriteAllBytes(path, random.Next(10) == 0 ? bytes[..random.Next(1, bytes.Length)] : bytes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                using TorchFile file = TorchFile.Open(path);
                foreach (StoredTensor tensor in file.Tensors.Where(t => t.Bytes < 1 << 16))
                {
                    using MappedView view = tensor.Map(0, tensor.Bytes);
                    Assert.Equal(tensor.Bytes, view.Length);
                }

                read++;
            }
            catch (UserException error)
            {
                Assert.StartsWith(path, error.Message, StringComparison.Ordinal);
                Assert.DoesNotContain('\n', error.Message);
            }

            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 << 20);
        }

        Assert.InRange(read, 1, Mutations - 1);
    }

    private static string Golden(string name) => Path.Combine(AppContext.BaseDirectory, "Checkpoints", "golden", name);

    private void Refuses(Dictionary<string, byte[]> entries, string message)
    {
        TorchWriter.WriteArchive(_folder["x.bin"], entries);
        string found = Message(_folder["x.bin"]);
        Assert.True(found.Contains(message, StringComparison.Ordinal), found);
    }

    private static string Message(string path)
    {
        string found = Assert.Throws<UserException>(() => TorchFile.Open(path)).Message;
        Assert.StartsWith($"{path}: ", found, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', found);
        return found;
    }

    private static StoredType TypeOf(string name) => name switch
    {
        "float32" => StoredType.F32,
        "float16" => StoredType.F16,
        "bfloat16" => StoredType.BF16,
        "float64" => StoredType.F64,
        "int64" => StoredType.I64,
        "int32" => StoredType.I32,
        "int16" => StoredType.I16,
        "int8" => StoredType.I8,
        _ => StoredType.BOOL,
    };

    private static double[] Values(StoredTensor tensor, long first, long count)
    {
        int size = tensor.Type.Size();
        using MappedView view = tensor.Map(first * size, count * size);
        ReadOnlySpan<byte> bytes = view.Bytes;
        return tensor.Type switch
        {
            StoredType.F32 => Array.ConvertAll(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), v => (double)v),
            StoredType.F16 => Array.ConvertAll(MemoryMarshal.Cast<byte, Half>(bytes).ToArray(), v => (double)v),
            StoredType.BF16 => Array.ConvertAll(
                MemoryMarshal.Cast<byte, ushort>(bytes).ToArray(), v => (double)BitConverter.UInt32BitsToSingle((uint)v << 16)),
            StoredType.F64 => MemoryMarshal.Cast<byte, double>(bytes).ToArray(),
            StoredType.I64 => Array.ConvertAll(MemoryMarshal.Cast<byte, long>(bytes).ToArray(), v => (double)v),
            StoredType.I32 => Array.ConvertAll(MemoryMarshal.Cast<byte, int>(bytes).ToArray(), v => (double)v),
            StoredType.I16 => Array.ConvertAll(MemoryMarshal.Cast<byte, short>(bytes).ToArray(), v => (double)v),
            StoredType.I8 => Array.ConvertAll(bytes.ToArray(), v => (double)(sbyte)v),
            _ => Array.ConvertAll(bytes.ToArray(), v => (double)v),
        };
    }
}

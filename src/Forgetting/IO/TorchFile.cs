using System.Text;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// Reads the tensors of a file that <c>torch.save</c> wrote of a dictionary of them: a zip archive with the pickle <c>data.pkl</c> and each
/// storage's bytes as <c>data/KEY</c> (PyTorch 1.6 and later). The pickle is read by <see cref="Unpickler"/>, which runs nothing: the few
/// globals that rebuild tensors are known here, any other is refused by name.
/// </summary>
internal sealed class TorchFile : ITensorFile
{
    // A thousand bytes for each of sixteen thousand tensors; objects take more memory than their pickle.
    private const long LongestPickle = 16_000_000;
    private const string Dictionary = "collections.OrderedDict", Rebuild = "torch._utils._rebuild_tensor_v2",
        RebuildParameter = "torch._utils._rebuild_parameter";

    private static readonly Dictionary<string, StoredType> s_storages = new()
    {
        ["torch.FloatStorage"] = StoredType.F32,
        ["torch.HalfStorage"] = StoredType.F16,
        ["torch.BFloat16Storage"] = StoredType.BF16,
        ["torch.DoubleStorage"] = StoredType.F64,
        ["torch.LongStorage"] = StoredType.I64,
        ["torch.IntStorage"] = StoredType.I32,
        ["torch.ShortStorage"] = StoredType.I16,
        ["torch.CharStorage"] = StoredType.I8,
        ["torch.ByteStorage"] = StoredType.U8,
        ["torch.BoolStorage"] = StoredType.BOOL,
    };

    // The number with which older files begin, as protocol 2 pickles it.
    private static readonly byte[] s_legacy = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

    private readonly MappedFile _file;
    private readonly Dictionary<string, (long Offset, long Bytes)> _entries;
    private readonly string _root;

    private TorchFile(MappedFile file)
    {
        _file = file;
        using (MappedView start = file.Map(0, Math.Min(file.Length, s_legacy.Length)))
        {
            if (start.Bytes.SequenceEqual(s_legacy))
            {
                throw new UserException(
                    $"{file.Path}: is in the format that PyTorch wrote before 1.6, expected a zip archive: load and save it with a newer "
                    + "version, best as safetensors");
            }

            if (!start.Bytes.StartsWith("PK\x3\x4"u8))
                throw new UserException($"{file.Path}: is no zip archive, expected a file that torch.save wrote");
        }

        _entries = ZipEntries.Read(file);
        const string pickle = "/data.pkl";
        string[] pickles = [.. _entries.Keys.Where(name => name.EndsWith(pickle, StringComparison.Ordinal))];
        if (pickles.Length != 1)
            throw new UserException($"{file.Path}: has {pickles.Length} entries data.pkl, expected one: not a file that torch.save wrote?");

        _root = pickles[0][..^pickle.Length];
        if (_entries.TryGetValue($"{_root}/byteorder", out (long Offset, long Bytes) order))
        {
            using MappedView view = file.Map(order.Offset, Math.Min(order.Bytes, 16));
            if (!view.Bytes.SequenceEqual("little"u8))
                throw new UserException($"{file.Path}: byteorder is {Wording.Quote(Encoding.UTF8.GetString(view.Bytes))}, expected little");
        }

        Tensors = ReadTensors(_entries[pickles[0]]);
    }

    /// <inheritdoc/>
    public string Path => _file.Path;

    /// <inheritdoc/>
    public IReadOnlyList<StoredTensor> Tensors { get; }

    /// <summary>Opens a file and checks what its pickle says of each tensor against the bytes that are there.</summary>
    /// <exception cref="UserException">Missing, damaged, of the older format, or it holds or asks for something other than
    /// tensors.</exception>
    public static TorchFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new TorchFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private List<StoredTensor> ReadTensors((long Offset, long Bytes) pickle)
    {
        if (pickle.Bytes > LongestPickle)
            throw new UserException($"{Path}: data.pkl has {pickle.Bytes} bytes, expected at most {LongestPickle}");

        using MappedView view = _file.Map(pickle.Offset, pickle.Bytes);
        if (new Unpickler(Path, IsKnown, Call).Read(view.Bytes) is not Dictionary<string, object?> dictionary)
            throw new UserException($"{Path}: holds something other than a dictionary, expected one of tensors by name");

        List<StoredTensor> tensors = [];
        foreach ((string name, object? value) in dictionary)
        {
            if (value is not PickledTensor tensor)
                throw new UserException($"{Path}: {Wording.Quote(name)} is no tensor, expected a dictionary of tensors by name");

            tensors.Add(Place(name, tensor));
        }

        return tensors;
    }

    private static bool IsKnown(PickledGlobal global) =>
        global.ToString() is var name && (s_storages.ContainsKey(name) || name is Dictionary or Rebuild or RebuildParameter);

    private object? Call(PickledGlobal global, object?[] arguments) => (global.ToString(), arguments) switch
    {
        (Dictionary, []) => new Dictionary<string, object?>(),
        (Rebuild,
            [PickledReference { Id: object?[] storage }, long offset, object?[] sizes, object?[] strides, _, _, ..]) =>
            new PickledTensor(storage, offset, Numbers(sizes), Numbers(strides)),
        (RebuildParameter, [PickledTensor tensor, ..]) => tensor,
        _ => throw new UserException($"{Path}: data.pkl calls {global} with arguments of another kind than tensors have"),
    };

    private long[] Numbers(object?[] values) => Array.ConvertAll(values, value => value is long number and >= 0
        ? number : throw new UserException($"{Path}: data.pkl has a size that is no whole number from 0"));

    // A storage is known as ('storage', type, key, device, elements).
    private StoredTensor Place(string name, PickledTensor tensor)
    {
        if (tensor.Storage is not ["storage", PickledGlobal kind, string key, string, long elements])
            throw Bad("has a storage of another kind");

        if (!s_storages.TryGetValue(kind.ToString(), out StoredType type))
            throw Bad($"has {kind} as its storage");

        if (!_entries.TryGetValue($"{_root}/data/{key}", out (long Offset, long Bytes) entry))
            throw Bad($"has its data in data/{key}, which is not there");

        long count = 0, extent = 0;
        try
        {
            count = tensor.Sizes.Aggregate((long)type.Size(), (product, size) => checked(product * size));
            extent = tensor.Sizes.Length == tensor.Strides.Length
                ? checked(tensor.Offset + StridedData.Extent(tensor.Sizes, tensor.Strides))
                : throw Bad($"has {tensor.Strides.Length} strides, expected {tensor.Sizes.Length}");
        }
        catch (OverflowException error)
        {
            throw new UserException(
                $"{Path}: tensor {Wording.Quote(name)} has an impossible shape [{string.Join(", ", tensor.Sizes)}]", error);
        }

        if (tensor.Offset < 0 || extent > elements || elements > entry.Bytes / type.Size())
            throw Bad($"reaches to element {extent} of {Math.Min(elements, entry.Bytes / type.Size())} in data/{key}: truncated?");

        TensorData data = new PackedData(_file, entry.Offset + (tensor.Offset * type.Size()));
        if (count > 0 && !StridedData.IsPacked(tensor.Sizes, tensor.Strides))
            data = new StridedData(data, type.Size(), tensor.Sizes, tensor.Strides);

        return new StoredTensor(name, type, tensor.Sizes, Path, data);

        UserException Bad(string what) => new($"{Path}: tensor {Wording.Quote(name)} {what}");
    }

    /// <summary>What a pickle says of a tensor.</summary>
    private sealed record PickledTensor(object?[] Storage, long Offset, long[] Sizes, long[] Strides);
}

using System.Buffers.Binary;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.Tensors;

namespace Forgetting.IO;

/// <summary>
/// Reads the safetensors format: a 64-bit header length, a JSON header <c>{"name": {"dtype", "shape", "data_offsets"}}</c>, then the data.
/// Opening checks all that the header says, so a file that lies about a length or an offset is refused before anything is read.
/// </summary>
internal sealed class SafeTensorsFile : ITensorFile
{
    private const long LongestHeader = 100_000_000;

    private readonly MappedFile _file;

    private SafeTensorsFile(MappedFile file, IReadOnlyList<StoredTensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        _file = file;
        Tensors = tensors;
        Metadata = metadata;
    }

    /// <inheritdoc/>
    public string Path => _file.Path;

    /// <summary>Tensors in the order of their data.</summary>
    public IReadOnlyList<StoredTensor> Tensors { get; }

    /// <summary>Contents of <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Opens a file and checks its header against its length.</summary>
    /// <exception cref="UserException">Missing, truncated, or a header that is not JSON or does not describe the data.</exception>
    public static SafeTensorsFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            byte[] header = ReadHeader(file);
            (List<StoredTensor> tensors, Dictionary<string, string> metadata) = new HeaderParser(file, header).Parse();
            return new SafeTensorsFile(file, tensors, metadata);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static byte[] ReadHeader(MappedFile file)
    {
        if (file.Length < 8)
            throw new UserException($"{file.Path}: has {file.Length} bytes, expected a safetensors file (8 bytes of header length first)");

        using MappedView lengthView = file.Map(0, 8);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(lengthView.Bytes);
        if (length > LongestHeader)
            throw new UserException($"{file.Path}: header length is {length}, expected at most {LongestHeader}: not a safetensors file?");

        if ((long)length > file.Length - 8)
            throw new UserException($"{file.Path}: header length is {length}, but only {file.Length - 8} bytes follow: truncated?");

        using MappedView headerView = file.Map(8, (long)length);
        return headerView.Bytes.ToArray();
    }

    /// <summary>One pass over the header's JSON, then the check that the tensors tile the data area.</summary>
    private sealed class HeaderParser(MappedFile file, byte[] header)
    {
        private readonly long _dataStart = 8 + header.Length;
        private readonly Dictionary<string, string> _metadata = [];
        private readonly HashSet<string> _names = [];
        private readonly List<(StoredTensor Tensor, long Offset)> _tensors = [];

        public (List<StoredTensor> Tensors, Dictionary<string, string> Metadata) Parse()
        {
            try
            {
                ParseObject();
            }
            catch (Exception error) when (error is JsonException or InvalidOperationException)
            {
                // Utf8JsonReader throws InvalidOperationException for strings that are not UTF-8.
                throw new UserException($"{file.Path}: header is not valid JSON", error);
            }

            CheckTiling();
            return ([.. _tensors.Select(t => t.Tensor)], _metadata);
        }

        private void ParseObject()
        {
            var json = new Utf8JsonReader(header);
            if (!json.Read() || json.TokenType != JsonTokenType.StartObject)
                throw new UserException($"{file.Path}: header is not a JSON object");

            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                string name = json.GetString()!;
                if (!_names.Add(name))
                    throw Bad(name, "is there twice");

                json.Read();
                if (json.TokenType != JsonTokenType.StartObject)
                    throw Bad(name, "is not an object");

                if (name == "__metadata__")
                    ParseMetadata(ref json);
                else
                    _tensors.Add(ParseTensor(ref json, name));
            }

            // Only white space may follow; the reader throws otherwise.
            json.Read();
        }

        private void ParseMetadata(ref Utf8JsonReader json)
        {
            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                string key = json.GetString()!;
                json.Read();
                _metadata[key] = json.TokenType == JsonTokenType.String
                    ? json.GetString()!
                    : throw Bad("__metadata__", "has a value that is not a string");
            }
        }

        private (StoredTensor Tensor, long Offset) ParseTensor(ref Utf8JsonReader json, string name)
        {
            string? typeName = null;
            List<long>? shape = null;
            List<long>? offsets = null;
            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                string key = json.GetString()!;
                json.Read();
                switch (key)
                {
                    case "dtype" when json.TokenType == JsonTokenType.String:
                        typeName = json.GetString();
                        break;
                    case "shape":
                        shape = ParseNumbers(ref json, name, key);
                        break;
                    case "data_offsets":
                        offsets = ParseNumbers(ref json, name, key);
                        break;
                    default:
                        throw Bad(name, $"has an unexpected {Wording.Quote(key)}");
                }
            }

            if (typeName == null || shape == null || offsets == null)
                throw Bad(name, "needs dtype, shape and data_offsets");

            // By name only: Enum.Parse would also take numbers.
            if (!Enum.IsDefined(typeof(StoredType), typeName))
                throw Bad(name, $"has dtype {Wording.Quote(typeName)}, expected one of {string.Join(", ", Enum.GetNames<StoredType>())}");

            return CheckBytes(name, Enum.Parse<StoredType>(typeName), shape, offsets);
        }

        private (StoredTensor Tensor, long Offset) CheckBytes(string name, StoredType type, List<long> shape, List<long> offsets)
        {
            if (offsets.Count != 2 || offsets[0] > offsets[1])
                throw Bad(name, $"has data_offsets [{string.Join(", ", offsets)}], expected [begin, end]");

            long bytes = type.Size();
            try
            {
                bytes = shape.Aggregate(bytes, (product, size) => checked(product * size));
            }
            catch (OverflowException error)
            {
                throw new UserException(
                    $"{file.Path}: tensor {Wording.Quote(name)} has an impossible shape [{string.Join(", ", shape)}]", error);
            }

            if (offsets[1] - offsets[0] != bytes)
                throw Bad(name, $"has {offsets[1] - offsets[0]} bytes, expected {bytes} for {type} [{string.Join(", ", shape)}]");

            if (offsets[1] > file.Length - _dataStart)
                throw Bad(name, $"ends at byte {offsets[1]} of the data, but the file has only {file.Length - _dataStart}: truncated?");

            long offset = _dataStart + offsets[0];
            return (new StoredTensor(name, type, shape, file.Path, new PackedData(file, offset)), offset);
        }

        private List<long> ParseNumbers(ref Utf8JsonReader json, string name, string key)
        {
            if (json.TokenType != JsonTokenType.StartArray)
                throw Bad(name, $"has a {key} that is not a list");

            List<long> numbers = [];
            while (json.Read() && json.TokenType != JsonTokenType.EndArray)
            {
                if (json.TokenType != JsonTokenType.Number || !json.TryGetInt64(out long number) || number < 0)
                    throw Bad(name, $"has a {key} with something other than whole numbers from 0");

                numbers.Add(number);
            }

            return numbers;
        }

        // The format leaves no holes: sorted by position, each tensor begins where the last one ended, and the last ends the file.
        private void CheckTiling()
        {
            _tensors.Sort((a, b) => (a.Offset, a.Tensor.Bytes, a.Tensor.Name).CompareTo((b.Offset, b.Tensor.Bytes, b.Tensor.Name)));
            long end = _dataStart;
            foreach ((StoredTensor tensor, long offset) in _tensors)
            {
                if (offset != end)
                {
                    throw Bad(tensor.Name, offset < end
                        ? $"begins at byte {offset - _dataStart} of the data, inside the tensor before it"
                        : $"begins at byte {offset - _dataStart} of the data, expected {end - _dataStart}: a gap");
                }

                end += tensor.Bytes;
            }

            if (end != file.Length)
                throw new UserException($"{file.Path}: {file.Length - end} bytes follow the last tensor, expected none");
        }

        private UserException Bad(string name, string what) => new($"{file.Path}: tensor {Wording.Quote(name)} {what}");
    }
}

using System.Buffers.Binary;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Models.Families;

namespace Forgetting.Checkpoints;

/// <summary>
/// Reads the model files of llama2.c (version 0): seven 32-bit integers, then Float32 tensors, each kind for all layers at once. The
/// tensors are given under Hugging Face's names; q and k come out with their rows in Hugging Face's rotate-half order.
/// </summary>
internal static class Llama2cFile
{
    private const int HeaderBytes = 28;
    private const int VersionedMagic = 0x616b3432;

    /// <summary>Reads the configuration and lists the tensors of an open file.</summary>
    /// <exception cref="UserException">A header that makes no sense or a file of another length than it says.</exception>
    public static (ModelConfig Config, List<StoredTensor> Tensors) Read(MappedFile file)
    {
        ModelConfig config = ReadHeader(file);
        var layout = new Layout(file);
        int hidden = config.HiddenSize;
        int queryWidth = config.Heads * config.HeadSize;
        int keyWidth = config.KeyValueHeads * config.HeadSize;

        layout.Add("model.embed_tokens.weight", [config.VocabularySize, hidden]);
        layout.AddLayers(config.Layers, "input_layernorm", [hidden]);
        layout.AddLayers(config.Layers, "self_attn.q_proj", [queryWidth, hidden], config.HeadSize);
        layout.AddLayers(config.Layers, "self_attn.k_proj", [keyWidth, hidden], config.HeadSize);
        layout.AddLayers(config.Layers, "self_attn.v_proj", [keyWidth, hidden]);
        layout.AddLayers(config.Layers, "self_attn.o_proj", [hidden, queryWidth]);
        layout.AddLayers(config.Layers, "post_attention_layernorm", [hidden]);
        layout.AddLayers(config.Layers, "mlp.gate_proj", [config.IntermediateSize, hidden]);
        layout.AddLayers(config.Layers, "mlp.down_proj", [hidden, config.IntermediateSize]);
        layout.AddLayers(config.Layers, "mlp.up_proj", [config.IntermediateSize, hidden]);
        layout.Add("model.norm.weight", [hidden]);

        // Tables of RoPE's cosines and sines that nobody reads any more.
        layout.Skip((long)config.ContextLength * config.HeadSize);
        if (!config.TiedHead)
            layout.Add("lm_head.weight", [config.VocabularySize, hidden]);

        return layout.End == file.Length
            ? (config, layout.Tensors)
            : throw new UserException(
                $"{file.Path}: has {file.Length} bytes, expected {layout.End} for the sizes in its header (llama2.c version 0)");
    }

    private static ModelConfig ReadHeader(MappedFile file)
    {
        if (file.Length < HeaderBytes)
        {
            throw new UserException(
                $"{file.Path}: has {file.Length} bytes, expected a llama2.c model ({HeaderBytes} bytes of header first)");
        }

        using MappedView view = file.Map(0, HeaderBytes);
        var header = new int[HeaderBytes / 4];
        for (int i = 0; i < header.Length; i++)
        {
            header[i] = BinaryPrimitives.ReadInt32LittleEndian(view.Span(i * 4, 4));
        }

        if (header[0] == VersionedMagic)
            throw new UserException($"{file.Path}: is a llama2.c file of version {header[1]}, expected version 0 (export.py --version 0)");

        if (header[5] == int.MinValue)
            throw Bad(file, "vocab_size", header[5], "a size");

        int hidden = Size(file, "dim", header[0], 1 << 20);
        int heads = Size(file, "n_heads", header[3], hidden);
        int keyValueHeads = Size(file, "n_kv_heads", header[4], heads);
        if (hidden % heads != 0 || hidden / heads % 2 != 0)
            throw Bad(file, "n_heads", heads, $"a divisor of dim = {hidden} that leaves an even head size");

        if (heads % keyValueHeads != 0)
            throw Bad(file, "n_kv_heads", keyValueHeads, $"a divisor of n_heads = {heads}");

        int headSize = hidden / heads;
        return new ModelConfig
        {
            Family = ModelFamilies.Llama,
            VocabularySize = Size(file, "vocab_size", Math.Abs(header[5]), 1 << 24),
            HiddenSize = hidden,
            IntermediateSize = Size(file, "hidden_dim", header[1], 1 << 20),
            Layers = Size(file, "n_layers", header[2], 10_000),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadSize = headSize,
            ContextLength = Size(file, "seq_len", header[6], 1 << 21),
            AttentionScale = 1 / Math.Sqrt(headSize),

            // A negative vocabulary size says that the head has its own weights.
            TiedHead = header[5] > 0,
            BosTokenId = 1,
            EosTokenIds = [2],
        };
    }

    private static int Size(MappedFile file, string field, int value, int most) =>
        value >= 1 && value <= most ? value : throw Bad(file, field, value, $"1 to {most}");

    private static UserException Bad(MappedFile file, string field, int value, string expected) =>
        new($"{file.Path}: header field {field} is {value}, expected {expected}: not a llama2.c model?");

    // Pair i of a head is (2i, 2i + 1) in the file and (i, i + D/2) in memory.
    private static long FileRow(long row, int headSize)
    {
        int half = headSize / 2;
        (long head, long within) = Math.DivRem(row, headSize);
        return (head * headSize) + (within < half ? 2 * within : (2 * (within - half)) + 1);
    }

    private sealed class Layout(MappedFile file)
    {
        public List<StoredTensor> Tensors { get; } = [];

        public long End { get; private set; } = HeaderBytes;

        public void Add(string name, long[] dimensions, int pairedHeadSize = 0)
        {
            TensorData data = new PackedData(file, End);
            if (pairedHeadSize > 0)
                data = new ReorderedRows(data, dimensions[1] * sizeof(float), row => FileRow(row, pairedHeadSize));

            var tensor = new StoredTensor(name, StoredType.F32, dimensions, file.Path, data);
            Tensors.Add(tensor);
            End += tensor.Bytes;
        }

        public void AddLayers(int layers, string part, long[] dimensions, int pairedHeadSize = 0)
        {
            for (int layer = 0; layer < layers; layer++)
            {
                Add($"model.layers.{layer}.{part}.weight", dimensions, pairedHeadSize);
            }
        }

        public void Skip(long elements) => End += elements * 4;
    }
}

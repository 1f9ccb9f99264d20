using System.Text;
using LLama;
using LLama.Common;
using LLama.Native;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>A GGUF file in llama.cpp, computed in Float32 as far as the file's types allow.</summary>
internal sealed class LlamaCppModel : IDisposable
{
    private readonly LLamaWeights _weights;
    private readonly LLamaContext _context;

    static LlamaCppModel() => NativeLibraryConfig.All.WithLogCallback((level, message) =>
    {
        if (level == LLamaLogLevel.Error)
            Console.Error.Write(message);
    });

    public LlamaCppModel(string file, string? adapter = null)
    {
        var parameters = new ModelParams(file)
        {
            ContextSize = 256,
            BatchSize = 256,
            Threads = 1,
            BatchThreads = 1,
            GpuLayerCount = 0,
            FlashAttention = false,
            TypeK = GGMLType.GGML_TYPE_F32,
            TypeV = GGMLType.GGML_TYPE_F32,
        };
        _weights = LLamaWeights.LoadFromFile(parameters);
        _context = _weights.CreateContext(parameters);
        if (adapter != null)
            _context.NativeHandle.SetLoraAdapters([(_weights.NativeHandle.LoadLoraFromFile(adapter), 1f)]);
    }

    public int VocabularySize => _weights.Vocab.Count;

    /// <summary>Metadata that are texts or numbers, as text.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _weights.Metadata;

    public int[] Tokenize(string text, bool bos, bool special = false) =>
        [.. _weights.NativeHandle.Tokenize(text, bos, special, Encoding.UTF8).Select(t => (int)t)];

    /// <summary>Logits after each token of a text.</summary>
    public float[][] Logits(int[] ids)
    {
        _context.NativeHandle.MemoryClear();
        return Decode(ids, 0, all: true);
    }

    /// <summary>The most probable tokens after a prompt, end tokens among them.</summary>
    public int[] Greedy(int[] prompt, int count)
    {
        _context.NativeHandle.MemoryClear();
        List<int> ids = [];
        int[] next = prompt;
        for (int position = 0; ids.Count < count; position += next.Length)
        {
            if (ids.Count > 0)
                next = [ids[^1]];

            float[] logits = Decode(next, position, all: false)[0];
            ids.Add(Array.IndexOf(logits, logits.Max()));
        }

        return [.. ids];
    }

    public void Dispose()
    {
        _context.Dispose();
        _weights.Dispose();
    }

    private float[][] Decode(int[] ids, int position, bool all)
    {
        var batch = new LLamaBatch();
        for (int i = 0; i < ids.Length; i++)
        {
            batch.Add(ids[i], position + i, LLamaSeqId.Zero, all || i == ids.Length - 1);
        }

        if (_context.NativeHandle.Decode(batch) is var result && result != DecodeResult.Ok)
            throw new InvalidOperationException($"llama.cpp did not decode: {result}");

        IEnumerable<int> rows = all ? Enumerable.Range(0, ids.Length) : [ids.Length - 1];
        return [.. rows.Select(row => _context.NativeHandle.GetLogitsIth(row).ToArray())];
    }
}

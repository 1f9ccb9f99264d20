using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Gguf;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>Writes models and adapters as the files that llama.cpp and ollama run, each with its Modelfile.</summary>
internal static class GgufExport
{
    /// <summary>Writes a model.</summary>
    /// <param name="model">A Hugging Face folder, a GGUF file, a llama2.c <c>.bin</c>, or the folder of a run.</param>
    /// <param name="file">File to write; appears whole or not at all.</param>
    /// <param name="type">Element type of the matrices.</param>
    /// <param name="name">What the file calls the model; null for what its path does.</param>
    /// <exception cref="UserException">
    /// The model is missing, malformed, or none that llama.cpp knows, or the file cannot be written.
    /// </exception>
    public static void WriteModel(string model, string file, GgufType type, string? name = null)
    {
        using Checkpoint source = Checkpoint.Open(model);
        (Tokenizer tokenizer, ChatTemplate? template, IReadOnlyList<int> ends) = Read(source, adapter: null);
        GgufModel.Write(file, source, type, ends, name ?? ModelCard.NameOf(source.Path));
        WriteModelfile(file, source, $"./{Path.GetFileName(file)}", adapter: null, tokenizer, template, ends);
    }

    /// <summary>Writes an adapter.</summary>
    /// <param name="model">Its base, as <see cref="WriteModel"/> takes a model.</param>
    /// <param name="adapter">Folder of a PEFT adapter.</param>
    /// <inheritdoc cref="WriteModel"/>
    public static void WriteAdapter(string model, string adapter, string file, GgufType type)
    {
        using PeftAdapter peft = PeftAdapter.Open(adapter);
        using Checkpoint source = Checkpoint.Open(model);
        (Tokenizer tokenizer, ChatTemplate? template, IReadOnlyList<int> ends) = Read(source, adapter);
        GgufAdapter.Write(file, peft, source, type);
        string folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        string from = Path.GetRelativePath(folder, Path.GetFullPath(source.Path)).Replace('\\', '/');
        from = Path.IsPathRooted(from) || from.StartsWith("..", StringComparison.Ordinal) ? from : $"./{from}";
        WriteModelfile(file, source, from, $"./{Path.GetFileName(file)}", tokenizer, template, ends);
    }

    // The layout of conversations, and every id that ends an answer: the tokenizer's, the model's, the adapter's and the layout's.
    private static (Tokenizer Tokenizer, ChatTemplate? Template, IReadOnlyList<int> Ends) Read(Checkpoint source, string? adapter)
    {
        Tokenizer tokenizer = Tokenizer.Load(source.TokenizerPath ?? source.Path);
        ChatTemplate? template = ChatLayout.AdapterTemplate(adapter) is { } file
            ? ChatTemplate.LoadFile(file, source.Path)
            : ChatTemplate.Load(source.Path);
        int[] turn = template is not null && ChatLayout.TurnEnd(tokenizer, MessageLayout.From(template)) is int end ? [end] : [];
        IReadOnlyList<int> ofAdapter = adapter is null ? [] : ChatFiles.OfAdapter(adapter).Ends;
        return (tokenizer, template, [.. tokenizer.EosIds.Union(source.Config.EosTokenIds).Union(ofAdapter).Union(turn)]);
    }

    private static void WriteModelfile(
        string file, Checkpoint source, string from, string? adapter, Tokenizer tokenizer, ChatTemplate? template, IReadOnlyList<int> ends)
    {
        int[] prefix = tokenizer.Encode("", bos: true);
        string? begin = prefix.Length == 1 ? tokenizer.TokenOf(prefix[0]) : null;
        IEnumerable<string> stops = ends.Select(id => tokenizer.TokenOf(id) ?? "");

        // With more, llama.cpp turns short texts too as if they were longer ones.
        int context = Math.Min(source.Config.ContextLength, source.Config.TurnsOtherwiseFrom);
        AtomicFile.WriteText(Modelfile.PathOf(file), Modelfile.Text(from, adapter, template, begin, stops, context));
    }
}

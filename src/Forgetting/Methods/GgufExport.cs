using Forgetting.Checkpoints.Gguf;
using Forgetting.Data;
using Forgetting.HuggingFace;
using Forgetting.HuggingFace.Tokenizers;

namespace Forgetting.Methods;

/// <summary>Writes models and adapters as the files that llama.cpp and ollama run.</summary>
internal static class GgufExport
{
    /// <summary>Writes a model.</summary>
    /// <param name="model">A Hugging Face folder, a llama2.c <c>.bin</c>, or the folder of a run.</param>
    /// <param name="file">File to write; appears whole or not at all.</param>
    /// <param name="type">Element type of the matrices.</param>
    /// <exception cref="UserException">The model is missing, malformed, or none that llama.cpp knows, or the file cannot be written.</exception>
    public static void WriteModel(string model, string file, GgufType type)
    {
        using Checkpoint source = Checkpoint.Open(model);
        Tokenizer tokenizer = Tokenizer.Load(source.TokenizerPath ?? source.Path);
        MessageLayout? layout = ExampleLoader.Own(source.Path);
        int[] turn = layout is not null && ExampleLoader.TurnEnd(tokenizer, layout) is int end ? [end] : [];
        GgufModel.Write(file, source, type, [.. tokenizer.EosIds.Union(source.Config.EosTokenIds).Union(turn)]);
    }
}

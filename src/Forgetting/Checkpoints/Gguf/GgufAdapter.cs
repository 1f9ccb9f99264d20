using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.IO;
using Forgetting.Models;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>Writes a PEFT adapter as a GGUF file that llama.cpp adds to its base.</summary>
internal static class GgufAdapter
{
    /// <summary>Writes the file.</summary>
    /// <param name="path">File to write; appears whole or not at all.</param>
    /// <param name="adapter">The adapter, still open.</param>
    /// <param name="source">Its base, still open.</param>
    /// <param name="type">Element type of its matrices.</param>
    /// <exception cref="UserException">
    /// llama.cpp cannot add such an adapter or does not know the base, or the file cannot be written.
    /// </exception>
    public static void Write(string path, PeftAdapter adapter, Checkpoint source, GgufType type)
    {
        var architecture = GgufArchitecture.From(source.Path, source.Config);
        LoraConfig lora = adapter.Config;
        if (lora.ModulesToSave.Count + lora.CarriedParameters.Count > 0)
            throw Refused($"holds {Wording.List([.. lora.ModulesToSave, .. lora.CarriedParameters])} whole, which a GGUF adapter cannot");

        var metadata = new GgufMetadata();
        metadata.Add("general.architecture", architecture.Name);
        metadata.Add("general.type", "adapter");
        metadata.Add("general.name", ModelCard.NameOf(adapter.Path));
        metadata.Add("general.file_type", type.FileType());
        metadata.Add("adapter.type", "lora");

        // llama.cpp's scale is this number over each pair's own rank.
        metadata.Add("adapter.lora.alpha", (float)lora.Alpha);
        ModuleNames names = source.Config.Family.Names;
        List<GgufTensor> tensors = [];
        foreach ((string module, StoredTensor a, StoredTensor b) in adapter.Pairs(source.Config))
        {
            if (module == names.Embedding || (module == names.Head && source.Config.TiedHead))
                throw Refused($"adapts {module}, which a GGUF adapter cannot where it is the embedding");

            // What else the scale should be is in B.
            int rank = lora.RankOf(module);
            double factor = lora.ScaleOf(module) / ((float)lora.Alpha / rank);
            string name = architecture.NameOf(module) + ".weight";
            tensors.Add(GgufTensor.Matrix($"{name}.lora_a", type, new StoredRows(a)));
            tensors.Add(GgufTensor.Matrix($"{name}.lora_b", type, new StoredRows(b, order: architecture.RowOrder(module), factor: factor)));
        }

        AtomicFile.Write(path, stream => GgufFile.Write(stream, metadata, tensors));

        UserException Refused(string found) =>
            new($"{adapter.Path}: {found}; expected it merged into its base, whose model can be exported");
    }
}

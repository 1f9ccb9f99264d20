using Forgetting.Checkpoints;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Training;

/// <summary>The model card of what a training leaves.</summary>
internal static class TrainingCard
{
    // What the card says elsewhere, or what says where a run was and not what it did.
    private static readonly string[] s_elsewhere = ["model", "data", "method", "template", "out", "device", "products"];

    /// <summary>The card of a tuned model or of its adapter.</summary>
    /// <param name="options">Settings of the run, resolved.</param>
    /// <param name="isAdapter">Whether it is the adapter's.</param>
    /// <param name="metrics">What is known of the model.</param>
    public static ModelCard From(TrainingOptions options, bool isAdapter, IEnumerable<(string Name, double Value)> metrics)
    {
        string[] files = [.. options.Data.Files.Select(Name)];
        string name = ModelCard.NameOf(options.Model), data = string.Join(", ", files), method = Recipe.Text(options.Method);
        bool lora = options.Lora.Rank > 0;
        string text = isAdapter
            ? $"A LoRA adapter of {name}, trained on {data} by the method {method}."
            : $"{name} fine-tuned on {data} by the method {method}{(lora ? ", with LoRA merged into its weights" : "")}.";
        return new ModelCard($"{Path.GetFileName(name)}-{method}", text, options.Model, isAdapter)
        {
            Tags = lora ? [method, "lora"] : [method],
            Datasets = files,
            Run = ModelCard.RunOf([("method", method), ("template", Name(options.Data.Template))], metrics, Changed(options)),
        };
    }

    /// <summary>The card of a model that was trained from random weights.</summary>
    /// <param name="options">Settings of the run.</param>
    /// <param name="steps">Steps taken.</param>
    public static ModelCard OfNew(TrainingOptions options, int steps)
    {
        string[] files = [.. options.Data.Files.Select(Name)];
        string text = $"A model trained{(files.Length > 0 ? $" on {string.Join(", ", files)}" : "")} from random weights.";
        return new ModelCard("pretrained", text, null, IsAdapter: false)
        {
            Datasets = files,
            Run = ModelCard.RunOf([], [("steps", steps)], Changed(options)),
        };
    }

    // Settings that decide what the training does and are not at their defaults, paths by their names.
    private static YamlMappingNode Changed(TrainingOptions options)
    {
        TrainingOptions named = Recipe.MapPaths(options, Name), standard = new();
        var changed = new YamlMappingNode();
        foreach ((YamlNode key, YamlNode value) in Recipe.ToYaml(named))
        {
            Setting setting = Recipe.Find(key.ToString())!;
            if (!setting.MayChange && !s_elsewhere.Contains(setting.Name) && setting.Read(named) != setting.Read(standard))
                changed.Add(key, value);
        }

        return changed;
    }

    private static string Name(string path) => Path.GetFileName(Path.TrimEndingDirectorySeparator(path));
}

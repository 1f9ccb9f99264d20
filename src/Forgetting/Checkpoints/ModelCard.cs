using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Forgetting.Core;
using Forgetting.IO;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Checkpoints;

/// <summary>
/// The model card of a folder, <c>README.md</c>: what Hugging Face's tools read at its front, as YAML, and the same for people below.
/// Nothing in it depends on when or where it was written, so that the same run leaves the same bits.
/// </summary>
/// <param name="Title">Name of the model.</param>
/// <param name="Text">What it is, in a sentence.</param>
/// <param name="Base">Path of the model that it was made from; null for one made from nothing.</param>
/// <param name="IsAdapter">Whether the folder holds an adapter, which needs its base.</param>
internal sealed partial record ModelCard(string Title, string Text, string? Base, bool IsAdapter)
{
    /// <summary>Name of the file.</summary>
    public const string FileName = "README.md";

    private const string Fence = "---";
    private const string RunKey = "forgetting", DatasetsKey = "datasets", MetricsKey = "metrics", RecipeKey = "recipe", TagsKey = "tags";

    // What a model has from its base, where that says it.
    private static readonly string[] s_inherited = ["language", "license", "license_name", "license_link"];

    /// <summary>Words that it is found by, besides this program's name.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];

    /// <summary>Names of the data that it was trained on.</summary>
    public IReadOnlyList<string> Datasets { get; init; } = [];

    /// <summary>How it was trained, by name: method, template and others; null where nothing is known.</summary>
    public YamlMappingNode? Run { get; init; }

    /// <summary>What is known of how a model was trained.</summary>
    /// <param name="facts">Method, template and others.</param>
    /// <param name="metrics">What was measured of it.</param>
    /// <param name="recipe">Settings that are not at their defaults.</param>
    public static YamlMappingNode RunOf(
        IEnumerable<(string Name, string Value)> facts, IEnumerable<(string Name, double Value)> metrics, YamlMappingNode recipe)
    {
        var run = new YamlMappingNode();
        foreach ((string name, string value) in facts)
        {
            run.Add(name, Quoted(value));
        }

        var measured = new YamlMappingNode();
        foreach ((string name, double value) in metrics.Where(m => double.IsFinite(m.Value)))
        {
            measured.Add(Quoted(name), Number(value));
        }

        if (measured.Children.Count > 0)
            run.Add(MetricsKey, measured);

        run.Add(RecipeKey, recipe);
        return run;
    }

    /// <summary>The card of a model with an adapter merged into its weights, which says what the adapter's does.</summary>
    /// <param name="model">The base.</param>
    /// <param name="adapter">Folder of the adapter.</param>
    public static ModelCard Merged(string model, string adapter)
    {
        string text = $"The adapter {NameOf(adapter)} merged into the weights of {NameOf(model)}.";
        return Continued(new(NameOf(adapter), text, model, IsAdapter: false), adapter);
    }

    /// <summary>The card of a copy of an adapter.</summary>
    /// <param name="model">The base.</param>
    /// <param name="adapter">Folder of the adapter.</param>
    public static ModelCard Copied(string model, string adapter) =>
        Continued(new(NameOf(adapter), $"An adapter of {NameOf(model)}.", model, IsAdapter: true), adapter);

    /// <summary>Writes it into a folder, in place of any that is there.</summary>
    public void AddTo(string folder) =>
        File.WriteAllText(Path.Combine(folder, FileName), $"{Fence}\n{YamlFile.Write(Front())}{Fence}\n\n{Body()}");

    /// <summary>Writes it into a folder that has none.</summary>
    public void AddWhereMissing(string folder)
    {
        if (!File.Exists(Path.Combine(folder, FileName)))
            AddTo(folder);
    }

    /// <summary>What a model is called, by its path.</summary>
    public static string NameOf(string path)
    {
        // As Hugging Face's library keeps what it has loaded.
        if (Cached().Match(path.Replace('\\', '/')) is { Success: true } cached)
            return $"{cached.Groups[1].Value}/{cached.Groups[2].Value}";

        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)), name = Path.GetFileName(full);

        // A run's folder says more than that of the model in it.
        return name is "model" or "adapter" && Path.GetFileName(Path.GetDirectoryName(full)) is { Length: > 0 } run ? run
            : File.Exists(full) ? Path.GetFileNameWithoutExtension(full) : name;
    }

    /// <summary>
    /// The YAML at the front of a folder's card; null where there is none that can be read, which is nobody's error but its author's.
    /// </summary>
    public static YamlMappingNode? Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        try
        {
            if (!File.Exists(path))
                return null;

            string text = InputFile.ReadText(path, "a model card").ReplaceLineEndings("\n");
            int end = text.IndexOf($"\n{Fence}\n", StringComparison.Ordinal);
            return text.StartsWith($"{Fence}\n", StringComparison.Ordinal) && end > 0
                ? YamlFile.Read(new StringReader(text[(Fence.Length + 1)..(end + 1)]), path)
                : null;
        }
        catch (UserException)
        {
            return null;
        }
    }

    private static ModelCard Continued(ModelCard card, string adapter)
    {
        YamlMappingNode? front = Read(adapter);
        return card with
        {
            Datasets = Texts(front, DatasetsKey),
            Tags = [.. Texts(front, TagsKey).Where(tag => tag != RunKey).DefaultIfEmpty("lora")],
            Run = front?.Children.TryGetValue(RunKey, out YamlNode? run) == true ? run as YamlMappingNode : null,
        };
    }

    private static string[] Texts(YamlMappingNode? mapping, string key) =>
        mapping?.Children.TryGetValue(key, out YamlNode? value) == true && value is YamlSequenceNode list
            ? [.. list.OfType<YamlScalarNode>().Select(node => node.Value ?? "")]
            : [];

    // Six digits, and a point before an exponent, which YAML 1.1 wants.
    private static string Number(double value)
    {
        string text = value.ToString("G6", CultureInfo.InvariantCulture);
        return text.Contains('.', StringComparison.Ordinal) ? text : text.Replace("E", ".0E", StringComparison.Ordinal);
    }

    private static YamlScalarNode Quoted(string text) => new(text) { Style = ScalarStyle.DoubleQuoted };

    private static YamlSequenceNode List(IEnumerable<string> texts) => new(texts.Select(Quoted));

    private YamlMappingNode Front()
    {
        var front = new YamlMappingNode();
        if (Base != null)
        {
            front.Add("base_model", Quoted(NameOf(Base)));
            front.Add("base_model_relation", IsAdapter ? "adapter" : "finetune");
            YamlMappingNode? above = Read(ModelPath.Resolve(Base));
            foreach (string key in s_inherited)
            {
                if (above?.Children.TryGetValue(key, out YamlNode? value) == true && value is YamlScalarNode or YamlSequenceNode)
                    front.Add(key, value);
            }
        }

        front.Add("library_name", IsAdapter ? "peft" : "transformers");
        front.Add("pipeline_tag", "text-generation");
        front.Add(TagsKey, List([RunKey, .. Tags]));
        if (Datasets.Count > 0)
            front.Add(DatasetsKey, List(Datasets));

        if (Run != null)
        {
            if (Metrics().Count > 0)
                front.Add(MetricsKey, List(Metrics().Select(m => m.Name)));

            front.Add(RunKey, Run);
        }

        return front;
    }

    private List<(string Name, string Value)> Metrics() =>
        Run?.Children.TryGetValue(MetricsKey, out YamlNode? metrics) == true && metrics is YamlMappingNode measured
            ? [.. measured.Select(m => (m.Key.ToString(), m.Value.ToString()))]
            : [];

    private string Body()
    {
        var text = new StringBuilder($"# {Title}\n\n{Text}\n");
        if (Metrics() is { Count: > 0 } metrics)
            text.Append("\n| measured | |\n|---|---|\n").AppendJoin("", metrics.Select(m => $"| {m.Name} | {m.Value} |\n"));

        YamlNode? recipe = null;
        if (Run?.Children.TryGetValue(RecipeKey, out recipe) == true && recipe is YamlMappingNode { Children.Count: > 0 } settings)
            text.Append($"\nSettings that are not at their defaults:\n\n```yaml\n{YamlFile.Write(settings)}```\n");

        return text.ToString();
    }

    [GeneratedRegex("models--([^/]+?)--([^/]+)/snapshots/")]
    private static partial Regex Cached();
}

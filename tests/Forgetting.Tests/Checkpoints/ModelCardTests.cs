using Forgetting.Checkpoints;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Training;
using Xunit;
using YamlDotNet.Serialization;

namespace Forgetting.Tests.Checkpoints;

/// <summary>
/// Every folder that is written as a model or an adapter says what it is, in YAML that another reader of YAML reads, and loads back.
/// </summary>
[Collection(CommandCollection.Name)]
public sealed class ModelCardTests : IDisposable
{
    private static readonly TrainingExample[] s_examples =
        [.. Enumerable.Range(0, 8).Select(i => new TrainingExample($"Lily has {i + 2} cats and a", $" dog number {i}."))];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SharedDataFact]
    public void A_run_leaves_a_card_in_every_model_and_adapter()
    {
        string source = Base("---\nlicense: mit\nlanguage:\n- en\ntags: [other]\n---\n# Stories\n");

        // A name that YAML would take for something else.
        string data = _folder["no: 1 #a.jsonl"];
        TrainingExample.WriteFile(data, s_examples);
        CommandResult tuned = CommandResult.Of(
            "tune", "--model", source, "--data", data, "--out", _folder["run"], "--method", "forget", "--reference-fraction", "0.25",
            "--ascent", "ascent", "--valid-fraction", "0.25", "--batch-size", "2", "--steps", "2", "--eval-every", "1",
            "--learning-rate", "1e-3", "--lora-rank", "4", "--device", "cpu");
        Assert.True(tuned.ExitCode == 0, tuned.Error);
        Dictionary<object, object> card = Card(_folder["run", "model"]), run = (Dictionary<object, object>)card["forgetting"];
        Assert.Equal(
            ("base", "finetune", "mit", "transformers", "text-generation"),
            (card["base_model"], card["base_model_relation"], card["license"], card["library_name"], card["pipeline_tag"]));
        Assert.Equal(["en"], (List<object>)card["language"]);
        Assert.Equal(["forgetting", "forget", "lora"], (List<object>)card["tags"]);
        Assert.Equal(["no: 1 #a.jsonl"], (List<object>)card["datasets"]);
        Assert.Equal(("forget", "tulu"), (run["method"], run["template"]));
        var recipe = (Dictionary<object, object>)run["recipe"];
        Assert.Equal(("2", "0.001", "4"), (recipe["batch-size"], recipe["learning-rate"], recipe["lora-rank"]));
        Assert.DoesNotContain(recipe.Keys, key => key is "out" or "seed" or "device");

        // The metrics are those of the run's own records.
        var metrics = (Dictionary<object, object>)run["metrics"];
        Assert.Equal(StepMetrics.Read(_folder["run", "metrics.jsonl"])[^1].HeldOutLoss!.Value, Number(metrics["valid/loss"]), 1e-5);
        Assert.Equal(2, Number(metrics["steps"]));
        Assert.Equal(metrics.Keys, (List<object>)card["metrics"]);

        Dictionary<object, object> adapter = Card(_folder["run", "adapter"]);
        Assert.Equal(("base", "adapter", "peft"), (adapter["base_model"], adapter["base_model_relation"], adapter["library_name"]));
        string[] weights = Directory.GetFiles(_folder["run"], "*model.safetensors", SearchOption.AllDirectories);
        Assert.True(weights.Length >= 6, string.Join(' ', weights));
        Assert.All(weights, file => Assert.Equal("base", Card(Path.GetDirectoryName(file)!)["base_model"]));

        Assert.Equal("full", ((Dictionary<object, object>)Card(_folder["run", "reference/model"])["forgetting"])["method"]);
    }

    [SharedDataFact]
    public void What_is_saved_and_merged_says_what_the_adapter_says_and_loads_to_the_same_bits()
    {
        string source = Base("---\nlicense: [unclosed\n---\n"); // its author's error, which stops nobody
        using LanguageModel model = LanguageModel.Load(source, "cpu");
        model.FineTune(s_examples, new TrainingOptions
        {
            Method = TrainingMethod.Full, Lora = new() { Rank = 4 }, Schedule = new() { BatchSize = 4, Steps = 2 }, Out = _folder["run"],
        });
        model.Save(_folder["saved"]);
        model.SaveAdapter(_folder["adapter"]);
        CommandResult merged = CommandResult.Of("merge", "--model", source, "--adapter", _folder["adapter"], "--out", _folder["merged"]);
        Assert.True(merged.ExitCode == 0, merged.Error);
        foreach (string folder in (string[])["saved", "merged", "adapter"])
        {
            Dictionary<object, object> card = Card(_folder[folder]);
            Assert.Equal(("base", folder == "adapter" ? "peft" : "transformers"), (card["base_model"], card["library_name"]));
            Assert.Equal(["forgetting", "full", "lora"], (List<object>)card["tags"]);
            Assert.Equal("full", ((Dictionary<object, object>)card["forgetting"])["method"]);
            Assert.False(card.ContainsKey("license"));
        }

        float[] losses = Losses(model);
        using LanguageModel saved = LanguageModel.Load(_folder["saved"], "cpu");
        using (LanguageModel adapted = LanguageModel.Load(source, "cpu", _folder["adapter"]))
        {
            Assert.Equal(losses, Losses(adapted));
        }

        Assert.Equal(File.ReadAllBytes(_folder["saved", "model.safetensors"]), File.ReadAllBytes(_folder["merged", "model.safetensors"]));
        saved.Save(_folder["again"]);
        Assert.Equal(File.ReadAllBytes(_folder["saved", "model.safetensors"]), File.ReadAllBytes(_folder["again", "model.safetensors"]));

        // A copy of a model is that model.
        Assert.Equal(File.ReadAllText(_folder["saved", "README.md"]), File.ReadAllText(_folder["again", "README.md"]));
    }

    [Theory]
    [InlineData("/cache/hub/models--HuggingFaceTB--SmolLM-135M/snapshots/1d461723eec654e6", "HuggingFaceTB/SmolLM-135M")]
    [InlineData("runs/forget/model", "forget")]
    [InlineData("runs/forget/adapter/", "forget")]
    [InlineData("models/SmolLM-1.5B", "SmolLM-1.5B")]
    public void A_model_is_called_by_its_path(string path, string name) => Assert.Equal(name, ModelCard.NameOf(path));

    private static double Number(object value) => double.Parse((string)value, System.Globalization.CultureInfo.InvariantCulture);

    private static float[] Losses(LanguageModel model) => [.. model.LossOf(s_examples).Examples.SelectMany(e => e.Select(t => t.Loss))];

    // Read by YamlDotNet's own deserializer, all of the front and nothing else.
    private static Dictionary<object, object> Card(string folder)
    {
        string[] parts = File.ReadAllText(Path.Combine(folder, "README.md")).Split("---\n");
        Assert.Equal("", parts[0]);
        Assert.StartsWith("\n# ", parts[2], StringComparison.Ordinal);
        return new DeserializerBuilder().Build().Deserialize<Dictionary<object, object>>(parts[1]);
    }

    private string Base(string card)
    {
        Directory.CreateDirectory(_folder["base"]);
        foreach (string file in Directory.GetFiles(SharedData.Path("stories260K", "hf")))
        {
            File.WriteAllBytes(Path.Combine(_folder["base"], Path.GetFileName(file)), File.ReadAllBytes(file));
        }

        File.WriteAllText(_folder["base", "README.md"], card);
        return _folder["base"];
    }
}

using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Runs;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Demo;

/// <summary>The demo's own pretrained models: small Llamas that have read their world's documents. They are kept and used again.</summary>
internal static class BaseModel
{
    private const int Layers = 3, Heads = 4, Context = 256;

    /// <summary>Trains a model, or finds it where an earlier demo left it.</summary>
    /// <param name="place">Folder for it, whose name says all that it depends on: a base of other settings
    /// is never taken for this one.</param>
    /// <param name="width">Size of hidden states, a multiple of 8.</param>
    /// <param name="corpus">Draws the documents to read, and further texts whose words must be in the vocabulary.</param>
    /// <returns>Folder of the checkpoint.</returns>
    public static string Prepare(
        string place, int width, Func<(IReadOnlyList<string> Documents, IEnumerable<string> Others)> corpus, IBackend backend,
        ITrainingObserver observer, CancellationToken cancellation)
    {
        string model = Path.Combine(place, "model");
        if (File.Exists(Path.Combine(model, "config.json")))
        {
            observer.StageBegan($"using the base model in {model}");
            return model;
        }

        (IReadOnlyList<string> documents, IEnumerable<string> others) = corpus();
        string tokenizerFolder = Path.Combine(place, "tokenizer");
        Directory.CreateDirectory(tokenizerFolder);
        int vocabulary = WordTokenizer.Write(tokenizerFolder, documents.Concat(others));
        Tokenizer tokenizer = Tokenizer.Load(tokenizerFolder);
        int end = vocabulary - 1;
        var config = new ModelConfig
        {
            Family = ModelFamilies.Llama,
            VocabularySize = vocabulary,
            HiddenSize = width,
            IntermediateSize = width * 21 / 8,
            Layers = Layers,
            Heads = Heads,
            KeyValueHeads = Heads,
            HeadSize = width / Heads,
            ContextLength = Context,
            AttentionScale = 1 / Math.Sqrt(width / Heads),
            TiedHead = true,
            EosTokenIds = [end],
        };
        TrainingOptions options = PretrainRun.DefaultOptions with
        {
            Out = place,
            Schedule = PretrainRun.DefaultOptions.Schedule with { BatchSize = 16, LrSchedule = LrScheduleKind.Linear },
            Optimizer = PretrainRun.DefaultOptions.Optimizer with { LearningRate = 4e-3, WeightDecay = 0.01 },
            Checkpoints = PretrainRun.DefaultOptions.Checkpoints with { Every = 0, Keep = 1 },
        };
        bool interrupted = File.Exists(Path.Combine(place, "run.yaml"));
        return PretrainRun.Execute(
            config, [.. documents.Select((text, i) => Document(text, i, tokenizer, end))], tokenizerFolder, options, backend,
            resume: interrupted, observer, cancellation);
    }

    private static EncodedExample Document(string text, int index, Tokenizer tokenizer, int end)
    {
        int[] ids = [.. tokenizer.Encode(text), end];
        var response = new bool[ids.Length];
        response.AsSpan(1).Fill(true);
        return new EncodedExample { Index = index, Ids = ids, Response = response };
    }
}

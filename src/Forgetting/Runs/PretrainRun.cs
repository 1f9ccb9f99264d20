using Forgetting.Backends;
using Forgetting.Backends.Selection;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>Ordinary next-token training of a new model, all of whose weights are trained.</summary>
internal static class PretrainRun
{
    /// <summary>Recipe for small models from random weights; those of <see cref="TrainingOptions"/> are for tuning.</summary>
    public static TrainingOptions DefaultOptions { get; } = new()
    {
        Method = TrainingMethod.Full,
        Lora = new() { Rank = 0 },
        Optimizer = new() { LearningRate = 1e-3, AdamBeta2 = 0.95, WeightDecay = 0.1, Clip = 1 },
        Schedule = new() { LrSchedule = LrScheduleKind.Cosine, WarmupRatio = 0.05 },
    };

    /// <summary>
    /// Trains a model of <paramref name="config"/> and leaves <c>model/</c>, <c>checkpoints/</c>, <c>run.yaml</c> and <c>metrics.jsonl</c>
    /// in the folder <c>out</c> of <paramref name="options"/>.
    /// </summary>
    /// <param name="examples">Sequences of which every response token is learnt; see <see cref="TextWindows"/> for plain text.</param>
    /// <param name="tokenizer">Folder whose tokenizer the model gets.</param>
    /// <param name="options">Recipe, beginning with <see cref="DefaultOptions"/>; the method is full and there is no adapter.</param>
    /// <param name="resume">Continue what an interrupted run left in the folder.</param>
    /// <returns>Folder of the finished model.</returns>
    /// <exception cref="UserException">See <see cref="Trainer.Run"/>.</exception>
    /// <exception cref="OperationCanceledException">See <see cref="Trainer.Run"/>.</exception>
    public static string Execute(
        ModelConfig config, IReadOnlyList<EncodedExample> examples, string tokenizer, TrainingOptions options, IBackend backend,
        bool resume = false, ITrainingObserver? observer = null, CancellationToken cancellation = default)
    {
        TrainingOptions recipe = options with
        {
            Method = TrainingMethod.Full,
            Lora = options.Lora with { Rank = 0 },
            Compute = options.Compute with { Device = backend.Name, Dtype = BackendFactory.DtypeOf(backend) },
        };
        using RunFolder held = RunFolder.Open(recipe.Out);
        RunRecord? began = RunRecord.Check(held, recipe, resume);
        string folder = Path.Combine(recipe.Out, "model");
        began?.CheckLength(
            recipe, Directory.Exists(folder), Trainer.CountSteps(began.Options, examples.Count),
            Trainer.CountSteps(recipe, examples.Count));
        using var decoder = new Decoder(config, backend, trainedType: recipe.Optimizer.TrainedType);
        decoder.Initialize(recipe.Seed);
        RunRecord.Begin(held, recipe, began, Provenance.From(recipe), observer);
        observer?.StageBegan($"pretraining {decoder.ParameterCount} parameters on {examples.Count} sequences");
        new Trainer(decoder, TrainingSet.AllPositive(examples), recipe, recipe.Out, observer).Run(resume, cancellation);
        ModelCard card = TrainingCard.OfNew(recipe, Trainer.CountSteps(recipe, examples.Count));
        CheckpointWriter.WriteNew(folder, config, decoder.BaseParameters, backend, addFiles: target =>
        {
            TokenizerFolder.Copy(tokenizer, target);
            card.AddTo(target);
        });
        return folder;
    }
}

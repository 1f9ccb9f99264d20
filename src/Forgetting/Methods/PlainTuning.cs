using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>
/// Ordinary fine-tuning with a run's recipe: every response token learnt, nothing forgotten. Reference models and θ_L of
/// Learning With Forgetting come from it.
/// </summary>
internal static class PlainTuning
{
    /// <summary>Every response token is learnt.</summary>
    public static readonly NamedMethod Full = new("full", NegativeTokens.Learnt);

    /// <summary>Folder of the adapter, in that of the run.</summary>
    public const string AdapterName = "adapter";

    /// <summary>
    /// The settings of a run as they are for ordinary fine-tuning into a folder: those of influence and unlearning, which have no
    /// part in it, are at their defaults.
    /// </summary>
    public static TrainingOptions Settings(TrainingOptions options, string folder) =>
        (options with
        {
            Method = TrainingMethod.Full,
            Out = folder,
            Optimizer = options.Optimizer with { Regularizer = RegularizerKind.None, GceQ = 0 },
            TokenForgetting = options.TokenForgetting with { Scores = null, ReferenceFraction = null },
            Evaluation = options.Evaluation with { Tasks = [], ValidData = null, ValidFraction = null },
        })
            .WithoutUnused();

    /// <summary>
    /// Adds what the result depends on besides the base model: the examples' tokens, and every setting that changes a bit of it.
    /// </summary>
    public static Fingerprint AddInputs(Fingerprint inputs, TrainingOptions options, string folder, IReadOnlyList<EncodedExample> examples)
    {
        // What the date does is in the tokens.
        TrainingOptions settings = Settings(options, folder);
        settings = settings with { Data = settings.Data with { TemplateDate = null } };
        inputs.Add("examples to learn", TrainingCheckpoint.Fingerprint(TrainingSet.AllPositive(examples)));
        foreach (Setting setting in Recipe.Settings.Where(s => TrainingCheckpoint.Matters(s.Name)))
        {
            inputs.Add(setting.Name, setting.Read(settings));
        }

        return inputs;
    }

    /// <summary>
    /// Trains, or continues what a killed run left, and leaves the merged model in <c>model</c> of the folder, in Float32 whatever the
    /// base's files hold: its differences to the base are what it is made for, and half of a small one is lost in bfloat16. With LoRA also
    /// leaves the adapter in <c>adapter</c>.
    /// </summary>
    /// <param name="ranks">Train together; what the first writes is there when it returns on any. Null for this process alone.</param>
    /// <exception cref="UserException">See <see cref="Trainer.Run"/>.</exception>
    /// <exception cref="OperationCanceledException">See <see cref="Trainer.Run"/>.</exception>
    public static void Train(
        TrainingOptions options, IReadOnlyList<EncodedExample> examples, string folder, IBackend backend, ITrainingObserver? observer,
        ICommunicator? ranks, CancellationToken cancellation)
    {
        ranks ??= SingleProcess.Instance;
        TrainingOptions recipe = Settings(options, folder);
        using LoadedModel model = TrainedModel.Load(recipe, backend, ranks);
        new Trainer(model.Decoder, TrainingSet.AllPositive(examples), recipe, folder, observer, communicator: ranks)
            .Run(resume: true, cancellation);
        model.Decoder.Activations.Dispose();
        if (ranks.IsFirst())
            Write(options, examples, folder, recipe, model);

        ranks.Barrier();
    }

    private static void Write(
        TrainingOptions options, IReadOnlyList<EncodedExample> examples, string folder, TrainingOptions recipe, LoadedModel model)
    {
        if (model.Decoder.Lora is not null)
            PeftAdapter.Write(Path.Combine(folder, AdapterName), model.Decoder, recipe.Model, Card(isAdapter: true).AddTo);

        ChatFiles chat = ExampleLoader.Trained(options, model.Tokenizer, examples);
        AdapterMerge.Write(
            Path.Combine(folder, "model"), model.Decoder, model.Source, chat.AddTo + (Action<string>)Card(isAdapter: false).AddTo,
            StoredType.F32);

        ModelCard Card(bool isAdapter) => TrainingCard.From(recipe, isAdapter, [("steps", Trainer.CountSteps(recipe, examples.Count))]);
    }
}

using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.HuggingFace;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>Ordinary fine-tuning with a run's recipe: every response token learnt, nothing forgotten. Reference models and θ_L of Learning With Forgetting come from it.</summary>
internal static class PlainTuning
{
    private static readonly TrainingOptions Standard = new();

    /// <summary>The settings of a run as they are for ordinary fine-tuning into a folder: those of influence and unlearning, which have no part in it, are at their defaults.</summary>
    public static TrainingOptions Settings(TrainingOptions options, string folder) => options with
    {
        Method = TrainingMethod.Full,
        Out = folder,
        PartsEvery = 0,
        Rho = Standard.Rho,
        Level = Standard.Level,
        Lambda = Standard.Lambda,
        LambdaMin = Standard.LambdaMin,
        LambdaMax = Standard.LambdaMax,
        LambdaFraction = Standard.LambdaFraction,
        LambdaEvery = Standard.LambdaEvery,
        Ascent = Standard.Ascent,
        AscentBeta = Standard.AscentBeta,
        AscentBeta2 = Standard.AscentBeta2,
        Reference = Standard.Reference,
        ReferenceData = Standard.ReferenceData,
        ReferenceFraction = Standard.ReferenceFraction,
        Scores = Standard.Scores,
        Forget = Standard.Forget,
        Elicited = Standard.Elicited,
        MaxNewTokens = Standard.MaxNewTokens,
        FisherKind = Standard.FisherKind,
        FisherExamples = Standard.FisherExamples,
        Alpha = Standard.Alpha,
        ForgetFraction = Standard.ForgetFraction,
        ForgetThreshold = Standard.ForgetThreshold,
        Select = Standard.Select,
        Schedule = Standard.Schedule,
        Interval = Standard.Interval,
        ForgetWeight = Standard.ForgetWeight,
        ForgetClip = Standard.ForgetClip,
        ForgetBatchSize = Standard.ForgetBatchSize,
        Learned = Standard.Learned,
        Fisher = Standard.Fisher,
        Confidence = Standard.Confidence,
        Regularizer = Standard.Regularizer,
        RegularizerWeight = Standard.RegularizerWeight,
        RegularizerCount = Standard.RegularizerCount,
        GceQ = Standard.GceQ,
        EvalTasks = Standard.EvalTasks,
        EvalEvery = Standard.EvalEvery,
        EvalDataDir = Standard.EvalDataDir,
        EvalInclude = Standard.EvalInclude,
        EvalLimit = Standard.EvalLimit,
        EvalNumFewshot = Standard.EvalNumFewshot,
        EvalMetric = Standard.EvalMetric,
        EvalBest = Standard.EvalBest,
    };

    /// <summary>Trains, or continues to, and leaves the merged model in <c>model</c> of the folder.</summary>
    /// <returns>The model's folder.</returns>
    /// <exception cref="UserException">See <see cref="Trainer.Run"/>.</exception>
    /// <exception cref="OperationCanceledException">See <see cref="Trainer.Run"/>.</exception>
    public static string Train(
        TrainingOptions options, IReadOnlyList<EncodedExample> examples, string folder, IBackend backend, bool resume, ITrainingObserver? observer, CancellationToken cancellation)
    {
        string finished = Path.Combine(folder, "model");
        TrainingOptions recipe = Settings(options, folder);
        using LoadedModel model = TuneRun.LoadForTraining(recipe, backend);
        new Trainer(model.Decoder, TrainingSet.AllPositive(examples), recipe, folder, observer).Run(resume, cancellation);
        model.Decoder.Activations.Dispose();
        AdapterMerge.Write(finished, model.Decoder, model.Source);
        return finished;
    }
}

using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// The stages of token forgetting before its training (arXiv 2508.04329): the reference model and the influence of every token. They
/// leave <c>reference/model</c> and
/// <c>scores.jsonl</c> in the run's folder, and are passed over where an earlier attempt or another run finished them.
/// </summary>
internal sealed class ScoringStages
{
    /// <summary>Name of the score file in the run's folder.</summary>
    public const string ScoresName = "scores.jsonl";

    private const string ReferenceName = "reference";

    // Settings that say how losses become signs (PartitionRule).
    private static readonly string[] s_division = ["score", "rho", "level", "ignore-rho", "learn-above", "forget-below"];

    private readonly TrainingOptions _options;
    private readonly Provenance _provenance;
    private readonly IBackend _backend;
    private readonly ITrainingObserver? _observer;
    private readonly CancellationToken _cancellation;
    private readonly StageLog _log;

    /// <param name="provenance">The run's inputs.</param>
    /// <param name="others">Folders of runs whose stages may be taken over.</param>
    public ScoringStages(
        TrainingOptions options, Provenance provenance, IBackend backend, IReadOnlyList<string> others, ITrainingObserver? observer,
        CancellationToken cancellation)
    {
        _options = options;
        _provenance = provenance;
        _backend = backend;
        _observer = observer;
        _cancellation = cancellation;
        _log = new StageLog(options.Out, others, observer);
    }

    private string ScoresPath => Path.Combine(_options.Out, ScoresName);

    /// <summary>Where the run's influence comes from: a score file, a checkpoint, or the reference that this run or the one it took the
    /// scores from has trained.</summary>
    public string Source => _options.TokenForgetting.Scores ?? _options.TokenForgetting.Reference
        ?? Path.Combine(_log.SourceOf("score") ?? _log.SourceOf("reference") ?? _options.Out, ReferenceName, "model");

    /// <summary>Runs what is missing.</summary>
    /// <param name="forReference">Examples for a reference that is trained here.</param>
    /// <param name="examples">The training set.</param>
    /// <param name="given">Scores of a file that the settings name; else null.</param>
    /// <exception cref="UserException">Bad input, other inputs than the stages began with, or values that are not finite.</exception>
    public Scores Run(IReadOnlyList<EncodedExample> forReference, IReadOnlyList<EncodedExample> examples, Scores? given)
    {
        Scores? scores = given;
        bool trains = _options.TokenForgetting.Reference is null && _options.TokenForgetting.Scores is null;
        Fingerprint reference = trains ? PlainTuning.AddInputs(BaseInputs(), _options, ReferenceFolder, forReference) : BaseInputs();
        Fingerprint inputs = _provenance.AddTo(new Fingerprint().Add(reference), "reference", "scores")
            .Add("examples", TrainingCheckpoint.Fingerprint(TrainingSet.AllPositive(examples)));
        foreach (string name in s_division)
        {
            inputs.Add(name, Recipe.Find(name)!.Read(_options));
        }

        _log.Run("score", what: null, ScoresName, inputs, () =>
        {
            // Within the other stage: who takes over scores from another run needs no reference.
            if (trains)
            {
                _log.Run(
                    "reference", $"training the reference model on {forReference.Count} examples",
                    Path.Combine(ReferenceName, Adapts ? PlainTuning.AdapterName : "model"), reference,
                    () => PlainTuning.Train(_options, forReference, ReferenceFolder, _backend, _observer, _cancellation));
            }

            scores ??= Scores.Compute(
                examples, _options, () => LoadedModel.Load(_options.Model, _backend, adapter: _options.Adapter), LoadReference,
                _observer, _cancellation);
            ScoreFile.Write(ScoresPath, examples, scores);
        });
        return scores ?? ScoreFile.Read(ScoresPath, examples, anew: null);
    }

    // With LoRA as the base with the adapter, which no storage type rounds.
    private LoadedModel LoadReference() => _options.TokenForgetting.Reference is { } given ? LoadedModel.Load(given, _backend)
        : Adapts ? LoadedModel.Load(_options.Model, _backend, adapter: Path.Combine(ReferenceFolder, PlainTuning.AdapterName))
        : LoadedModel.Load(Path.Combine(ReferenceFolder, "model"), _backend);

    private bool Adapts => _options.Lora.Rank > 0 || _options.Adapter != null;

    private string ReferenceFolder => Path.Combine(_options.Out, ReferenceName);

    private Fingerprint BaseInputs() => _provenance.AddTo(new Fingerprint().Add("dtype", _options.Compute.Dtype), "model", "adapter");
}

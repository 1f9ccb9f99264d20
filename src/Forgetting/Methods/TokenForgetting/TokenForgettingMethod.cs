using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// Token forgetting (arXiv 2508.04329). Stages: a reference model, and the influence of every token, which leave <c>reference/model</c> and
/// <c>scores.jsonl</c> in the run's folder. Tokens get the signs of their scores, those apart that the data gives one.
/// </summary>
internal sealed class TokenForgettingMethod : IMethod
{
    /// <summary>Name of the score file in the run's folder.</summary>
    public const string ScoresName = "scores.jsonl";

    private const string ReferenceName = "reference", ScoreStage = "score", ReferenceStage = "reference";

    private static readonly string[] s_folders = [ReferenceName, Path.Combine(ReferenceName, "checkpoints")];

    // Settings that say how losses become signs (PartitionRule).
    private static readonly string[] s_division = ["score", "rho", "level", "ignore-rho", "learn-above", "forget-below", "shuffle-signs"];

    /// <summary>Negative tokens are left out.</summary>
    public static readonly NamedMethod Ignore = new("ignore", NegativeTokens.Ignored)
    {
        Settings = [SettingUse.Scores], Create = options => new TokenForgettingMethod(options),
        Files = [ScoresName, ReferenceCheck.FileName], Folders = s_folders, Planned = null,
    };

    /// <summary>Negative tokens are forgotten, and self-generated samples of other tasks where there are prompts for them.</summary>
    public static readonly NamedMethod Forget = new("forget", NegativeTokens.Forgotten)
    {
        Settings = [SettingUse.Scores, SettingUse.Samples],
        Create = options => new TokenForgettingMethod(options),
        Files = [ScoresName, ReferenceCheck.FileName], Folders = s_folders, PlannedAs = "forget, ignore",
    };

    private readonly TrainingOptions _options;
    private readonly MethodStage _scoring;
    private Scores? _scores;
    private Fingerprint? _referenceInputs;
    private bool _scored = true;

    public TokenForgettingMethod(TrainingOptions options)
    {
        _options = options;
        _scoring = new()
        {
            Name = ScoreStage, Result = ScoresName, Inputs = run => ScoreInputs(run).Parts, Run = Score,
            Rehearse = options.TokenForgetting.Scores is null ? rehearsal => rehearsal.Score(rehearsal.All) : null,

            // Within it: who takes over scores from another run needs no reference.
            Within = !Trains ? [] :
            [
                new()
                {
                    Name = ReferenceStage, Result = Path.Combine(ReferenceName, Adapts ? PlainTuning.AdapterName : "model"),
                    Announce = run => $"training the reference model on {run.ForReference.Count} examples",
                    Inputs = run => ReferenceInputs(run).Parts,
                    Run = run => run.TrainPlainly(run.ForReference, ReferenceFolder(run)),
                    Rehearse = rehearsal => rehearsal.TrainPlainly(rehearsal.Reference),
                },
            ],
        };
    }

    /// <inheritdoc/>
    public string Name => _options.Method.Name;

    /// <inheritdoc/>
    public IReadOnlyList<MethodStage> Stages => !_scored ? [] : _options.TokenForgetting.ReferenceQuality
        ? [ReferenceQualityStage.Of(_options, run => ReferenceInputs(run).Parts), _scoring]
        : [_scoring];

    private bool Trains => _options.TokenForgetting.Reference is null && _options.TokenForgetting.Scores is null;

    private bool Adapts => _options.Lora.Rank > 0 || _options.Adapter != null;

    void IMethod.Check(MethodRun run)
    {
        TokenForgettingSettings settings = _options.TokenForgetting;

        // The signs in a given file stand unless the settings say how to divide.
        bool divides = settings.Rho != null || settings.IgnoreRho > 0 || settings.LearnAbove != null;
        if (settings.Scores is { } given)
            _scores = ScoreFile.Read(given, run.Examples, divides ? (_options.ResolveScore(), PartitionRule.From(_options)) : null);

        // Tokens that the data gives a sign are not scored.
        _scored = _scores != null || ExampleLoader.HasUnsigned(run.Examples);
        if (((Trains && _scored) || settings.LearnReference) && settings.ReferenceData is { } data)
            run.ForReference = ExampleLoader.ToLearn(run.Encode(data, _options));

        if (settings.ReferenceQuality && _scored)
            ReferenceQualityStage.Check(run);

        if (settings.LearnReference)
            run.Further = run.ForReference;

        if (_scored && _scores is null && settings.Reference is { } reference)
            Checkpoint.Open(reference).Dispose();
    }

    /// <inheritdoc/>
    public MethodResult Apply(MethodRun run, MethodResult result)
    {
        if (!_scored)
            return result with { Set = TrainingSet.AsGiven(ExampleLists.Joined(run.Examples, run.Further)) };

        Scores scores = _scores ??= ScoreFile.Read(ScoresPath(run), run.Examples, anew: null);
        var diagnosis = Diagnosis.From(scores.Partition.Signs, scores.BaseLoss, scores.ReferenceLoss);
        run.Observer?.StageBegan($"divided the response tokens: {scores.Partition}");
        if (diagnosis != null)
            run.Observer?.StageBegan(diagnosis.ToString());

        ReferenceCheck? check = ReadCheck(run);
        if (check?.Warning is { } warning)
            run.Observer?.Noticed(warning);
        else if (check != null)
            run.Observer?.StageBegan(check.ToString());

        ReferenceQuality? quality = _options.TokenForgetting.ReferenceQuality ? ReferenceQualityStage.Read(run) : null;
        if (quality?.Warning != null)
            run.Observer?.Noticed(quality.ToString());
        else if (quality != null)
            run.Observer?.StageBegan(quality.ToString());

        return result with
        {
            Set = Signed(run, scores),
            Summary = result.Summary with
            {
                Reference = Source(run),
                Score = scores.Kind is { } kind ? Recipe.Text(kind) : null,
                Cut = double.IsNaN(scores.Partition.Cut) ? null : scores.Partition.Cut,
                Diagnosis = diagnosis,
                ReferenceCheck = check,
                ReferenceQuality = quality,
            },
        };
    }

    private void Score(MethodRun run)
    {
        _scores ??= Scores.Compute(
            run.Examples, _options, () => TrainedModel.LoadBase(_options, run.Backend),
            () => LoadReference(run), run.Observer, run.Ranks, run.Cancellation);
        run.Write(() =>
        {
            if (_scores.Check is { } check)
                JsonLines.Write(Path.Combine(run.Folder, ReferenceCheck.FileName), [check]);

            ScoreFile.Write(ScoresPath(run), run.Examples, _scores);
        });
    }

    // Examples with the signs of their scores, and those of the reference that are learnt as they are.
    private TrainingSet Signed(MethodRun run, Scores scores)
    {
        return new TrainingSet
        {
            Examples = ExampleLists.Joined(run.Examples, run.Further),
            Signs = [.. scores.Partition.Signs, .. TrainingSet.AllPositive(run.Further).Signs],
            BaseLogProbabilities = _options.NeedsBase
                ? [.. Scorer.Negative(scores.BaseLoss), .. run.Further.Select(e => new float[e.Length])]
                : null,
        };
    }

    // Where influence comes from: a score file, a checkpoint, or the reference that this run or the one
    // it took the scores from has trained.
    private string Source(MethodRun run) => _options.TokenForgetting.Scores ?? _options.TokenForgetting.Reference
        ?? Path.Combine(run.Log.SourceOf(ScoreStage) ?? run.Log.SourceOf(ReferenceStage) ?? run.Folder, ReferenceName, "model");

    // Beside the scores where they were computed.
    private static ReferenceCheck? ReadCheck(MethodRun run)
    {
        string path = Path.Combine(run.Log.SourceOf(ScoreStage) ?? run.Folder, ReferenceCheck.FileName);
        return File.Exists(path) ? JsonLines.Read<ReferenceCheck>(path)[0] : null;
    }

    // With LoRA as the base with the adapter, which no storage type rounds.
    private LoadedModel LoadReference(MethodRun run) =>
        _options.TokenForgetting.Reference is { } given ? LoadedModel.Load(given, run.Backend)
            : Adapts ? LoadedModel.Load(
                _options.Model, run.Backend, adapter: Path.Combine(ReferenceFolder(run), PlainTuning.AdapterName),
                baseType: _options.Lora.BaseType)
            : LoadedModel.Load(Path.Combine(ReferenceFolder(run), "model"), run.Backend);

    // Several stages depend on them, and they hash all examples.
    private Fingerprint ReferenceInputs(MethodRun run) => _referenceInputs ??=
        Trains ? PlainTuning.AddInputs(run.BaseInputs(), _options, ReferenceFolder(run), run.ForReference) : run.BaseInputs();

    private Fingerprint ScoreInputs(MethodRun run)
    {
        Fingerprint inputs = run.Provenance.AddTo(new Fingerprint().Add(ReferenceInputs(run)), "reference", "scores")
            .Add("examples", TrainingCheckpoint.Fingerprint(TrainingSet.AllPositive(run.Examples)));
        foreach (string name in s_division)
        {
            inputs.Add(name, Recipe.Find(name)!.Read(_options));
        }

        if (_options.TokenForgetting.ShuffleSigns)
            inputs.Add("seed", _options.Seed);

        return inputs;
    }

    private static string ReferenceFolder(MethodRun run) => Path.Combine(run.Folder, ReferenceName);

    private static string ScoresPath(MethodRun run) => Path.Combine(run.Folder, ScoresName);
}

using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>
/// Learning With Forgetting (arXiv 2505.19715). Stages: self-knowledge, θ_L, then the measured increase, or Fisher information and
/// forgetting confidence. Each leaves its result in the folder <c>lwf</c> of the run; those are left out that the settings give. What ranks
/// highest is D_U, which unlearning steps forget.
/// </summary>
internal sealed class LearningWithForgettingMethod(TrainingOptions options) : IMethod
{
    /// <summary>Folder of the stages in that of the run.</summary>
    public const string FolderName = "lwf";

    /// <summary>Files in it: self-generated samples, and which of them are unlearnt.</summary>
    public const string SamplesName = "elicited.jsonl", SelectionName = "selection.jsonl";

    private const string LearnedName = "learned", FisherName = "fisher.safetensors", ConfidenceName = "confidence.jsonl",
        IncreaseName = "increase.jsonl";

    /// <summary>Every response token is learnt, and samples are unlearnt in between.</summary>
    public static readonly NamedMethod Lwf = new("lwf", NegativeTokens.Learnt)
    {
        Settings = [SettingUse.Samples, SettingUse.Ascent],
        Create = options => new LearningWithForgettingMethod(options), AlsoWith = options => options.Unlearns,
        Missing = options => options.Unlearns ? null : "forget-prompts (files of prompts) or elicited (samples made before)",
        Folders = [FolderName, Path.Combine(FolderName, LearnedName), Path.Combine(FolderName, LearnedName, "checkpoints")],
        Planned = options => options with { Unlearning = options.Unlearning with { Prompts = ["prompts"] } },
    };

    private readonly UnlearningSettings _settings = options.Unlearning;
    private IReadOnlyList<EncodedExample>? _samples, _learnt, _drawn;

    // For planning memory: tokens of each prompt and of what may be written to it, and samples as long; null where no data is there.
    private IReadOnlyList<(int Prompt, int Room)>? _prompts;
    private IReadOnlyList<EncodedExample>? _foreseen;

    /// <inheritdoc/>
    public string Name => options.Method.Name;

    /// <inheritdoc/>
    public string Folder => FolderName;

    /// <inheritdoc/>
    public IReadOnlyList<MethodStage> Stages =>
    [
        .. Stage(_settings.Elicited is null, Elicit),
        .. Stage(Ranks && _settings.Learned is null && (ByIncrease || _settings.Confidence is null), Learn),
        .. Stage(ByIncrease, Increase),
        .. Stage(ByConfidence && _settings.Confidence is null && _settings.Fisher is null, Fisher),
        .. Stage(ByConfidence && _settings.Confidence is null, Confidence),
    ];

    private bool Ranks => UnlearningSelection.NeedsRanking(options);

    private bool ByIncrease => Ranks && _settings.SelectBy == SelectionMeasure.Increase;

    private bool ByConfidence => Ranks && _settings.SelectBy == SelectionMeasure.Confidence;

    private ElicitationOptions Elicits => new()
    {
        MaxNewTokens = _settings.MaxNewTokens, AllowSpecial = options.Data.AllowSpecial, Layout = ExampleLoader.Layout(options),
    };

    private IReadOnlyList<PromptTask> Tasks => field ??= PromptTask.Read(_settings.Prompts, ExampleLoader.Fields(options));

    private MethodStage Elicit => new()
    {
        Name = "elicit", Result = SamplesName,
        Announce = _ => $"eliciting what the base model knows of {string.Join(", ", Tasks.Select(t => t.Name))}",
        Inputs = run => run.Provenance.AddTo(run.BaseInputs(), "forget-prompts", "template")
            .Add("max-new-tokens", _settings.MaxNewTokens).Add("allow-special", Recipe.Text(options.Data.AllowSpecial))
            .Add("shape", Recipe.Text(options.Data.Shape)).Add("prompt-field", options.Data.PromptField)
            .Add("template", Path.GetFileName(options.Data.Template)).Add("template-date", options.Data.TemplateDate)
            .Add("tasks", string.Join(',', Tasks.Select(t => t.Name))).Parts,
        Run = run =>
        {
            using LoadedModel model = LoadBase(run);
            Elicitation.Run(model, Tasks, Elicits, SamplesPath(run), run.Observer, run.Ranks, run.Cancellation);
        },
        Rehearse = rehearsal => Elicitation.Rehearse(rehearsal, Elicits, _prompts),
    };

    private MethodStage Learn => new()
    {
        Name = "learn", Result = Path.Combine(LearnedName, "model"),
        Announce = run => $"ordinary fine-tuning on {Learnt(run).Count} examples",
        Inputs = run => PlainTuning.AddInputs(run.BaseInputs(), options, Path.Combine(run.Folder, LearnedName), Learnt(run)).Parts,
        Run = run => run.TrainPlainly(Learnt(run), Path.Combine(run.Folder, LearnedName)),
        Rehearse = rehearsal => rehearsal.TrainPlainly(rehearsal.Training),
    };

    private MethodStage Increase => new()
    {
        Name = "increase", Result = IncreaseName,
        Announce = run => $"measuring how fine-tuning raises the loss of {Samples(run).Count} samples",
        Inputs = run => run.BaseInputs().AddFiles("learned", LearnedPath(run)).Add("samples", FileHash.Of(SamplesPath(run)))
            .Add("max-length", options.Data.MaxLength).Parts,
        Run = run =>
        {
            using LoadedModel model = LoadBase(run);
            using LoadedModel tuned = LoadedModel.Load(LearnedPath(run), run.Backend);
            IReadOnlyList<IncreaseRecord> records = MeasuredIncrease.Compute(
                model.Decoder, tuned.Decoder, Samples(run), options.Compute.MicroBatchTokens, run.Observer, run.Ranks, run.Cancellation);
            run.Write(() => MeasuredIncrease.Write(Path.Combine(run.Folder, IncreaseName), records));
        },
        Rehearse = rehearsal => rehearsal.Score(_foreseen ?? rehearsal.Samples),
    };

    private MethodStage Fisher => new()
    {
        Name = "fisher", Result = FisherName,
        Announce = run => $"computing the Fisher information of {Drawn(run).Count} examples",
        Inputs = run => new Fingerprint().Add("dtype", options.Compute.Dtype).AddFiles("learned", LearnedPath(run))
            .Add("examples", TrainingCheckpoint.Fingerprint(TrainingSet.AllPositive(Drawn(run))))
            .Add("kind", Recipe.Text(_settings.FisherKind))
            .Add("seed", options.Seed).Parts,
        Run = run =>
        {
            using LoadedModel model = LoadedModel.Load(LearnedPath(run), run.Backend, training: true);
            FisherInformation.Compute(
                model.Decoder, Drawn(run), _settings.FisherKind, options.Compute.MicroBatchTokens, options.Seed, run.Observer,
                run.Ranks, run.Cancellation);
            run.Write(() => FisherFile.Write(FisherPath(run), model.Decoder, Drawn(run).Count, _settings.FisherKind));
        },
        Rehearse = rehearsal =>
        {
            using Decoder decoder = rehearsal.NewDecoder(training: true);
            FisherInformation.Compute(
                decoder, rehearsal.All, _settings.FisherKind, options.Compute.MicroBatchTokens, options.Seed, ranks: rehearsal.Ranks);
        },
    };

    private MethodStage Confidence => new()
    {
        Name = "confidence", Result = ConfidenceName,
        Announce = run => $"computing the forgetting confidence of {Samples(run).Count} samples",
        Inputs = run => run.BaseInputs().AddFiles("learned", LearnedPath(run)).AddFiles("fisher", FisherPath(run))
            .Add("samples", FileHash.Of(SamplesPath(run))).Add("alpha", Alpha).Add("max-length", options.Data.MaxLength).Parts,
        Run = run =>
        {
            using LoadedModel model = LoadBase(run);
            using Checkpoint learned = Checkpoint.Open(LearnedPath(run));
            using var confidence = new ForgettingConfidence(model.Decoder, model.Source, learned, FisherPath(run));
            IReadOnlyList<ConfidenceRecord> records = confidence.Compute(
                Samples(run), Alpha, options.Compute.MicroBatchTokens, run.Observer, run.Ranks, run.Cancellation);
            run.Write(() => ConfidenceRecord.Write(ConfidencePath(run), records));
        },
        Rehearse = rehearsal =>
        {
            using Decoder decoder = rehearsal.NewDecoder();
            using var confidence = new ForgettingConfidence(decoder, _ => { });
            confidence.Compute(
                _foreseen ?? rehearsal.Samples, alpha: 1, options.Compute.MicroBatchTokens, ranks: rehearsal.Ranks);
        },
    };

    private double Alpha => _settings.Alpha ?? options.Optimizer.LearningRate;

    /// <summary>The schedule fits the run, and confidences, which are reductions over the base's own parameters, can be computed: a head
    /// that is tied in the base and apart afterwards has none there.</summary>
    void IMethod.Check(MethodRun run)
    {
        if (_settings.Elicited is null)
        {
            _prompts = Elicitation.Lengths(options, Tasks, Elicits);
            int most = Math.Max(2, options.Data.MaxLength);
            _foreseen = [.. _prompts.Select(prompt => Math.Clamp(prompt.Prompt + prompt.Room, 2, most)).Select(Rehearsal.Answered)];
        }
        else
        {
            _foreseen = Samples(run);
        }

        _ = new UnlearningSchedule(options, Trainer.CountSteps(options, run.Examples.Count));
        using Checkpoint source = Checkpoint.Open(options.Model);
        int trained = Decoder.Describe(source.Config, TrainedModel.NewAdapter(options, source.Config)).Base.Count;
        if (Ranks && _settings.Confidence is null && trained > Decoder.Describe(source.Config).Base.Count)
        {
            throw new UserException(
                $"lora-targets are {Recipe.Text(options.Lora.Targets)}, which takes the tied head and embedding of {options.Model} apart; "
                + "expected others where forgetting confidence is computed");
        }
    }

    MethodResult IMethod.Rehearse(Rehearsal rehearsal, MethodResult result) => result with { Unlearned = rehearsal.Unlearned(_foreseen) };

    /// <inheritdoc/>
    public MethodResult Apply(MethodRun run, MethodResult result)
    {
        IReadOnlyList<EncodedExample> samples = Samples(run);
        IReadOnlyList<ConfidenceRecord>? records = ByConfidence ? ConfidenceRecord.Read(ConfidencePath(run), samples.Count) : null;
        double[]? confidence = records is null ? null : [.. records.Select(r => r.Confidence)];
        double[]? increase = ByIncrease ? [.. MeasuredIncrease.Read(Path.Combine(run.Folder, IncreaseName)).Select(r => r.Increase)] : null;
        (IReadOnlyList<int> places, double? cut) = UnlearningSelection.Choose(confidence ?? increase, samples.Count, options);
        run.Write(() => WriteSelection(run, samples.Count, confidence, increase, places));
        EncodedExample[] chosen = [.. places.Select(i => samples[i])];
        return result with
        {
            Unlearned = TrainingSet.AllNegative(chosen, BaseLogProbabilities(run, chosen)),
            Summary = result.Summary with
            {
                Unlearning = new UnlearningSummary
                {
                    Samples = SamplesPath(run), Given = _settings.Elicited != null, Elicited = samples.Count, Selected = chosen.Length,
                    Cut = cut, Constant = records?[0].Constant, Stages = run.Log.Finished,
                },
            },
        };
    }

    private static IEnumerable<MethodStage> Stage(bool needed, MethodStage stage) => needed ? [stage] : [];

    // θ_base. Confidences are of whole weights, so an adapter that the run continues is merged.
    private LoadedModel LoadBase(MethodRun run)
    {
        LoadedModel model = LoadedModel.Load(options.Model, run.Backend, adapter: options.Adapter);
        model.Decoder.MergeAdapter();
        return model;
    }

    private string SamplesPath(MethodRun run) => _settings.Elicited ?? Path.Combine(run.Folder, SamplesName);

    // θ_L, given or learnt here; a run's folder stands for the model in it.
    private string LearnedPath(MethodRun run) => ModelPath.Resolve(_settings.Learned ?? Path.Combine(run.Folder, LearnedName, "model"));

    private string FisherPath(MethodRun run) => _settings.Fisher ?? Path.Combine(run.Folder, FisherName);

    private string ConfidencePath(MethodRun run) => _settings.Confidence ?? Path.Combine(run.Folder, ConfidenceName);

    // What the data says is to be forgotten is nothing that θ_L learns.
    private IReadOnlyList<EncodedExample> Learnt(MethodRun run) => _learnt ??= ExampleLoader.ToLearn(run.Examples);

    private IReadOnlyList<EncodedExample> Drawn(MethodRun run) =>
        _drawn ??= FisherInformation.Draw(Learnt(run), _settings.FisherExamples, options.Seed);

    // Samples have the standard names of fields, whatever those of the learning data are.
    private IReadOnlyList<EncodedExample> Samples(MethodRun run) => _samples ??= run.Encode(SamplesPath(run), options with
    {
        Data = options.Data with
        {
            PromptField = null,
            CompletionField = null,
            Shape = DataShape.Auto,
            TooLong = TooLong.Cut,
            TrainOn = TrainOn.Assistant,
        },
    });

    private void WriteSelection(MethodRun run, int count, double[]? confidence, double[]? increase, IReadOnlyList<int> places)
    {
        IReadOnlyList<ElicitedSample>? samples = _settings.Elicited is null ? ElicitedSample.Read(SamplesPath(run)) : null;
        HashSet<int> chosen = [.. places];
        JsonLines.Write(
            Path.Combine(run.Folder, SelectionName),
            Enumerable.Range(0, count).Select(i => new SelectionRecord
            {
                Index = i, Task = samples?[i].Task, Confidence = confidence?[i], Increase = increase?[i], Selected = chosen.Contains(i),
            }));
    }

    private IReadOnlyList<float[]>? BaseLogProbabilities(MethodRun run, IReadOnlyList<EncodedExample> chosen)
    {
        if (!options.ResolveAscent().NeedsBase)
            return null;

        using LoadedModel model = LoadBase(run);
        return Scorer.LogProbabilities(model.Decoder, chosen, options.Compute.MicroBatchTokens, run.Ranks, run.Cancellation);
    }
}

using System.Globalization;
using System.Text.Json.Serialization;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>What a run unlearns besides its own negative tokens.</summary>
public sealed record UnlearningSummary
{
    /// <summary>File of the samples.</summary>
    public required string Samples { get; init; }

    /// <summary>Whether the samples were given; else the model wrote them in this run.</summary>
    public bool Given { get; init; }

    /// <summary>Samples in the file.</summary>
    public required int Elicited { get; init; }

    /// <summary>Mean cross-entropy of the unlearnt samples' response tokens under the model before training, nats; null in summaries of earlier versions.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? LossBefore { get; init; }

    /// <summary>The same after training.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? LossAfter { get; init; }

    /// <summary>What was measured of whether the samples were forgotten, as a clause; null where nothing was.</summary>
    [JsonIgnore]
    public string? Verdict => LossBefore is { } before && LossAfter is { } after
        ? string.Create(
            CultureInfo.InvariantCulture,
            $"their loss {(after > before ? "rose" : "fell")} from {before:0.0000} to {after:0.0000}{(after > before ? "" : ": they were not forgotten")}")
        : null;

    /// <summary>What the samples are called.</summary>
    [JsonIgnore]
    public string Kind => Given ? "given samples" : "self-generated samples of other tasks";

    /// <summary>Those that are unlearnt.</summary>
    public required int Selected { get; init; }

    /// <summary>Confidence of the last one chosen; null where the choice was random.</summary>
    public required double? Cut { get; init; }

    /// <summary>The part of the confidence that all samples share, ½ Σ F Δ²; null where none was computed.</summary>
    public required double? Constant { get; init; }

    /// <summary>Time and memory of the stages.</summary>
    public required IReadOnlyList<StageRecord> Stages { get; init; }
}

/// <summary>The set D_U with what there is to say about it.</summary>
internal sealed record UnlearningSet(TrainingSet Set, UnlearningSummary Summary);

/// <summary>
/// The stages of Learning With Forgetting before its training (arXiv 2505.19715): self-knowledge, θ_L, Fisher information, forgetting confidence, choice of D_U. Each leaves its
/// result in the folder <c>lwf</c> of the run and is passed over where the settings give it, or an earlier attempt or another run finished it.
/// </summary>
internal sealed class UnlearningStages
{
    private const string FolderName = "lwf", SamplesName = "elicited.jsonl", LearnedName = "learned", FisherName = "fisher.safetensors", ConfidenceName = "confidence.jsonl", IncreaseName = "increase.jsonl";

    private readonly TrainingOptions _options;
    private readonly Provenance _provenance;
    private readonly IBackend _backend;
    private readonly ITrainingObserver? _observer;
    private readonly CancellationToken _cancellation;
    private readonly string _folder;
    private readonly StageLog _log;

    /// <param name="provenance">The run's inputs.</param>
    /// <param name="others">Folders of runs whose stages may be taken over.</param>
    public UnlearningStages(
        TrainingOptions options, Provenance provenance, IBackend backend, IReadOnlyList<string> others, ITrainingObserver? observer, CancellationToken cancellation)
    {
        _options = options;
        _provenance = provenance;
        _backend = backend;
        _observer = observer;
        _cancellation = cancellation;
        _folder = Path.Combine(options.Out, FolderName);
        _log = new StageLog(_folder, [.. others.Select(o => Path.Combine(o, FolderName))], observer);
    }

    /// <summary>Runs what is missing.</summary>
    /// <param name="examples">The learning data.</param>
    /// <exception cref="UserException">Bad input, or values that are not finite.</exception>
    public UnlearningSet Run(IReadOnlyList<EncodedExample> examples)
    {
        string samplesFile = _options.Unlearning.Elicited ?? Elicit();
        IReadOnlyList<EncodedExample> samples = LoadSamples(samplesFile);
        bool ranks = UnlearningSelection.NeedsRanking(_options), byIncrease = _options.Unlearning.SelectBy == SelectionMeasure.Increase;
        IReadOnlyList<ConfidenceRecord>? records = ranks && !byIncrease ? Confidences(samplesFile, samples, examples) : null;
        double[]? confidence = records is null ? null : [.. records.Select(r => r.Confidence)];
        double[]? increase = ranks && byIncrease ? [.. Increases(samplesFile, samples, examples).Select(r => r.Increase)] : null;
        (IReadOnlyList<int> places, double? cut) = UnlearningSelection.Choose(confidence ?? increase, samples.Count, _options);
        WriteSelection(samplesFile, samples.Count, confidence, increase, places);
        EncodedExample[] chosen = [.. places.Select(i => samples[i])];
        return new(
            TrainingSet.AllNegative(chosen, BaseLogProbabilities(chosen)),
            new UnlearningSummary { Samples = samplesFile, Given = _options.Unlearning.Elicited != null, Elicited = samples.Count, Selected = chosen.Length, Cut = cut, Constant = records?[0].Constant, Stages = _log.Finished });
    }

    // What every stage depends on.
    private Fingerprint Inputs() => new Fingerprint().Add("dtype", _options.Compute.Dtype);

    // What every stage but the Fisher information, which is of θ_L, depends on.
    private Fingerprint BaseInputs() => _provenance.AddTo(Inputs(), "model", "adapter");

    // θ_base. Confidences are of whole weights, so an adapter that the run continues is merged.
    private LoadedModel LoadBase()
    {
        LoadedModel model = LoadedModel.Load(_options.Model, _backend, adapter: _options.Adapter);
        model.Decoder.MergeAdapter();
        return model;
    }

    private string Elicit()
    {
        string path = Path.Combine(_folder, SamplesName);
        IReadOnlyList<PromptTask> tasks = PromptTask.Read(_options.Unlearning.Prompts, ExampleLoader.Fields(_options));
        var settings = new ElicitationOptions
        {
            MaxNewTokens = _options.Unlearning.MaxNewTokens, AllowSpecial = _options.Data.AllowSpecial, Layout = ExampleLoader.Layout(_options),
        };
        Fingerprint inputs = _provenance.AddTo(BaseInputs(), "forget-prompts", "template").Add("max-new-tokens", _options.Unlearning.MaxNewTokens).Add("allow-special", Recipe.Text(_options.Data.AllowSpecial))
            .Add("shape", Recipe.Text(_options.Data.Shape)).Add("prompt-field", _options.Data.PromptField).Add("template", Path.GetFileName(_options.Data.Template)).Add("template-date", _options.Data.TemplateDate)
            .Add("tasks", string.Join(',', tasks.Select(t => t.Name)));

        _log.Run("elicit", $"eliciting what the base model knows of {string.Join(", ", tasks.Select(t => t.Name))}", SamplesName, inputs, () =>
        {
            using LoadedModel model = LoadBase();
            Elicitation.Run(model, tasks, settings, path, _observer, _cancellation);
        });
        return path;
    }

    private IReadOnlyList<IncreaseRecord> Increases(string samplesFile, IReadOnlyList<EncodedExample> samples, IReadOnlyList<EncodedExample> examples)
    {
        string path = Path.Combine(_folder, IncreaseName), learned = Learned(examples);
        Fingerprint inputs = BaseInputs().AddFiles("learned", learned).Add("samples", FileHash.Of(samplesFile)).Add("max-length", _options.Data.MaxLength);
        _log.Run("increase", $"measuring how fine-tuning raises the loss of {samples.Count} samples", IncreaseName, inputs, () =>
        {
            using LoadedModel model = LoadBase();
            using LoadedModel tuned = LoadedModel.Load(learned, _backend);
            MeasuredIncrease.Write(path, MeasuredIncrease.Compute(model.Decoder, tuned.Decoder, samples, _options.Compute.MicroBatchTokens, _observer, _cancellation));
        });
        return MeasuredIncrease.Read(path);
    }

    private IReadOnlyList<ConfidenceRecord> Confidences(string samplesFile, IReadOnlyList<EncodedExample> samples, IReadOnlyList<EncodedExample> examples)
    {
        string path = _options.Unlearning.Confidence ?? Path.Combine(_folder, ConfidenceName);
        if (_options.Unlearning.Confidence is null)
        {
            string learned = Learned(examples);
            string fisher = _options.Unlearning.Fisher ?? ComputeFisher(learned, examples);
            double alpha = _options.Unlearning.Alpha ?? _options.Optimizer.LearningRate;
            Fingerprint inputs = BaseInputs().AddFiles("learned", learned).AddFiles("fisher", fisher).Add("samples", FileHash.Of(samplesFile)).Add("alpha", alpha).Add("max-length", _options.Data.MaxLength);
            _log.Run("confidence", $"computing the forgetting confidence of {samples.Count} samples", ConfidenceName, inputs, () =>
            {
                using LoadedModel model = LoadBase();
                using Checkpoint learnedModel = Checkpoint.Open(learned);
                using var confidence = new ForgettingConfidence(model.Decoder, model.Source, learnedModel, fisher);
                ConfidenceRecord.Write(path, confidence.Compute(samples, alpha, _options.Compute.MicroBatchTokens, _observer, _cancellation));
            });
        }

        return ConfidenceRecord.Read(path, samples.Count);
    }

    // θ_L, given or learnt here; a run's folder stands for the model in it.
    private string Learned(IReadOnlyList<EncodedExample> examples) => ModelPath.Resolve(_options.Unlearning.Learned ?? Learn(examples));

    private string Learn(IReadOnlyList<EncodedExample> examples)
    {
        string folder = Path.Combine(_folder, LearnedName);
        _log.Run(
            "learn", $"ordinary fine-tuning on {examples.Count} examples", Path.Combine(LearnedName, "model"), PlainTuning.AddInputs(BaseInputs(), _options, folder, examples),
            () => PlainTuning.Train(_options, examples, folder, _backend, _observer, _cancellation));
        return Path.Combine(folder, "model");
    }

    private string ComputeFisher(string learned, IReadOnlyList<EncodedExample> examples)
    {
        string path = Path.Combine(_folder, FisherName);
        IReadOnlyList<EncodedExample> chosen = FisherInformation.Draw(examples, _options.Unlearning.FisherExamples, _options.Seed);
        Fingerprint inputs = Inputs().AddFiles("learned", learned).Add("examples", TrainingCheckpoint.Fingerprint(TrainingSet.AllPositive(chosen))).Add("kind", Recipe.Text(_options.Unlearning.FisherKind))
            .Add("seed", _options.Seed);
        _log.Run("fisher", $"computing the Fisher information of {chosen.Count} examples", FisherName, inputs, () =>
        {
            using LoadedModel model = LoadedModel.Load(learned, _backend, training: true);
            FisherInformation.Compute(model.Decoder, chosen, _options.Unlearning.FisherKind, _options.Compute.MicroBatchTokens, _options.Seed, _observer, _cancellation);
            FisherFile.Write(path, model.Decoder, chosen.Count, _options.Unlearning.FisherKind);
        });
        return path;
    }

    // Samples have the standard names of fields, whatever those of the learning data are.
    private IReadOnlyList<EncodedExample> LoadSamples(string path)
    {
        using Checkpoint source = Checkpoint.Open(_options.Model);
        return ExampleLoader.Load(path, Tokenizer.Load(source.TokenizerPath ?? _options.Model), source.Config, _options with { Data = _options.Data with { PromptField = null, CompletionField = null, Shape = DataShape.Auto, TooLong = TooLong.Cut, TrainOn = TrainOn.Assistant } }, _observer);
    }

    private void WriteSelection(string samplesFile, int count, double[]? confidence, double[]? increase, IReadOnlyList<int> places)
    {
        IReadOnlyList<ElicitedSample>? samples = _options.Unlearning.Elicited is null ? ElicitedSample.Read(samplesFile) : null;
        HashSet<int> chosen = [.. places];
        JsonLines.Write(
            Path.Combine(_folder, "selection.jsonl"),
            Enumerable.Range(0, count).Select(i => new SelectionRecord { Index = i, Task = samples?[i].Task, Confidence = confidence?[i], Increase = increase?[i], Selected = chosen.Contains(i) }));
    }

    private IReadOnlyList<float[]>? BaseLogProbabilities(IReadOnlyList<EncodedExample> chosen)
    {
        if (!_options.ResolveAscent().NeedsBase)
            return null;

        using LoadedModel model = LoadBase();
        return [.. Scorer.Losses(model.Decoder, chosen, _options.Compute.MicroBatchTokens, allTokens: false, cancellation: _cancellation).Select(losses => Array.ConvertAll(losses, loss => -loss))];
    }
}

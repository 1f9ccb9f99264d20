using System.Globalization;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Evaluation;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>
/// Held-out examples and benchmark tasks on the model in training, which is used in place: there is no second copy of the weights. The best
/// model so far is in <c>model-best</c> of the run's folder; with LoRA its adapter is in <c>adapter-best</c>, and <c>model-best</c> is
/// merged from it at the end of the run.
/// </summary>
internal sealed class TuneEvaluation : IStepEvaluator
{
    /// <summary>Folder of the best model.</summary>
    public const string ModelName = "model-best";

    /// <summary>Folder of the best model's adapter.</summary>
    public const string AdapterName = "adapter-best";

    private readonly TrainingOptions _options;
    private readonly EvaluationOptions _evaluation;
    private readonly Tokenizer _tokenizer;
    private readonly IReadOnlyList<PreparedTask> _tasks;
    private readonly HeldOutLoss? _heldOut;
    private readonly IReadOnlyList<string> _judged;
    private readonly bool _higherIsBetter;
    private readonly ITrainingObserver? _observer;
    private readonly ICommunicator _ranks;
    private LoadedModel? _model;
    private ChatFiles? _chat;

    private TuneEvaluation(
        TrainingOptions options, Checkpoint source, IReadOnlyList<EncodedExample> heldOut, ITrainingObserver? observer, ICommunicator ranks)
    {
        (_options, _observer, _ranks) = (options, observer, ranks);
        _heldOut = heldOut.Count == 0 ? null : new HeldOutLoss(heldOut, options.Out, options.Compute.MicroBatchTokens, ranks);
        _evaluation = new EvaluationOptions
        {
            DataFolder = options.Evaluation.DataDir ?? "",
            Shots = options.Evaluation.NumFewshot,
            Limit = options.Evaluation.Limit,
            BatchTokens = options.Compute.MicroBatchTokens,
            Layout = ChatLayout.ForEvaluation(ExampleLoader.Layout(options)),
        };
        _tokenizer = Tokenizer.Load(source.TokenizerPath ?? options.Model);
        _tasks = options.Evaluation.Tasks.Count == 0 ? [] : new TaskLibrary(options.Evaluation.Include)
            .Prepare(options.Evaluation.Tasks, _evaluation, _tokenizer, source.Config);
        (_judged, _higherIsBetter) = Judged(
            options, heldOut.Count > 0, [.. _tasks.SelectMany(task => Evaluator.Measured(task).Select(metric => (task.Name, metric)))]);
    }

    /// <inheritdoc/>
    public BestStep? Best { get; set; }

    /// <summary>Tasks cost more than held-out examples, and what the base scores in them <c>eval</c> says.</summary>
    public bool EvaluatesBefore => _heldOut != null;

    // What decides which model is best.
    private string Metric => _judged.Count == 1 ? _judged[0] : $"mean of {string.Join(", ", _judged)}";

    /// <summary>Reads all tasks of a run, before anything is trained; null where nothing is to be evaluated.</summary>
    /// <param name="heldOut">Examples whose loss is measured; may be empty.</param>
    /// <param name="ranks">Share the work; the first writes.</param>
    /// <exception cref="UserException">A task is unknown, its file is missing or malformed, or it measures no such metric.</exception>
    public static TuneEvaluation? Prepare(
        TrainingOptions options, IReadOnlyList<EncodedExample> heldOut, ITrainingObserver? observer, ICommunicator ranks)
    {
        if (options.Evaluation.Tasks.Count == 0 && heldOut.Count == 0)
            return null;

        using Checkpoint source = Checkpoint.Open(options.Model);
        return new TuneEvaluation(options, source, heldOut, observer, ranks);
    }

    /// <summary>Evaluates this model from now on.</summary>
    /// <param name="chat">What the folders of the best model say of conversations.</param>
    public void Begin(LoadedModel model, ChatFiles chat) => (_model, _chat) = (model, chat);

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> Evaluate(int step, CancellationToken cancellation)
    {
        LoadedModel model = _model ?? throw new InvalidOperationException("there is no model to evaluate yet");
        string when = step == 0 ? "before training" : string.Create(CultureInfo.InvariantCulture, $"after step {step}");
        _observer?.StageBegan($"evaluating {when}");
        var evaluator = new Evaluator(model, _evaluation, _ranks);
        var values = new Dictionary<string, double>();
        ITrainingObserver? quiet = _observer is null ? null : new WithoutStages(_observer);
        if (_heldOut != null)
            values[StepMetrics.HeldOutLossName] = _heldOut.Measure(model.Decoder, step, quiet, cancellation);

        foreach (PreparedTask task in step == 0 ? [] : _tasks)
        {
            foreach (MetricValue metric in evaluator.Run(task, progress: null, quiet, cancellation).Metrics)
            {
                values[Key(task.Name, metric)] = metric.Value;
            }
        }

        if (_judged.Any(key => !values.ContainsKey(key)))
            return values;

        double value = _judged.Average(key => values[key]);
        bool best = double.IsFinite(value) && (Best is null || (_higherIsBetter ? value > Best.Value : value < Best.Value));
        if (best)
        {
            Best = new BestStep(step, Metric, value)
            {
                Adapter = _ranks.FromFirst(() => Keep(model, [("steps", step), .. values.Select(v => (v.Key, v.Value))])),
            };
        }

        _observer?.StageBegan(
            string.Create(CultureInfo.InvariantCulture, $"{when}: {Metric} {value:0.0000}{(best ? ", the best so far" : "")}"));
        return values.Where(pair => double.IsFinite(pair.Value)).ToDictionary();
    }

    /// <inheritdoc/>
    public void Rehearse(Decoder decoder)
    {
        _heldOut?.Rehearse(decoder);
        foreach (PreparedTask task in _tasks)
        {
            Evaluator.Rehearse(task, decoder, _tokenizer, _evaluation);
        }
    }

    /// <summary>With LoRA, merges the best adapter into the model once the one in training is gone.</summary>
    /// <exception cref="UserException">Not writable or disk full, or the adapter was removed.</exception>
    public void WriteBest(IBackend backend)
    {
        _model = null;
        string adapter = Path.Combine(_options.Out, AdapterName);
        if (Best is null || !Directory.Exists(adapter))
            return;

        if (FileHash.OfAll(adapter) != Best.Adapter)
            throw new UserException($"{adapter}: is damaged: it is not what was written after step {Best.Step}");

        using LoadedModel model = LoadedModel.Load(_options.Model, backend, adapter: adapter, baseType: _options.Lora.BaseType);
        Write(model, ModelCard.Merged(_options.Model, adapter));
    }

    private void Write(LoadedModel model, ModelCard card) => AdapterMerge.Write(
        Path.Combine(_options.Out, ModelName), model.Decoder, model.Source, _chat!.AddTo + (Action<string>)card.AddTo,
        _options.SaveDtype.ToStoredType());

    // The hash of what is read again at the end.
    private string? Keep(LoadedModel model, IEnumerable<(string Name, double Value)> measured)
    {
        ModelCard card = TrainingCard.From(_options, isAdapter: model.Decoder.Lora != null, measured);
        if (model.Decoder.Lora is null)
        {
            Write(model, card);
            return null;
        }

        string adapter = Path.Combine(_options.Out, AdapterName);
        PeftAdapter.Write(adapter, model.Decoder, _options.Model, _chat!.AddToAdapter + (Action<string>)card.AddTo);
        return FileHash.OfAll(adapter);
    }

    // The metric that is named, or the held-out loss, or each task's first, and whether more of it is better.
    private static (IReadOnlyList<string> Keys, bool HigherIsBetter) Judged(
        TrainingOptions options, bool heldOut, IReadOnlyList<(string Task, MetricValue Metric)> measured)
    {
        const string loss = StepMetrics.HeldOutLossName;
        if (heldOut && options.Evaluation.Metric is null or loss or "loss")
            return ([loss], options.Evaluation.Best == BestKind.High);

        (string Task, MetricValue Metric)[] judged = options.Evaluation.Metric is not { } wanted
            ? [.. measured.DistinctBy(m => m.Task)]
            : measured.Where(m => wanted == Key(m.Task, m.Metric)).ToArray() is { Length: > 0 } exact ? exact
            : [.. measured.Where(m => wanted == m.Metric.Name || wanted == $"{m.Task}/{m.Metric.Name}").DistinctBy(m => m.Task)];
        if (judged.Length == 0)
        {
            throw new UserException(
                $"eval-metric is {options.Evaluation.Metric}, "
                + $"expected one of {string.Join(", ", measured.Select(m => Key(m.Task, m.Metric)).Concat(heldOut ? [loss] : []))}");
        }

        bool[] directions = [.. judged.Select(m => Metrics.HigherIsBetter(m.Metric.Name)).Distinct()];
        if (options.Evaluation.Best == BestKind.Auto && directions.Length > 1)
        {
            throw new UserException(
                $"eval-tasks: of {string.Join(", ", judged.Select(m => Key(m.Task, m.Metric)))} some are better high and some low; "
                + "expected one to decide, as eval-metric");
        }

        return ([.. judged.Select(m => Key(m.Task, m.Metric))], options.Evaluation.Best == BestKind.Auto
            ? directions[0]
            : options.Evaluation.Best == BestKind.High);
    }

    private static string Key(string task, MetricValue metric) =>
        $"{task}/{metric.Name}{(metric.Filter == "none" ? "" : $",{metric.Filter}")}";

    // An evaluation has many tasks, and its own lines say enough.
    private sealed class WithoutStages(ITrainingObserver observer) : ITrainingObserver
    {
        public void StageBegan(string what)
        {
        }

        public void Noticed(string what) => observer.Noticed(what);

        public void Progressed(long done, long total) => observer.Progressed(done, total);

        public void StepDone(StepMetrics metrics, int steps) => observer.StepDone(metrics, steps);

        public void CheckpointWritten(string path) => observer.CheckpointWritten(path);
    }
}

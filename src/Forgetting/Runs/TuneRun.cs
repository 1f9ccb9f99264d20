using System.Diagnostics;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Backends.Selection;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>
/// A whole tuning run: data, reference, scores, partition, training, and the tuned checkpoint. Each stage leaves its result in the run's
/// folder, so that an interrupted run resumes with the stage it was in.
/// </summary>
internal sealed class TuneRun
{
    private readonly TrainingOptions _options;
    private readonly IBackend _backend;
    private readonly ITrainingObserver? _observer;
    private readonly CancellationToken _cancellation;
    private readonly bool _resume;
    private readonly IReadOnlyList<string> _others;
    private readonly IReadOnlyList<IMethod> _methods;
    private readonly ICommunicator _communicator;

    private TuneRun(
        TrainingOptions options, IMethod? method, IBackend backend, bool resume, ITrainingObserver? observer, IReadOnlyList<string> others,
        ICommunicator communicator, CancellationToken cancellation)
    {
        _options = options;
        _backend = backend;
        _resume = resume;
        _others = others;
        _communicator = communicator;
        _observer = observer;
        _cancellation = cancellation;
        _methods = method is null ? MethodList.Create(options) : [method];
    }

    /// <summary>
    /// Runs to the end. Leaves <c>model/</c> (adapter merged), <c>adapter/</c> with LoRA, <c>checkpoints/</c>, <c>run.yaml</c>,
    /// <c>metrics.jsonl</c>, <c>model-best/</c> (with LoRA also <c>adapter-best/</c>) where tasks were evaluated, <c>scores.jsonl</c> where
    /// tokens were scored, <c>lwf/</c> with the stages of Learning With Forgetting where samples were unlearnt, <c>unlearn/</c> with the
    /// base model's losses of a forget set, <c>reference/</c> where the reference was trained here, and <c>summary.json</c>.
    /// </summary>
    /// <param name="resume">Continue what an interrupted run left in the folder.</param>
    /// <param name="others">Folders of other runs, there or not: stages of Learning With Forgetting that they finished with the same
    /// inputs are copied from there.</param>
    /// <param name="method">What gives tokens their signs, instead of what the settings ask for; or null.</param>
    /// <param name="communicator">
    /// The ranks that do the run together; null for this process alone. All see the run's folder, in which the first alone writes.
    /// </param>
    /// <exception cref="UserException">Bad settings or input, a folder that holds another run, values that are
    /// not finite, a full disk.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled; it can be resumed.</exception>
    public static TuneSummary Execute(
        TrainingOptions options, IBackend backend, bool resume = false, ITrainingObserver? observer = null,
        IReadOnlyList<string>? others = null, IMethod? method = null, ICommunicator? communicator = null,
        CancellationToken cancellation = default)
    {
        options.Validate();
        if (method != null && options.HasForgetSet)
        {
            throw new UserException(
                $"method is {options.Method} beside a method of one's own, "
                + "expected forget or ignore, which say what becomes of its negative tokens");
        }

        ICommunicator ranks = communicator ?? SingleProcess.Instance;
        options.CheckRanks(ranks.Size);
        using RunFolder? folder = ranks.IsFirst() ? RunFolder.Open(options.Out) : null;
        using Checkpoint source = Checkpoint.Open(options.Model);
        string? date = resume ? RunRecord.Read(options.Out)?.Options.Data.TemplateDate : null;
        TrainingOptions resolved =
            ResolvedSettings.From(ExampleLoader.Resolve(options, date), source.Config, scores: method is null && options.ScoresTokens);
        resolved = ResolvedSettings.On(backend, resolved with { Model = source.Path });
        ITrainingObserver? told = ranks.IsFirst() ? observer : null;
        return new TuneRun(resolved, method, backend, resume, told, others ?? [], ranks, cancellation).Execute(folder);
    }

    // The folder is null on all ranks but the first.
    private TuneSummary Execute(RunFolder? folder)
    {
        RunRecord? began = folder is null ? null : RunRecord.Check(folder, _options, _resume);

        // Every input is looked at before the folder comes to be: a mistyped name leaves nothing behind, and costs no time in training.
        (IReadOnlyList<EncodedExample> held, IReadOnlyList<EncodedExample> examples, IReadOnlyList<EncodedExample> valid) = LoadExamples();
        began?.CheckLength(
            _options, File.Exists(Path.Combine(_options.Out, TuneSummary.FileName)), Trainer.CountSteps(began.Options, examples.Count),
            Trainer.CountSteps(_options, examples.Count));
        MethodRun[] runs =
        [
            .. _methods.Select(
                m => new MethodRun(m, _options, _backend, _others, _observer, _communicator, _cancellation)
                {
                    Examples = examples,
                    ForReference = held,
                }),
        ];
        foreach ((IMethod method, MethodRun run) in _methods.Zip(runs))
        {
            method.Check(run);
        }

        CheckAdapter();
        TuneEvaluation? evaluation = TuneEvaluation.Prepare(_options, valid, _observer, _communicator);
        MemoryPlan memory = PlanMemory(
            new PlannedData(
                ExampleLists.Joined(examples, [.. runs.SelectMany(r => r.Further)]), runs is [var first, ..] ? first.ForReference : held),
            evaluation);
        var provenance = Provenance.From(_options);
        RankAgreement.CheckSame(_communicator, _options, provenance);
        if (folder != null)
            provenance = RunRecord.Begin(folder, _options, began, provenance, _observer).Provenance;

        RankAgreement.CheckFolder(_communicator, _options);
        MethodResult result = runs.Aggregate(
            new MethodResult(TrainingSet.AsGiven(examples)), (sofar, run) => run.Execute(provenance, sofar));
        if (_options.NeedsBase && result.Set.BaseLogProbabilities is null)
            result = result with { Set = result.Set with { BaseLogProbabilities = OfNegatives(result.Set) } };

        _observer?.StageBegan($"training on {result.Set.Examples.Count} examples");
        TuneSummary summary;
        using (LoadedModel model = TrainedModel.Load(_options, _backend, _communicator))
        {
            double? before = MeanLoss(model, result.Unlearned);
            (TrainingOutcome outcome, double rounding, IReadOnlyList<StepMetrics> steps) =
                Train(model, result.Set, result.Unlearned, evaluation, out double? after);
            summary = Summarize(model, result, steps, held.Count, runs.Sum(r => r.StageSeconds)) with
            {
                Provenance = provenance,
                Outcome = outcome,
                RoundingLoss = rounding,
                Valid = valid.Count == 0 ? null : ValidSummary.From(_options, steps),
                Unlearning =
                    result.Summary.Unlearning is { } unlearning ? unlearning with { LossBefore = before, LossAfter = after } : null,
                Best = evaluation?.Best,
                PredictedMemoryBytes = memory.Peak,
                PredictedResidentBytes = memory.Resident,
            };
        }

        if (folder != null)
        {
            evaluation?.WriteBest(_backend);
            summary.Write(_options.Out);
        }

        _communicator.Barrier();
        return summary;
    }

    private void TakeSteps(LoadedModel model, TrainingSet set, TrainingSet? unlearned, TuneEvaluation? evaluation)
    {
        using LoadedModel? baseModel = _options.HoldsBase ? TrainedModel.LoadBase(_options, _backend) : null;
        var trainer = new Trainer(
            model.Decoder, set, _options, _options.Out, _observer, unlearned, Regularizers.Create(_options.Optimizer, model.Decoder.Config),
            evaluation, baseModel?.Decoder, _communicator);
        trainer.Run(_resume, _cancellation);
    }

    // Log-probabilities of the tokens that are to be forgotten, under the base model.
    private IReadOnlyList<float[]> OfNegatives(TrainingSet set)
    {
        EncodedExample[] negative =
            [.. set.Examples.Zip(set.Signs, (e, signs) => e with { Response = Array.ConvertAll(signs, sign => sign < 0) })];
        _observer?.StageBegan("scoring the tokens to be forgotten with the base model");
        using LoadedModel model = TrainedModel.LoadBase(_options, _backend);
        return Scorer.LogProbabilities(model.Decoder, negative, _options.Compute.MicroBatchTokens, _communicator, _cancellation);
    }

    // Of all samples that are unlearnt.
    private double? MeanLoss(LoadedModel model, TrainingSet? samples) => samples is null
        ? null
        : Scorer.ResponseMean(samples.Examples, Scorer.Losses(
            model.Decoder, samples.Examples, _options.Compute.MicroBatchTokens, allTokens: false, cancellation: _cancellation,
            ranks: _communicator)).Mean;

    private (TrainingOutcome Outcome, double Rounding, IReadOnlyList<StepMetrics> Steps) Train(
        LoadedModel model, TrainingSet set, TrainingSet? unlearned, TuneEvaluation? evaluation, out double? unlearnedLoss)
    {
        ChatFiles chat = ExampleLoader.Trained(_options, model.Tokenizer, set.Examples);
        evaluation?.Begin(model, chat);
        TakeSteps(model, set, unlearned, evaluation);
        IReadOnlyList<StepMetrics> steps = StepMetrics.Read(Path.Combine(_options.Out, "metrics.jsonl"));
        TrainingOutcome outcome = TrainingOutcome.Measure(model.Decoder, set, _options, steps[0], _communicator, _cancellation);
        unlearnedLoss = MeanLoss(model, unlearned);
        if (!_communicator.IsFirst())
            return (outcome, Rounding: 0, steps);

        _observer?.StageBegan("writing the model");
        model.Decoder.Activations.Dispose();
        (string, double)[] measured = [.. outcome.Measured(steps)];
        if (model.Decoder.Lora != null)
        {
            ModelCard ofAdapter = TrainingCard.From(_options, isAdapter: true, measured);
            PeftAdapter.Write(
                Path.Combine(_options.Out, "adapter"), model.Decoder, _options.Model, chat.AddToAdapter + (Action<string>)ofAdapter.AddTo);
        }

        ModelCard card = TrainingCard.From(_options, isAdapter: false, measured);
        MergeResult written = AdapterMerge.Write(
            Path.Combine(_options.Out, "model"), model.Decoder, model.Source, chat.AddTo + (Action<string>)card.AddTo,
            _options.SaveDtype.ToStoredType());
        return (outcome, written.RoundingLoss, steps);
    }

    // The tokenizer and the configuration are enough here; weights are loaded by the stages that need them.
    private (IReadOnlyList<EncodedExample> Held, IReadOnlyList<EncodedExample> Training, IReadOnlyList<EncodedExample> Valid) LoadExamples()
    {
        IReadOnlyList<EncodedExample> all = Encode(_options.ForgetSet.ForgetData),
            valid = _options.Evaluation.ValidData is { } file ? Encode(file) : [], reference = [];

        // First, so that runs of all methods hold out the same examples.
        if (_options.Evaluation.ValidFraction is { } share)
            (valid, all) = HeldOutLoss.Split(all, share, _options.Seed);

        int held = valid.Count;
        valid = ExampleLoader.ToLearn(valid);
        if (held > 0 && valid.Count == 0)
        {
            throw new UserException(
                $"none of the {held} held-out examples has anything to learn: their signs are negative; expected some that have");
        }

        if (HeldOutLoss.Leak(valid, all) is { } leak)
            _observer?.Noticed(leak);

        if (_options.HasForgetSet)
            return ([], ExampleLoader.ToForget(_options.MainData, all), valid);

        NoticeSigns(all);
        if (_options.LearnsAll)
            all = ExampleLoader.ToLearn(all);

        if (_options.TokenForgetting.ReferenceFraction is { } fraction && ExampleLoader.HasUnsigned(all))
            (reference, all) = ReferenceModel.Split(all, fraction, _options.Seed);

        NoticeShares(all);
        return (ExampleLoader.ToLearn(reference), all, valid);
    }

    private void NoticeShares(IReadOnlyList<EncodedExample> examples)
    {
        if (DataOrder.MixtureOf(examples, _options) is not { } mixture)
            return;

        foreach ((int source, string file) in _options.Data.Files.Index())
        {
            int count = mixture.Counts[source], size = mixture.Sizes[source];
            _observer?.Noticed(string.Create(
                CultureInfo.InvariantCulture,
                $"{file}: {count:N0} of {mixture.Counts.Sum():N0} examples of an epoch, "
                    + $"each of its {size:N0} {(double)count / size:0.##} times on average"));
        }
    }

    private void NoticeSigns(IReadOnlyList<EncodedExample> examples)
    {
        if (!ExampleLists.Any(examples, ExampleTraits.Signs))
            return;

        long negative = examples.Sum(e => (long)e.NegativeCount), given =
            examples.Sum(e => e.Given is null ? 0L : e.Given.Count(sign => sign != 0)), all = examples.Sum(e => (long)e.ResponseCount);
        string text = _options.LearnsAll
            ? negative == 0 ? "" : $"the data gives {negative:N0} of {all:N0} response tokens a negative sign: "
                + $"method {_options.Method.Name} leaves them out; forget unlearns them"
            : given == 0 ? ""
            : $"the data gives {given:N0} of {all:N0} response tokens their signs, {negative:N0} of them negative; "
                + (given == all ? "nothing is scored, and no reference is needed"
                    : _methods is [TokenForgettingMethod, ..] ? "the others are scored"
                    : "the method gives the others theirs");
        if (text.Length > 0)
            _observer?.Noticed(string.Create(CultureInfo.InvariantCulture, $"{_options.Data.Path}: {text}"));
    }

    // The examples of a file, or of the data itself.
    private IReadOnlyList<EncodedExample> Encode(string? path) => ExampleLoader.LoadForRun(path, _options, _observer);

    // A new adapter fits the model.
    private void CheckAdapter()
    {
        using Checkpoint source = Checkpoint.Open(_options.Model);
        _ = TrainedModel.NewAdapter(_options, source.Config);
    }

    // Too little memory is better said before hours of scoring than after.
    private MemoryPlan PlanMemory(PlannedData data, TuneEvaluation? evaluation)
    {
        using Checkpoint source = Checkpoint.Open(_options.Model);
        LoraConfig? lora = _options.Adapter is { } adapter ? TrainedModel.AdapterConfig(adapter) : TrainedModel.NewAdapter(_options);
        var plan = MemoryPlan.Create(
            source.Config, _options, _backend.Name, _backend.StorageType, lora, data, evaluation, _methods, _communicator.Size);
        if (plan.Peak > _backend.TotalBytes)
        {
            _observer?.StageBegan(
                $"this run may take up to {plan.Peak >> 20:N0} MiB and {_backend.Name} has {_backend.TotalBytes >> 20:N0} MiB: "
                + "lower micro-batch-tokens or max-length, set recompute, or train an adapter");
        }

        _backend.Use.ResetPeak();
        return plan;
    }

    private TuneSummary Summarize(
        LoadedModel model, MethodResult result, IReadOnlyList<StepMetrics> metrics, int held, double seconds)
    {
        TrainingSet set = result.Set;
        TokenCounts counts =
            set.Signs.Zip(set.Examples).Aggregate(default(TokenCounts), (sum, e) => sum + TokenCounts.From(e.First, e.Second.Response));
        return new TuneSummary
        {
            Method = _methods is [var method, ..] ? method.Name : _options.Method.Name,
            Model = _options.Model,
            Data = _options.MainData,
            Examples = set.Examples.Count,
            HeldOut = held,
            Reference = result.Summary.Reference,
            PositiveTokens = counts.Positive,
            NegativeTokens = counts.Negative,
            IgnoredTokens = counts.Ignored,
            Score = result.Summary.Score,
            Diagnosis = result.Summary.Diagnosis,
            ReferenceCheck = result.Summary.ReferenceCheck,
            ReferenceQuality = result.Summary.ReferenceQuality,
            EffectiveLambda = LambdaSchedule.Effective(metrics),
            Cut = result.Summary.Cut,
            Parameters = model.Decoder.ParameterCount,
            TrainableParameters = model.Decoder.TrainableParameters.Sum(p => p.Shape.Count),
            Steps = metrics.Count,
            StoppedEarly = metrics.Count < Trainer.CountSteps(_options, set.Counted),
            ScoringSeconds = seconds,
            TrainingSeconds = metrics[^1].ElapsedSeconds,
            Products = (_backend as CpuBackend)?.ProductsDescription,
            ActivationBytes = model.Decoder.Activations.PeakBytes,
            DeviceMemoryBytes = _backend.Use.Peak,
            PeakMemoryBytes = Process.GetCurrentProcess().PeakWorkingSet64,
            LastStep = metrics[^1] with { Examples = null }, // places in a set that the summary does not have
        };
    }
}

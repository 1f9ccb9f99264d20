using System.Diagnostics;
using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Models;

namespace Forgetting.Training;

/// <summary>
/// Trains a model: order, schedules, steps, guards, metrics and checkpoints. Leaves <c>metrics.jsonl</c> and <c>checkpoints/</c> in its
/// folder and the tuned weights in the model.
/// </summary>
internal sealed class Trainer
{
    private readonly Decoder _decoder;
    private readonly TrainingSet _set;
    private readonly TrainingSet? _unlearned;
    private readonly IStepRegularizer? _regularizer;
    private readonly IStepEvaluator? _evaluator;
    private readonly Decoder? _baseModel;
    private readonly ICommunicator _communicator;
    private readonly TrainingOptions _options;
    private readonly string _folder;
    private readonly ITrainingObserver? _observer;
    private readonly DataOrder _order;
    private readonly LearningRateSchedule _learningRate;
    private readonly LambdaSchedule _lambda;
    private readonly TrainingCheckpoint _checkpoints;
    private readonly RankExchange? _exchange; // where ranks divide what is trained

    /// <summary>A training run.</summary>
    /// <param name="decoder">The model; its trainable parameters are trained.</param>
    /// <param name="folder">Folder for metrics and checkpoints.</param>
    /// <param name="unlearned">Samples to unlearn in steps of their own, with negative signs; or null.</param>
    /// <param name="regularizer">A further term of the objective of learning steps, or null.</param>
    /// <param name="evaluator">Evaluates the model every so many steps and after the last, or null.</param>
    /// <param name="baseModel">The model before training, where the options need it (<see cref="TrainingOptions.HoldsBase"/>).</param>
    /// <param name="communicator">
    /// The ranks that train together, each with its own copy of the model; null for this process alone. All see the folder; the first alone
    /// writes into it and tells the observer. When <see cref="Run"/> returns all that it writes is there on all ranks.
    /// </param>
    /// <exception cref="UserException">A setting is out of range, or there is nothing to train on.</exception>
    public Trainer(
        Decoder decoder, TrainingSet set, TrainingOptions options, string folder, ITrainingObserver? observer = null,
        TrainingSet? unlearned = null, IStepRegularizer? regularizer = null, IStepEvaluator? evaluator = null,
        Decoder? baseModel = null, ICommunicator? communicator = null)
    {
        options.ValidateValues();
        if (set.Examples.Count == 0)
            throw new UserException("there are no examples to train on");

        if ((options.NeedsBase && set.BaseLogProbabilities is null)
            || (options.ResolveAscent().NeedsBase && unlearned is { BaseLogProbabilities: null }))
        {
            throw new ArgumentException("how tokens are unlearnt needs the log-probabilities of the base model", nameof(set));
        }

        if (options.HoldsBase && baseModel is null)
            throw new ArgumentException("what must stay is kept by what the base model says of it", nameof(baseModel));

        Misdirection.Restrict(decoder, options);
        _decoder = decoder;
        _baseModel = baseModel;
        _communicator = communicator ?? SingleProcess.Instance;
        _set = set;
        _unlearned = unlearned;
        _regularizer = regularizer;
        _evaluator = evaluator;
        _options = options;
        _folder = folder;
        _observer = _communicator.IsFirst() ? observer : null;
        _order = DataOrder.From(set, options);
        Steps = CountSteps(options, set.Counted);
        _learningRate = new LearningRateSchedule(
            options.Schedule.LrSchedule, options.Optimizer.LearningRate, options.Schedule.WarmupRatio, Steps, options.Compat);
        _lambda = new LambdaSchedule(options, Steps, _order.StepsPerEpoch);
        _exchange = decoder.Sharding is null ? null : new RankExchange(_communicator, decoder.Backend);
        _checkpoints = new TrainingCheckpoint(
            Path.Combine(folder, "checkpoints"), options.Checkpoints.Keep, _exchange?.Communicator);
    }

    /// <summary>All optimiser steps of the run.</summary>
    public int Steps { get; }

    /// <summary>Optimiser steps of a run over so many examples (<see cref="TrainingSet.Counted"/>).</summary>
    /// <exception cref="UserException">They are more than any run takes; schedules have a place for each.</exception>
    public static int CountSteps(TrainingOptions options, int examples)
    {
        const int most = 100_000_000;
        long perEpoch = new DataOrder(examples, options.Schedule.BatchSize, options.Seed, !options.Data.NoShuffle).StepsPerEpoch;
        long steps = options.Schedule.Steps ?? options.Schedule.Epochs * perEpoch;
        string setting =
            options.Schedule.Steps is null ? $"epochs is {options.Schedule.Epochs}, of {perEpoch} steps each" : $"steps is {steps}";
        return steps <= most ? (int)steps : throw new UserException($"{setting}; expected at most {most} steps");
    }

    /// <summary>Trains to the end.</summary>
    /// <param name="resume">Continue from the newest checkpoint in the folder; without one, begin.</param>
    /// <param name="cancellation">Ends the run after the step in progress, with a checkpoint.</param>
    /// <exception cref="UserException">A loss or gradient is not finite, the disk is full, or the folder holds another run.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled; its last step is in a checkpoint.</exception>
    public void Run(bool resume = false, CancellationToken cancellation = default)
    {
        if (!resume && _checkpoints.Latest is { } old)
            throw new UserException($"{_folder}: holds a run (up to {Path.GetFileName(old)}); resume it or choose another folder");

        ReserveActivations();
        using var step = new TrainingStep(_decoder, _options, _regularizer, _baseModel, _communicator);
        using Unlearning? unlearning = BeginUnlearning();
        using var optimizer = new AdamWOptimizer(_decoder.Backend, _decoder.TrainableParameters, _options, _exchange);
        TrainingState state = Begin(resume, optimizer, unlearning);
        Agreement.CheckSame(_communicator, new Dictionary<string, string>
        {
            ["training set"] = state.Data,
            [$"{_folder}: last checkpoint"] = $"{state.Step} {state.MetricsHash}",
        });
        using MetricsLog? log = _communicator.IsFirst()
            ? new MetricsLog(Path.Combine(_folder, "metrics.jsonl"), state.MetricsBytes, state.MetricsHash)
            : null;
        if (state.Step == 0 && _evaluator is { EvaluatesBefore: true })
            _evaluator.Evaluate(0, cancellation);

        long started = Stopwatch.GetTimestamp() - (long)(state.ElapsedSeconds * Stopwatch.Frequency);
        StepMetrics? unevaluated = state.Unevaluated;
        for (int k = unevaluated is null ? state.Step : state.Step - 1; k < Steps && !RunsOut(k); k++)
        {
            StepMetrics metrics = unevaluated ?? Step(k, step, unlearning, optimizer, started);
            unevaluated = null;
            if (Evaluates(k + 1))
            {
                try
                {
                    metrics = Evaluated(metrics, cancellation);
                }
                catch (OperationCanceledException)
                {
                    Save(now => now with { Unevaluated = metrics });
                    _communicator.Barrier();
                    throw;
                }

                started += (long)(metrics.EvaluationSeconds!.Value * Stopwatch.Frequency);
            }

            log?.Append(metrics);
            _observer?.StepDone(metrics, Steps);
            bool last = k + 1 == Steps || RunsOut(k + 1), cancelled = _communicator.Any(cancellation.IsCancellationRequested);
            if (last || cancelled
                || (_options.Checkpoints.Every > 0 && (k + 1) % _options.Checkpoints.Every == 0))
            {
                Save(now => now);
            }

            if (last && k + 1 < Steps)
            {
                _observer?.StageBegan(
                    $"stopped after step {k + 1} of {Steps}: {_options.Evaluation.Patience} evaluations in a row were no better than that "
                    + $"after step {_evaluator!.Best?.Step ?? 0}");
            }

            // A rank that ends may take the others with it, so none does before the first has written.
            if (cancelled || last)
                _communicator.Barrier();

            if (cancelled && !last)
                throw new OperationCanceledException(cancellation);

            void Save(Func<TrainingState, TrainingState> amend)
            {
                if (log is null)
                {
                    _checkpoints.Follow(optimizer, _decoder.Backend, unlearning?.Own);
                    return;
                }

                (long bytes, string hash) = log.Flush();
                TrainingState now = state with
                {
                    Step = k + 1,
                    Steps = Steps,
                    Updates = optimizer.Updates,
                    LambdaBound = double.IsFinite(_lambda.Bound) ? _lambda.Bound : null,
                    Unevaluated = null,
                    Best = _evaluator?.Best,
                    MetricsBytes = bytes,
                    MetricsHash = hash,
                    ElapsedSeconds = metrics.ElapsedSeconds,
                    Settings = Recipe.Values(_options),
                };
                string written = _checkpoints.Write(amend(now), optimizer, _decoder.Backend, unlearning?.Own);
                _observer?.CheckpointWritten(written);
            }
        }
    }

    private bool Evaluates(int steps) =>
        _evaluator != null && (steps == Steps || (_options.Evaluation.Every > 0 && steps % _options.Evaluation.Every == 0));

    // Whether the last evaluations before so many steps were all no better than the best. Between evaluations it is as at the last one.
    private bool RunsOut(int steps) => _evaluator != null && _options.Evaluation.Patience > 0 && _options.Evaluation.Every > 0
        && steps / _options.Evaluation.Every - (_evaluator.Best?.Step ?? 0) / _options.Evaluation.Every >= _options.Evaluation.Patience;

    private StepMetrics Evaluated(StepMetrics metrics, CancellationToken cancellation)
    {
        long before = Stopwatch.GetTimestamp();
        return metrics with
        {
            Evaluation = _evaluator!.Evaluate(metrics.Step, cancellation),
            EvaluationSeconds = Stopwatch.GetElapsedTime(before).TotalSeconds,
        };
    }

    /// <summary>
    /// Allocates all that <see cref="Run"/> does and takes a step, without a file: for a backend that only counts memory.
    /// </summary>
    internal void Rehearse()
    {
        ReserveActivations();
        TakeStep();
    }

    private void ReserveActivations()
    {
        // Each by itself: in a step of several, another order would cut other micro-batches. A pass holds the base's
        // probabilities too where there are any.
        bool held = _set.BaseLogProbabilities != null || _unlearned?.BaseLogProbabilities != null;
        long ofBase = 0;
        _decoder.Reserve(twin =>
        {
            using Decoder? baseTwin = _baseModel?.Twin(twin.Backend);
            foreach (IReadOnlyList<EncodedExample> batch in
                FullestStep.MicroBatches(_set, _unlearned, _order, Steps, _options, _communicator.Size))
            {
                TrainingOptions options = _options with
                {
                    Schedule = _options.Schedule with { BatchSize = batch.Count },
                    TokenForgetting = _options.TokenForgetting with { Ascent = _options.Steers ? null : AscentKind.Ascent },
                    ForgetSet = _options.Steers ? _options.ForgetSet : _options.ForgetSet with { Objective = ForgetObjective.Token },
                };
                TrainingSet set = TrainingSet.AllPositive(batch) with
                {
                    BaseLogProbabilities = held ? [.. batch.Select(e => new float[e.Length])] : null,
                    Parts = _options.Steers && baseTwin is null ? new SetParts(batch.Count, 0, Refusals: false) : null,
                };
                new Trainer(twin, set, options, _folder, regularizer: _regularizer, baseModel: baseTwin).TakeStep();
                ofBase = Math.Max(ofBase, baseTwin?.Activations.PeakBytes ?? 0);
            }
        });
        _baseModel?.Activations.Reserve(ofBase);
    }

    private void TakeStep()
    {
        using var step = new TrainingStep(_decoder, _options, _regularizer, _baseModel, _communicator);
        using Unlearning? unlearning = BeginUnlearning();
        using var optimizer = new AdamWOptimizer(_decoder.Backend, _decoder.TrainableParameters, _options, _exchange);
        Step(0, step, unlearning, optimizer, started: 0);
        _evaluator?.Rehearse(_decoder);
    }

    private Unlearning? BeginUnlearning() =>
        _unlearned is null ? null : new Unlearning(_decoder, _unlearned, _options, Steps, _communicator, _exchange);

    private TrainingState Begin(bool resume, AdamWOptimizer optimizer, Unlearning? unlearning)
    {
        var fresh = new TrainingState
        {
            Step = 0,
            Updates = 0,
            LambdaBound = null,
            Steps = Steps,
            MetricsBytes = 0,
            MetricsHash = MetricsLog.HashOfNothing,
            ElapsedSeconds = 0,
            Data = _unlearned is null ? TrainingCheckpoint.Fingerprint(_set) : TrainingCheckpoint.Fingerprint(_set, _unlearned),
            Settings = Recipe.Values(_options),
        };
        TrainingState? restored = resume ? _checkpoints.Restore(fresh, optimizer, _decoder.Backend, unlearning?.Own) : null;
        unlearning?.Resume(restored?.Step ?? 0);
        _lambda.Bound = restored?.LambdaBound ?? double.PositiveInfinity;
        if (_evaluator != null)
            _evaluator.Best = restored?.Best;

        return restored ?? fresh;
    }

    /// <summary>
    /// Factor that brings a gradient of norm <paramref name="norm"/> to at most <paramref name="most"/> (0: as it
    /// is), as in PyTorch's clip_grad_norm_.
    /// </summary>
    internal static double ClipScale(double most, double norm) => most > 0 ? Math.Min(1, most / (norm + 1e-6)) : 1;

    private StepMetrics Step(int k, TrainingStep step, Unlearning? unlearning, AdamWOptimizer optimizer, long started)
    {
        long before = Stopwatch.GetTimestamp();
        double lambda = Lambda(k);
        double learningRate = _learningRate.At(k);
        StepLosses losses;
        double norm;
        GradientPartNorms? parts;
        UnlearningMetrics? unlearned;
        try
        {
            unlearned = unlearning?.Apply(k, optimizer, _learningRate);
            step.Begin(_set, _order.At(k), k);
            bool measure = step.HasParts && Measures(k);
            if (measure)
                step.KeepNegativePart();

            losses = step.Accumulate(lambda);
            norm = step.GradientNorm();
            parts = measure ? step.CompareParts(lambda) : null;
        }
        catch (NonFiniteException error)
        {
            string good = _checkpoints.Latest is { } path ? $"the last good checkpoint is {path}" : "there is no checkpoint yet";
            throw new UserException(
                $"step {k + 1}: {error.Message}; the run stops before this step's update and {good}; a lower learning-rate or lambda-max, "
                    + "clip, or a bounded ascent may help", error);
        }

        if (parts is { } measured)
            _lambda.Measure(measured.PositiveNorm, measured.UnitNegativeNorm);

        optimizer.Step(learningRate, ClipScale(_options.Optimizer.Clip, norm));
        _decoder.Backend.Synchronize();
        (TimeSpan Taken, TimeSpan Waited)? exchanged = step.TakeExchangeTimes();
        return new StepMetrics
        {
            Step = k + 1,
            Steps = Steps,
            Loss = losses.Objective,
            PositiveLoss = losses.PositiveLoss,
            NegativeLoss = losses.NegativeLoss,
            Lambda = lambda,
            LearningRate = learningRate,
            GradNorm = norm,
            Tokens = losses.Tokens,
            TokensPerSecond = losses.Tokens / Math.Max(Stopwatch.GetElapsedTime(before).TotalSeconds, 1e-9),
            ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            ExchangeSeconds = exchanged?.Taken.TotalSeconds,
            ExchangeWaitSeconds = exchanged?.Waited.TotalSeconds,
            PositiveGradNorm = parts?.PositiveNorm,
            NegativeGradNorm = parts?.NegativeNorm,
            GradientCosine = parts is { } p && double.IsFinite(p.Cosine) ? p.Cosine : null,
            Regularizer = step.RegularizerValue,
            ForgetLoss = unlearned?.Loss,
            ForgetGradNorm = unlearned?.GradNorm,
            Unlearned = unlearned?.Examples,
            Examples = [.. _order.At(k)],
        };
    }

    private double Lambda(int k) => _options.Method.Negatives switch
    {
        NegativeTokens.Forgotten => _lambda.At(k),
        NegativeTokens.ForgetSet => 1,
        _ => 0,
    };

    private bool Measures(int k) =>
        (_options.TokenForgetting.PartsEvery > 0 && k % _options.TokenForgetting.PartsEvery == 0)
        || (_options.Method.Negatives == NegativeTokens.Forgotten && _options.TokenForgetting.Lambda == LambdaKind.Adaptive
            && k % _options.TokenForgetting.LambdaEvery == 0);
}

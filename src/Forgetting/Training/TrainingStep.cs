using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>What a step's forward passes found.</summary>
/// <param name="Objective">Value of the signed objective Σ weight·CE, whatever the kind of ascent.</param>
/// <param name="PositiveSum">Σ weight·CE of positive tokens, nats; of the weights that the data gives.</param>
/// <param name="NegativeSum">The same of negative tokens.</param>
/// <param name="Mass">Sums of these weights: without any, numbers of tokens.</param>
/// <param name="Tokens">Tokens of the step's sequences, prompts included.</param>
internal readonly record struct StepLosses(double Objective, double PositiveSum, double NegativeSum, TokenMass Mass, long Tokens)
{
    /// <summary>Mean CE of positive tokens, or null without any.</summary>
    public double? PositiveLoss => Mass.Positive == 0 ? null : PositiveSum / Mass.Positive;

    /// <summary>Mean CE of negative tokens, or null without any.</summary>
    public double? NegativeLoss => Mass.Negative == 0 ? null : NegativeSum / Mass.Negative;
}

/// <summary>A loss or gradient is not finite.</summary>
internal sealed class NonFiniteException(string what) : Exception(what);

/// <summary>
/// The gradient of one optimiser step: its examples in micro-batches, with weights that count the whole
/// step. Nothing here changes a weight.
/// </summary>
internal sealed class TrainingStep : IDisposable
{
    private readonly Decoder _decoder;
    private readonly TrainingOptions _options;
    private readonly Ascent _ascent;
    private readonly IStepRegularizer? _regularizer;
    private readonly SequenceObjective? _objective;
    private readonly Decoder? _baseModel; // that the divergence of what must stay is from
    private readonly Misdirection? _misdirection;
    private readonly SharedGradients _gradients;
    private readonly GradientParts _parts;
    private readonly StepShare _share;
    private readonly List<MicroBatchOfStep> _batches = [];
    private List<EncodedExample> _examples = [];
    private List<float[]> _signs = [];
    private List<bool> _isRetained = []; // of each example, whether it must stay
    private List<float[]>? _baseLogProbabilities;
    private AnswerTerms? _answers;
    private bool _measured;
    private double _retained; // tokens that must stay, in explicit unlearning
    private TokenMass _mass;
    private ulong _stepSeed;
    private ulong? _dropoutSeed;
    private double _lambda;

    /// <summary>A step for a model, whose gradients it allocates.</summary>
    /// <param name="options">Method, ascent, compatibility, tokens of a micro-batch, recomputation, seed.</param>
    /// <param name="regularizer">A further term of the objective, or null.</param>
    /// <param name="baseModel">The model before training, where the options need it (<see cref="TrainingOptions.HoldsBase"/>).</param>
    /// <param name="communicator">The ranks that share the step's micro-batches; null for this process alone.</param>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public TrainingStep(
        Decoder decoder, TrainingOptions options, IStepRegularizer? regularizer = null, Decoder? baseModel = null,
        ICommunicator? communicator = null)
    {
        _decoder = decoder;
        _options = options;
        _regularizer = regularizer;

        // The other methods have no negative weights, and no base model's probabilities.
        Ascent ascent = options.ResolveAscent();
        _ascent = options.ForgetsTokens ? ascent : new Ascent { LearningPower = ascent.LearningPower };
        _objective = SequenceObjective.From(options);
        _misdirection = Misdirection.From(options, decoder.Config, baseModel);
        _baseModel = options.KeepsBase ? baseModel : null;
        decoder.Repeats = !options.Compute.NoCudaGraphs;
        _gradients = new SharedGradients(communicator ?? SingleProcess.Instance, decoder, options.Optimizer.GradientType);
        _parts = new GradientParts(decoder, _gradients);
        _share = new StepShare(communicator ?? SingleProcess.Instance);
    }

    /// <summary>Takes up the examples of a step.</summary>
    /// <param name="chosen">Places in <paramref name="set"/>.</param>
    /// <param name="step">Number of the step, from 0; with the seed it fixes the dropout masks.</param>
    public void Begin(TrainingSet set, ReadOnlySpan<int> chosen, int step)
    {
        _examples = [];
        _signs = [];
        _isRetained = [];
        _baseLogProbabilities = set.BaseLogProbabilities is null || _objective != null ? null : [];
        _answers = _objective is null || set.Parts is null ? null : new AnswerTerms(_objective, set, chosen);
        _measured = false;
        _retained = 0;
        foreach (int place in chosen)
        {
            EncodedExample example = set.Examples[place];
            sbyte[] signs = set.Signs[place];
            _examples.Add(example);
            _signs.Add(Array.ConvertAll(signs, sign => (float)sign));
            _baseLogProbabilities?.Add(set.BaseLogProbabilities![place]);
            _isRetained.Add(set.Parts?.IsRetained(place) ?? true);
            if (_isRetained[^1])
                _retained += TokenMass.From(signs, example.Weights ?? []).Positive;
        }

        _stepSeed = StepSeed(_options.Seed, step);
        _dropoutSeed = _decoder.Lora is { Dropout: > 0 } ? _stepSeed : null;
        _batches.Clear();
        _mass = default;
        int most = _share.MostTokens(_options, ExampleLists.Tokens(_examples, 0, _examples.Count));
        foreach (MicroBatch run in BatchBuilder.MicroBatches(_examples, most, set.Apart(_options, chosen.ToArray())))
        {
            MicroBatchOfStep batch = Batch(run);
            _mass += batch.Mass;
            _batches.Add(batch);
        }

        _share.Divide([.. _batches.Select(batch => batch.Tokens.Rows)]);
        (_regularizer as IPairRegularizer)?.BeginStep(_stepSeed, _examples.Count);
    }

    /// <summary>Leaves the gradient of the signed objective in the parameters' gradients.</summary>
    /// <exception cref="NonFiniteException">A loss is not finite.</exception>
    public StepLosses Accumulate(double lambda)
    {
        if (_regularizer is IFeatureRegularizer features)
            BeginRegularizer(features);

        MeasureAnswers();
        _decoder.ZeroGradients();
        _lambda = lambda;
        _misdirection?.BeginStep();
        double objective = _answers?.Value ?? 0;
        double positive = 0;
        double negative = 0;
        long tokens = 0;
        double value = RunAll(batch => Weights(_options.Method.Negatives, batch.Mass, lambda), _regularizer);
        foreach (MicroBatchOfStep batch in _batches)
        {
            SignedWeights weights = Weights(_options.Method.Negatives, batch.Mass, lambda);
            float[] minimised = batch.Divergences.Length > 0 ? batch.Divergences : batch.Losses;
            for (int document = 0; document < batch.Tokens.Documents; document++)
            {
                bool answer = _misdirection != null || _answers?.WeightOf(batch.First + document) != null;
                for (int i = batch.Tokens.HeadOffsets[document]; !answer && i < batch.Tokens.HeadOffsets[document + 1]; i++)
                {
                    objective += (double)weights.For(batch.Signs[i], batch.WeightOf(i)) * minimised[i];
                }
            }

            for (int i = 0; i < batch.Signs.Length; i++)
            {
                double weighted = (double)batch.WeightOf(i) * batch.Losses[i];
                positive += batch.Signs[i] > 0 ? weighted : 0;
                negative += batch.Signs[i] < 0 ? weighted : 0;
            }

            tokens += batch.Tokens.Rows;
        }

        objective += _misdirection is null ? 0 : value;
        RegularizerValue = _regularizer is IPairRegularizer ? value : _regularizer?.Value;
        tokens = _regularizer is IPairRegularizer ? tokens / 2 : tokens;
        return new(objective, positive, negative, _mass, tokens);
    }

    /// <summary>Value of the further term in what <see cref="Accumulate"/> did last; null without one.</summary>
    public double? RegularizerValue { get; private set; }

    /// <summary>Whether the step has tokens of both signs, so that its two parts can be compared.</summary>
    public bool HasParts => _mass.Positive > 0 && _mass.Negative > 0;

    /// <summary>
    /// Before <see cref="Accumulate"/>: computes the negative term's gradient at λ = 1 and keeps it for <see cref="CompareParts"/>.
    /// </summary>
    /// <exception cref="NonFiniteException">A loss is not finite.</exception>
    public void KeepNegativePart()
    {
        // Where negatives are ignored, the direction in which plain ascent would forget them is still worth knowing.
        NegativeTokens negatives = _options.Method.Negatives;
        negatives = negatives == NegativeTokens.Ignored ? NegativeTokens.Forgotten : negatives;
        MeasureAnswers();
        _decoder.ZeroGradients();
        RunAll(batch => Weights(negatives, batch.Mass, 1) with { Positive = 0 }, _regularizer?.Disturbance);
        _parts.KeepNegative();
    }

    /// <summary>After <see cref="KeepNegativePart"/> and <see cref="Accumulate"/>: norms and cosine of the two parts.</summary>
    public GradientPartNorms CompareParts(double lambda) => _parts.Compare(_options.Method.Negatives switch
    {
        NegativeTokens.Learnt => 1,
        NegativeTokens.Ignored => 0,
        _ => lambda,
    });

    /// <summary>Norm of the gradient that <see cref="Accumulate"/> left.</summary>
    /// <exception cref="NonFiniteException">It is not finite.</exception>
    public double GradientNorm()
    {
        double norm = _parts.Norm();
        return double.IsFinite(norm) ? norm : throw new NonFiniteException($"the gradient is not finite{Offender()}");
    }

    /// <summary><see cref="SharedGradients.TakeTimes"/>.</summary>
    public (TimeSpan Taken, TimeSpan Waited)? TakeExchangeTimes() => _gradients.TakeTimes();

    /// <inheritdoc/>
    public void Dispose()
    {
        _parts.Dispose();
        _gradients.Dispose();
    }

    private MicroBatchOfStep Batch(MicroBatch run)
    {
        TokenBatch batch = BatchBuilder.Create(_examples, run, _signs, _baseLogProbabilities);
        return new(
            _regularizer is IPairRegularizer ? BatchBuilder.Twice(batch) : batch, _examples.GetRange(run.First, run.Count), run.First,
            _isRetained[run.First], _baseModel != null && _isRetained[run.First]);
    }

    private static ulong StepSeed(ulong seed, int step)
    {
        (uint low, uint high, _, _) = Philox.Words(seed, (uint)step, 0, 0, RandomDomain.StepSeed);
        return ((ulong)high << 32) | low;
    }

    private SignedWeights Weights(NegativeTokens negatives, TokenMass ofMicroBatch, double lambda) => _options.Compat == Compatibility.Paper
        ? SignedWeights.OfMicroBatch(negatives, ofMicroBatch, lambda, _batches.Count, _options.TokenForgetting.NegativeNorm)
        : OfStep(negatives, lambda);

    private SignedWeights OfStep(NegativeTokens negatives, double lambda) => negatives == NegativeTokens.ForgetSet
        ? SignedWeights.OfSets(_options.ForgetSet.RetainWeight, _retained, lambda, _mass.Negative)
        : SignedWeights.From(negatives, _mass, lambda, _options.TokenForgetting.NegativeNorm);

    // Weights of answers as a whole are those of the model as it is, so once a step is enough.
    private void MeasureAnswers()
    {
        if (!_measured)
            _answers?.Measure(_decoder, _batches.Select(batch => batch.Tokens));

        _measured = true;
    }

    // The regularizer looks at the whole step's features. One micro-batch shows them as it goes through; of several, or where dropout would
    // disturb them, they come from a forward pass before.
    private void BeginRegularizer(IFeatureRegularizer regularizer)
    {
        if (_batches.Count == 1 && _dropoutSeed is null && !_share.IsShared)
            return;

        int width = _decoder.Config.HiddenSize;
        float[][] features = [.. _batches.Select(batch => new float[batch.Tokens.Documents * width])];
        for (int i = 0; i < features.Length; i++)
        {
            if (_share.IsOwn(i))
                _decoder.PooledFeatures(_batches[i].Tokens, features[i]);
        }

        _share.Gather([.. features.Select(f => new[] { f })], value: 0, failure: null);
        regularizer.BeginStep(features.SelectMany(f => f).ToArray(), _examples.Count);
    }

    // This rank's micro-batches; then all losses are here, and the gradients are sums over all. Gives the terms that the passes add up.
    private double RunAll(Func<MicroBatchOfStep, SignedWeights> weights, IRegularizer? regularizer)
    {
        (int, string)? failure = null;
        int passes = 0, last = Enumerable.Range(0, _batches.Count).LastOrDefault(_share.IsOwn, -1);
        for (int i = 0; i < _batches.Count && failure is null; i++)
        {
            MicroBatchOfStep batch = _batches[i];
            if (!_share.IsOwn(i))
            {
                (regularizer as IFeatureRegularizer)?.Skip(batch.Tokens.Documents);
                continue;
            }

            if (i == last)
                _gradients.BeginLast();

            failure = Run(batch, weights(batch), regularizer) is { } what ? (i, what) : null;
            passes++;
        }

        // Where ranks speak to each other in passes, all make as many.
        for (int most = _share.MostOfRank; passes < most; passes++)
        {
            _gradients.Join();
        }

        double own = _misdirection?.Value ?? (_regularizer as IPairRegularizer)?.Value ?? 0;
        _gradients.Sum(); // of a rank that fails, too: the others may have begun
        return _share.Gather([.. _batches.Select(batch => new[] { batch.Losses, batch.Divergences })], own, failure);
    }

    // Says which loss is not finite; null where all are.
    private string? Run(MicroBatchOfStep batch, SignedWeights weights, IRegularizer? regularizer = null)
    {
        TokenBatch tokens = batch.Tokens;
        if (batch.Signs.Length == 0)
        {
            _gradients.Join();
            return null;
        }

        for (int document = 0; document < tokens.Documents; document++)
        {
            float? ofAnswer = _answers?.WeightOf(batch.First + document);
            for (int i = tokens.HeadOffsets[document]; i < tokens.HeadOffsets[document + 1]; i++)
            {
                float weight = batch.WeightOf(i);
                tokens.Weights[i] = ofAnswer is { } all ? weight * all * Math.Abs(batch.Signs[i]) : weights.For(batch.Signs[i], weight);
            }
        }

        _misdirection?.Take(tokens, batch.Retained);
        _gradients.BeginPass(_stepSeed, batch.First);
        _decoder.ForwardBackward(
            tokens, _ascent, _gradients.Sink, batch.Losses, _dropoutSeed, _options.Compute.Recompute, _misdirection ?? regularizer,
            baseModel: batch.Divergences.Length > 0 ? _baseModel : null, divergences: batch.Divergences);
        for (int document = 0; document < tokens.Documents; document++)
        {
            for (int i = tokens.HeadOffsets[document]; i < tokens.HeadOffsets[document + 1]; i++)
            {
                if (!float.IsFinite(batch.Losses[i]))
                    return $"the loss of example {tokens.Examples[document]} is {batch.Losses[i]}";
            }
        }

        return null;
    }

    // Which example's gradient alone is not finite; only when the run ends anyway.
    private string Offender()
    {
        SignedWeights weights = OfStep(_options.Method.Negatives, _lambda);
        for (int i = 0; i < _examples.Count; i++)
        {
            _decoder.ZeroGradients();
            if (Run(Batch(new MicroBatch(i, 1, 0)), weights) is { } loss)
                throw new NonFiniteException(loss);

            if (_gradients.IsDivided)
                _gradients.Sum(); // of what every rank has alike

            if (!double.IsFinite(_parts.Norm()))
                return $": that of example {_examples[i].Index} alone is not";
        }

        return $", though that of each of its {_examples.Count} examples alone is (example {_examples[0].Index} and others)";
    }

    /// <summary>A micro-batch with the signs of its predictions; the weights are written into the batch before each pass.</summary>
    private sealed class MicroBatchOfStep
    {
        private readonly float[] _weights;

        public MicroBatchOfStep(TokenBatch tokens, List<EncodedExample> examples, int first, bool retained, bool diverges)
        {
            Tokens = tokens;
            First = first;
            Retained = retained;
            _weights = examples.TrueForAll(e => e.Weights is null) ? []
                : [.. examples.SelectMany(
                    e => Enumerable.Range(1, e.Length - 1).Where(t => e.Response[t]).Select(t => e.Weights?[t] ?? 1))];
            Signs = Array.ConvertAll(tokens.Weights, sign => (sbyte)sign);
            Losses = new float[Signs.Length];
            Divergences = diverges ? new float[Signs.Length] : [];
            Mass = TokenMass.From(Signs, _weights);
        }

        public TokenBatch Tokens { get; }

        /// <summary>Number of its first example in the step.</summary>
        public int First { get; }

        public sbyte[] Signs { get; }

        /// <summary>Whether all of it must stay, where that passes apart.</summary>
        public bool Retained { get; }

        public float[] Losses { get; }

        /// <summary>From the base model, where it is kept by that; else empty.</summary>
        public float[] Divergences { get; }

        public TokenMass Mass { get; }

        /// <summary>As how many tokens one counts by the data.</summary>
        public float WeightOf(int i) => _weights.Length == 0 ? 1 : _weights[i];
    }
}

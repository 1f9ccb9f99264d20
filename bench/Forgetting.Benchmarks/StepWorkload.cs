using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>A random model and one batch of random tokens, trained by the program's own step and optimiser.</summary>
internal sealed class StepWorkload : IDisposable
{
    private readonly Decoder _decoder;
    private readonly TrainingStep _step;
    private readonly AdamWOptimizer _optimizer;
    private readonly TrainingSet _set;
    private readonly int[] _chosen;
    private readonly TrainingOptions _options;
    private int _done;

    /// <summary>Allocates model, gradients and optimiser.</summary>
    /// <param name="initialize">Draw the weights; for a backend without memory it would be for nothing.</param>
    public StepWorkload(IBackend backend, StepSettings settings, bool initialize = true)
    {
        _options = settings.Options;
        _decoder = new Decoder(settings.Model, backend, settings.Adapter);
        if (initialize)
            _decoder.Initialize(1);

        _step = new TrainingStep(_decoder, _options);
        _optimizer = new AdamWOptimizer(backend, _decoder.TrainableParameters, _options);
        _chosen = [.. Enumerable.Range(0, settings.Batch)];
        _set = TrainingSet.AllPositive(Examples(settings));
    }

    /// <summary>Random tokens; every one but each sequence's first is predicted.</summary>
    public static IReadOnlyList<EncodedExample> Examples(StepSettings settings)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, settings.Batch).Select(index => new EncodedExample
        {
            Index = index,
            Ids = [.. Enumerable.Range(0, settings.Length).Select(_ => random.Next(settings.Vocab))],
            Response = [.. Enumerable.Range(0, settings.Length).Select(j => j > 0)],
        })];
    }

    /// <summary>Forward, backward and AdamW.</summary>
    /// <returns>Mean loss in nats.</returns>
    public double Run()
    {
        _step.Begin(_set, _chosen, _done++);
        StepLosses losses = _step.Accumulate(0);
        _optimizer.Step(_options.Optimizer.LearningRate);
        _decoder.Backend.Synchronize();
        return losses.Objective;
    }

    public void Dispose()
    {
        _optimizer.Dispose();
        _step.Dispose();
        _decoder.Dispose();
    }
}

using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>Examples of random tokens, the second half of each its response.</summary>
/// <param name="Examples">How many.</param>
/// <param name="Shortest">Tokens of the shortest.</param>
/// <param name="Longest">Tokens of the longest.</param>
internal sealed record ScoreSettings(int Examples = 1000, int Shortest = 16, int Longest = 96)
{
    /// <summary>Length of each example; <c>bench/peers/torchsharp</c> takes the same.</summary>
    public IEnumerable<int> Lengths => Enumerable.Range(0, Examples).Select(i => Shortest + (int)(37L * i % (Longest - Shortest + 1)));

    /// <inheritdoc/>
    public override string ToString() => $"score {Examples} of {Shortest}-{Longest}";
}

/// <summary>
/// Two random models and what <c>score</c> does with them: losses of the response tokens under both, influence and partition.
/// </summary>
internal sealed class ScoreWorkload : IDisposable
{
    private readonly Decoder[] _models;
    private readonly IReadOnlyList<EncodedExample> _examples;
    private readonly int _tokens;

    /// <param name="tokens">Tokens of a micro-batch.</param>
    public ScoreWorkload(IBackend backend, StepSettings shape, ScoreSettings settings, int tokens)
    {
        _tokens = tokens;
        _models = [.. new ulong[] { 1, 2 }.Select(seed =>
        {
            var model = new Decoder((shape with { Length = settings.Longest }).Model, backend, training: false);
            model.Initialize(seed);
            return model;
        })];
        var random = new Random(1);
        _examples = [.. settings.Lengths.Select((length, index) => new EncodedExample
        {
            Index = index,
            Ids = [.. Enumerable.Range(0, length).Select(_ => random.Next(shape.Vocab))],
            Response = [.. Enumerable.Range(0, length).Select(j => j >= length / 2)],
        })];
    }

    /// <summary>
    /// Floating-point operations needed: every token through the blocks, those that predict the response through the head, of both models.
    /// </summary>
    public static double Operations(StepSettings shape, ScoreSettings settings) =>
        2 * settings.Lengths.Sum(n => 2 * shape.BlockWeights * n + 2 * shape.HeadWeights * (n - n / 2) + shape.AttentionOperations(n));

    /// <summary>Scores all examples.</summary>
    public Scores Run()
    {
        IReadOnlyList<IReadOnlyList<float[]>> losses = Scorer.Losses(_models, _examples, _tokens, allTokens: false);
        return Scores.Create(_examples, losses[0], losses[1], ScoreKind.Influence, new(PartitionLevel.Token, Scores.DefaultRho));
    }

    public void Dispose()
    {
        foreach (Decoder model in _models)
            model.Dispose();
    }
}

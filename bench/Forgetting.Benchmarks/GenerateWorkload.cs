using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>A random model that continues random prompts of equal length by a fixed number of tokens.</summary>
internal sealed class GenerateWorkload : IDisposable
{
    private readonly Decoder _decoder;
    private readonly Generator _generator;
    private readonly int[][] _prompts;
    private readonly GenerationOptions _options;

    /// <param name="shape">The model, and how many prompts there are.</param>
    /// <param name="prompt">Tokens of each prompt.</param>
    /// <param name="options">How to draw; nothing but the number of new tokens ends a sequence.</param>
    public GenerateWorkload(IBackend backend, StepSettings shape, int prompt, GenerationOptions options)
    {
        _options = options with { StopIds = [] };
        _decoder = new Decoder((shape with { Length = prompt + options.MaxNewTokens }).Model, backend, training: false);
        _decoder.Initialize(1);
        _generator = new Generator(_decoder);
        var random = new Random(1);
        _prompts =
            [.. Enumerable.Range(0, shape.Batch).Select(_ => Enumerable.Range(0, prompt).Select(_ => random.Next(shape.Vocab)).ToArray())];
    }

    /// <summary>Bytes of the weights that a pass multiplies with: all but the positions.</summary>
    public static double WeightBytes(IBackend backend, StepSettings shape) =>
        (shape.BlockWeights + shape.HeadWeights) * backend.StorageType.Size();

    /// <summary>Continues all prompts.</summary>
    public IReadOnlyList<int[]> Run() => _generator.Generate(_prompts, _options);

    public void Dispose() => _decoder.Dispose();
}

using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Training;

namespace Forgetting.Tests.Methods.LearningWithForgetting;

/// <summary>stories260K with questions about fictitious authors (TOFU), and gradients of single examples the plain way.</summary>
internal sealed class Stories : IDisposable
{
    public Stories(string? path = null)
    {
        Model = LoadedModel.Load(path ?? Base, Backend, training: true);
        Decoder.AllocateGradients();
    }

    public static string Base => SharedData.Path("stories260K", "hf");

    public static TrainingOptions Options { get; } = new() { Data = new() { PromptField = "question", CompletionField = "answer" } };

    public CpuBackend Backend { get; } = new();

    public LoadedModel Model { get; }

    public Decoder Decoder => Model.Decoder;

    public IReadOnlyList<EncodedExample> Examples(int count, string file = "forget05.json") =>
        [.. ExampleLoader.Load(SharedData.Path("tofu", file), Model.Tokenizer, Decoder.Config, Options).Take(count)];

    /// <summary>
    /// Gradient of the example's loss, every response token weighted alike, from a batch of one; of the whole data
    /// set's sum where several are given.
    /// </summary>
    public double[][] Gradient(float weight, params EncodedExample[] examples)
    {
        float[][] weights = [.. examples.Select(e => Enumerable.Repeat(weight, e.Length).ToArray())];
        TokenBatch batch = BatchBuilder.Create(examples, new MicroBatch(0, examples.Length, 0), weights);
        Decoder.ZeroGradients();
        Decoder.ForwardBackward(batch, default, new AccumulateSink(Backend), new float[batch.HeadRows.Length]);
        return Download(p => p.Gradient);
    }

    /// <summary>Something of every parameter, in double precision.</summary>
    public double[][] Download(Func<Parameter, Tensor> choose) => [.. Decoder.BaseParameters.Select(parameter =>
    {
        var values = new float[parameter.Shape.Count];
        Backend.Download<float>(choose(parameter), values);
        return Array.ConvertAll(values, v => (double)v);
    })];

    public void Dispose()
    {
        Model.Dispose();
        Backend.Dispose();
    }

    /// <summary>‖found − expected‖∞ / ‖expected‖∞.</summary>
    public static double RelativeError(double[] expected, double[] found) =>
        expected.Zip(found, (e, f) => Math.Abs(e - f)).Max() / expected.Max(Math.Abs);
}

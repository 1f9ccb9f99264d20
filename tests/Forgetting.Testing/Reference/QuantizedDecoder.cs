using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Testing.Reference;

/// <summary>An adapter over a base in NF4, and the same over a base that holds the numbers of that NF4.</summary>
internal static class QuantizedDecoder
{
    private static readonly LoraConfig s_lora = new() { Rank = 3, Alpha = 6 };

    private static readonly ModelConfig s_model = ReferenceConfigs.All["llama"] with { HiddenSize = 72, IntermediateSize = 80 };

    /// <summary>Tokens that the model knows.</summary>
    public static int Vocabulary => s_model.VocabularySize;

    /// <summary>Losses and the adapter's gradients, end to end, of a batch.</summary>
    public static (float[] Losses, float[] Gradients) Run(IBackend backend, TokenBatch batch, bool quantized, bool dora = false)
    {
        LoraConfig lora = s_lora with { Dora = dora };
        using var source = new Decoder(s_model, backend, lora, seed: 5, baseType: DType.NormalFloat4);
        source.Initialize(7);
        using var plain = new Decoder(s_model, backend, lora, seed: 5);
        foreach ((Parameter from, Parameter to) in source.BaseParameters.Zip(plain.BaseParameters))
        {
            if (from.Value.DType != DType.NormalFloat4)
            {
                backend.Copy(from.Value, to.Value);
                continue;
            }

            using DeviceBuffer buffer = backend.Allocate(from.Shape.Count * sizeof(float));
            Tensor exact = buffer.AsTensor(from.Shape, DType.Float32);
            backend.Copy(from.Value, exact);
            backend.Copy(exact, to.Value);
        }

        Decoder decoder = quantized ? source : plain;
        foreach (Parameter b in decoder.AdapterParameters.Where(p => p.Name.Contains("lora_B", StringComparison.Ordinal)))
        {
            b.SetRows(backend, 0, [.. Enumerable.Range(0, (int)b.Shape.Count).Select(i => 0.05f * MathF.Sin(i))]);
        }

        decoder.AllocateGradients();
        var losses = new float[batch.HeadRows.Length];
        decoder.ForwardBackward(batch, default, new AccumulateSink(backend), losses);
        var gradients = new List<float>();
        foreach (Parameter parameter in decoder.TrainableParameters)
        {
            var values = new float[parameter.Shape.Count];
            backend.Download(parameter.Gradient, values.AsSpan());
            gradients.AddRange(values);
        }

        return (losses, [.. gradients]);
    }

    /// <summary>‖a − b‖ / ‖b‖.</summary>
    public static double Distance(float[] a, float[] b) =>
        Math.Sqrt(a.Zip(b, (x, y) => Math.Pow((double)x - y, 2)).Sum() / b.Sum(y => (double)y * y));
}

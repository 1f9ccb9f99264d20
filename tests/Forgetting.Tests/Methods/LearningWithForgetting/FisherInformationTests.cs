using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods.LearningWithForgetting;

public class FisherInformationTests
{
    [SharedDataFact]
    public void Empirical_information_is_the_mean_of_squared_gradients_of_single_examples()
    {
        using var stories = new Stories();
        EncodedExample[] examples = [.. stories.Examples(8)];
        double[][] expected = stories.Download(p => p.Value);
        Array.ForEach(expected, Array.Clear);
        foreach (EncodedExample example in examples)
        {
            double[][] gradient = stories.Gradient(1, example);
            for (int p = 0; p < expected.Length; p++)
            {
                for (int i = 0; i < expected[p].Length; i++)
                {
                    expected[p][i] += gradient[p][i] * gradient[p][i] / examples.Length;
                }
            }
        }

        double[][] batchMean = stories.Gradient(1f / examples.Length, examples);
        foreach (int maxTokens in new[] { 100_000, 400 })
        {
            FisherInformation.Compute(stories.Decoder, examples, FisherKind.Empirical, maxTokens, seed: 1);
            double[][] found = stories.Download(p => p.Gradient);
            for (int p = 0; p < expected.Length; p++)
            {
                string name = stories.Decoder.BaseParameters[p].Name;
                double error = Stories.RelativeError(expected[p], found[p]);
                Assert.True(error <= 1e-4, $"{name}: {error} of the largest element");

                // The square of the batch's mean gradient, at any scale that one might give it, is a hundred tolerances away.
                Assert.True(Stories.RelativeError(expected[p], [.. batchMean[p].Select(g => g * g)]) > 1e-2, name);
                Assert.True(Stories.RelativeError(expected[p], [.. batchMean[p].Select(g => g * g * examples.Length)]) > 1e-2, name);
            }
        }
    }

    // Softmax regression: no blocks, so that logits = W·h with h the normalised embedding of the last token. With targets drawn
    // independently from p, E[(Σ_t (p_t − e_t) h_t)²] has no cross terms and E[(p − e)²] = p(1 − p): F[v, c] = mean over
    // examples of Σ_t p_tv (1 − p_tv) h_tc².
    [Fact]
    public void True_information_converges_to_the_closed_form_of_softmax_regression()
    {
        const int vocabulary = 7, width = 6;
        var config = new ModelConfig
        {
            Family = ModelFamilies.Llama, VocabularySize = vocabulary, HiddenSize = width, IntermediateSize = 4, Layers = 0, Heads = 1,
            KeyValueHeads = 1, HeadSize = width, ContextLength = 8, AttentionScale = 1,
        };
        using var backend = new CpuBackend();
        using var decoder = new Decoder(config, backend);
        var random = new Random(4);
        Dictionary<string, double[]> values = [];
        foreach (Parameter parameter in decoder.BaseParameters)
        {
            float[] drawn = [.. Enumerable.Range(0, (int)parameter.Shape.Count).Select(_ => (float)(2 * random.NextDouble() - 1))];
            parameter.SetRows(backend, 0, drawn);
            values[parameter.Name] = Array.ConvertAll(drawn, v => (double)v);
        }

        int[][] texts = [[1, 2, 3, 4], [5, 0], [6, 6, 2]];
        double[] expected = ClosedForm(values, texts, vocabulary, width, config.NormEpsilon);
        double few = Error(60), many = Error(6000);
        Assert.True(many < 0.03, $"{few} → {many}");
        Assert.True(many < few / 3, $"{few} → {many}: expected the error to fall as 1/√n");

        // The data's own targets give something else.
        Assert.True(Error(1, FisherKind.Empirical) > 0.3);

        double Error(int repetitions, FisherKind kind = FisherKind.True)
        {
            EncodedExample[] examples = [.. Enumerable.Range(0, texts.Length * repetitions).Select(i => new EncodedExample
            {
                Index = i, Ids = texts[i % texts.Length], Response = [.. texts[i % texts.Length].Select((_, t) => t > 0)],
            })];
            FisherInformation.Compute(decoder, examples, kind, maxTokens: 500, seed: 9);
            Parameter head = decoder.BaseParameters.Single(p => p.Name == "lm_head.weight");
            var found = new float[head.Shape.Count];
            backend.Download<float>(head.Gradient, found);
            return Stories.RelativeError(expected, Array.ConvertAll(found, v => (double)v));
        }
    }

    [Fact]
    public void No_examples_are_refused()
    {
        using var backend = new CpuBackend();
        using var decoder = new Decoder(
            new ModelConfig
            {
                Family = ModelFamilies.Llama,
                VocabularySize = 4,
                HiddenSize = 4,
                IntermediateSize = 4,
                Layers = 0,
                Heads = 1,
                KeyValueHeads = 1,
                HeadSize = 4,
                ContextLength = 4,
                AttentionScale = 1,
            },
            backend);
        Assert.Contains(
            "of no examples", Assert.Throws<UserException>(() => FisherInformation.Compute(decoder, [], FisherKind.True, 10, 1)).Message,
            StringComparison.Ordinal);
    }

    private static double[] ClosedForm(Dictionary<string, double[]> values, int[][] texts, int vocabulary, int width, double epsilon)
    {
        double[] embedding = values["model.embed_tokens.weight"], gain = values["model.norm.weight"], head = values["lm_head.weight"];
        var information = new double[vocabulary * width];
        foreach (int id in texts.SelectMany(text => text.SkipLast(1)))
        {
            double[] row = embedding[(id * width)..((id + 1) * width)];
            double rms = Math.Sqrt(row.Sum(x => x * x) / width + epsilon);
            double[] h = [.. row.Select((x, c) => x / rms * gain[c])];
            double[] exponentials =
                [.. Enumerable.Range(0, vocabulary).Select(v => Math.Exp(Enumerable.Range(0, width).Sum(c => head[v * width + c] * h[c])))];
            double sum = exponentials.Sum();
            for (int i = 0; i < information.Length; i++)
            {
                double p = exponentials[i / width] / sum;
                information[i] += p * (1 - p) * h[i % width] * h[i % width] / texts.Length;
            }
        }

        return information;
    }
}

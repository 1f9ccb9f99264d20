using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods.LearningWithForgetting;

public sealed class ForgettingConfidenceTests : IDisposable
{
    // Large enough that all three terms matter.
    private const double Alpha = 0.02;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SharedDataFact]
    public void Confidence_is_its_definition_and_does_not_depend_on_batches_or_order()
    {
        string fisher = _folder["fisher.safetensors"];
        (double[][] learned, double[][] information) = Learn(fisher);
        using var stories = new Stories();
        using var checkpoint = Checkpoint.Open(_folder["learned"]);
        using var confidence = new ForgettingConfidence(stories.Decoder, stories.Model.Source, checkpoint, fisher);
        EncodedExample[] samples = [.. stories.Examples(10, "retain50.json")];
        IReadOnlyList<ConfidenceRecord> records = confidence.Compute(samples, Alpha, 100_000);

        double[][] start = stories.Download(p => p.Value);
        for (int i = 0; i < samples.Length; i++)
        {
            double[][] gradient = stories.Gradient(1f / samples[i].ResponseCount, samples[i]);
            double whole = 0, linear = 0, quadratic = 0;
            for (int p = 0; p < start.Length; p++)
            {
                for (int e = 0; e < start[p].Length; e++)
                {
                    double f = information[p][e], g = gradient[p][e], difference = start[p][e] - (Alpha * g) - learned[p][e];
                    whole += 0.5 * f * difference * difference;
                    linear += Alpha * f * (learned[p][e] - start[p][e]) * g;
                    quadratic += 0.5 * Alpha * Alpha * f * g * g;
                }
            }

            ConfidenceRecord record = records[i];
            Assert.Equal(samples[i].Index, record.Index);
            Assert.Equal(1, record.Confidence / whole, 1e-4);
            Assert.Equal(1, record.Linear / linear, 1e-4);
            Assert.Equal(1, record.Quadratic / quadratic, 1e-4);
            Assert.Equal(record.Confidence, record.Constant + record.Linear + record.Quadratic, 1e-12);

            // Without any one of the terms the first of these would fail.
            Assert.All(
                new[] { record.Constant, record.Linear, record.Quadratic },
                term => Assert.True(Math.Abs(term) > 1e-3 * whole, $"{record}"));
        }

        int[] ranking = Ranking(records);
        foreach (int maxTokens in new[] { 1, 500 })
        {
            EncodedExample[] reversed = [.. samples.Reverse()];
            IReadOnlyList<ConfidenceRecord> again = confidence.Compute(reversed, Alpha, maxTokens);
            Assert.Equal(reversed.Select(s => s.Index), again.Select(r => r.Index));
            Assert.Equal(ranking, Ranking(again));
            Assert.All(again.Reverse().Zip(records), pair => Assert.Equal(1, pair.First.Confidence / pair.Second.Confidence, 1e-5));
        }
    }

    [SharedDataFact]
    public void Information_of_another_model_is_refused()
    {
        string fisher = _folder["fisher.safetensors"];
        using var stories = new Stories();
        using var other = new Decoder(stories.Decoder.Config with { Layers = 4 }, stories.Backend);
        other.Initialize(1);
        FisherInformation.Compute(other, stories.Examples(1), FisherKind.Empirical, 1000, 1);
        FisherFile.Write(fisher, other, 1, FisherKind.Empirical);
        var error = Assert.Throws<UserException>(
            () => new ForgettingConfidence(stories.Decoder, stories.Model.Source, stories.Model.Source, fisher));
        Assert.Equal(
            $"{fisher}: no tensor \"model.layers.4.input_layernorm.weight\": expected the Fisher information of this model's parameters",
            error.Message);
    }

    // θ_L: some plain gradient steps on the learning data.
    private (double[][] Learned, double[][] Information) Learn(string fisher)
    {
        using var stories = new Stories();
        EncodedExample[] examples = [.. stories.Examples(12)];
        for (int step = 0; step < 5; step++)
        {
            stories.Gradient(1f / examples.Sum(e => e.ResponseCount), examples);
            foreach (Parameter parameter in stories.Decoder.BaseParameters)
            {
                stories.Backend.Axpy(-0.05f, parameter.Gradient, parameter.Value);
            }
        }

        CheckpointWriter.Write(_folder["learned"], stories.Model.Source, stories.Decoder.BaseParameters, stories.Backend);
        FisherInformation.Compute(stories.Decoder, examples, FisherKind.Empirical, 1000, seed: 1);
        FisherFile.Write(fisher, stories.Decoder, examples.Length, FisherKind.Empirical);
        return (stories.Download(p => p.Value), stories.Download(p => p.Gradient));
    }

    private static int[] Ranking(IReadOnlyList<ConfidenceRecord> records) =>
        [.. records.OrderByDescending(r => r.Confidence).Select(r => r.Index)];
}

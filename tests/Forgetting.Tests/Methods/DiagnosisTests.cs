using Forgetting.Methods;
using Xunit;

namespace Forgetting.Tests.Methods;

/// <summary>What is said of negative tokens before training.</summary>
public class DiagnosisTests
{
    // Probabilities of four negative tokens under the base and under the reference model; the fifth token is learnt.
    [Theory]
    [InlineData(new[] { 0.9, 0.8, 0.6, 0.4 }, new[] { 0.1, 0.2, 0.95, 0.1 }, 0.25, 0, 0.5, "many are believed")]
    [InlineData(new[] { 0.9, 0.8, 0.6, 0.4 }, new[] { 0.95, 0.95, 0.1, 0.1 }, 0.5, 0, 0.25, "most are known")]
    [InlineData(new[] { 0.001, 0.009, 0.6, 0.4 }, new[] { 0.1, 0.1, 0.1, 0.1 }, 0, 0.5, 0.25, "most were never plausible")]
    [InlineData(new[] { 0.3, 0.02, 0.6, 0.4 }, new[] { 0.1, 0.1, 0.1, 0.1 }, 0, 0, 0.25, "most are neither")]
    [InlineData(new[] { 0.51, 0.49, 0.02, 0.4 }, new[] { 0.1, 0.1, 0.1, 0.1 }, 0, 0, 0.25, "most are neither")]
    public void Negative_tokens_are_known_never_believed_believed_or_none_of_these(
        double[] baseProbability, double[] referenceProbability, double known, double implausible, double believed, string advice)
    {
        float[] Losses(double[] probabilities) => [.. probabilities.Append(0.99).Select(p => (float)-Math.Log(p))];
        Diagnosis found = Diagnosis.From([[-1, -1, -1, -1, 1]], [Losses(baseProbability)], [Losses(referenceProbability)])!;
        Assert.Equal((4L, known, implausible, believed), (found.Negatives, found.Known, found.Implausible, found.Believed));
        Assert.Equal(baseProbability.Average(), found.BaseProbability, 1e-6);
        Assert.Equal(referenceProbability.Average(), found.ReferenceProbability, 1e-6);
        Assert.StartsWith(advice, found.Advice, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_negative_tokens_nothing_is_said() => Assert.Null(Diagnosis.From([[1, 0]], [[1, 1]], [[1, 1]]));
}

using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Evaluation;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>How varied texts are.</summary>
public class DiversityTests
{
    [Fact]
    public void Distinct_is_the_share_of_different_n_grams()
    {
        // a b a, a c: words a b c of 5; pairs ab ba ac of 3.
        Assert.Equal(0.6, Diversity.Distinct(["a b a", " a  c\n"], 1), 1e-12);
        Assert.Equal(1, Diversity.Distinct(["a b a", "a c"], 2));
        Assert.Equal(0.5, Diversity.Distinct(["a b", "a b"], 2));
        Assert.True(double.IsNaN(Diversity.Distinct(["a"], 2)));
    }

    [Fact]
    public void Self_bleu_is_the_mean_bleu_against_the_others()
    {
        // "a b c" and "a b d": 2 of 3 words and 1 of 2 pairs, √(1/3); "x": no word of the others.
        Assert.Equal(2 * Math.Sqrt(1 / 3.0) / 3, Diversity.SelfBleu(["a b c", "a b d", "x"], 2), 1e-12);

        // With triples, of which none is in common: 0.1 of 1.
        Assert.Equal(2 * Math.Cbrt(0.1 / 3) / 3, Diversity.SelfBleu(["a b c", "a b d", "x"], 3), 1e-12);
        Assert.Equal(1, Diversity.SelfBleu(["it is so.", "it is so."]), 1e-12);
        Assert.Equal(0, Diversity.SelfBleu(["", "a"]));
    }

    [Fact]
    public void Bleu_counts_a_gram_as_often_as_one_reference_has_it_and_takes_the_nearest_length()
    {
        // "a a a": at most two a in one reference: 2 of 3. Lengths 2 and 4 are as near; the shorter counts,
        // so that nothing is lost for brevity.
        Assert.Equal(2 / 3.0, Bleu.Sentence(["a", "a", "a"], [["a", "a"], ["b", "a", "b", "b"]], 1), 1e-12);
        Assert.Equal(Math.Exp(1 - (4 / 3.0)), Bleu.Sentence(["a", "b", "b"], [["b", "a", "b", "b"], ["a", "b", "b", "c"]], 1), 1e-12);
    }

    [SharedDataFact]
    public void Answers_are_drawn_for_each_prompt_and_do_not_depend_on_the_batch()
    {
        using var folder = new TemporaryFolder();
        string file = folder.Write("stories.jsonl", "{\"prompt\": \"Once upon a time\"}\n{\"prompt\": \"The dog\"}\n");
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), backend);
        TaskResult Run(int batchTokens, ulong seed) =>
            new Evaluator(model, new EvaluationOptions { DataFolder = file, BatchTokens = batchTokens, Seed = seed }).Run(
                new TaskLibrary(), "diversity");

        TaskResult result = Run(4096, 1);
        Assert.All(result.Samples, sample =>
        {
            string[] answers = [.. sample.Responses.Cast<string>()];
            Assert.Equal(8, answers.Distinct().Count());
            Assert.Equal(
                [Diversity.Distinct(answers, 1), Diversity.Distinct(answers, 2), Diversity.SelfBleu(answers)],
                sample.Scores.Select(score => score.Score));
        });
        Assert.Equal(["distinct_1", "distinct_2", "self_bleu"], result.Metrics.Select(metric => metric.Name));
        Assert.Equal(result.Metrics, Run(7, 1).Metrics);
        Assert.NotEqual(result.Metrics, Run(4096, 2).Metrics);
    }
}

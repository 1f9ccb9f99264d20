using System.Text.Json;
using Forgetting.Evaluation;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Xunit;

namespace Forgetting.Tests.Evaluation;

[Collection(CommandCollection.Name)]
public sealed class MembershipInferenceTests
{
    // Over all pairs, by the definition.
    [Theory]
    [InlineData(1, 1, 5)]
    [InlineData(7, 4, 5)]
    [InlineData(30, 41, 6)]
    public void Auc_is_the_share_of_pairs_in_order(int learnt, int never, int values)
    {
        var random = new Random(learnt);
        double[] Random(int count) => [.. Enumerable.Range(0, count).Select(_ => (double)random.Next(values))];
        double[] members = Random(learnt), others = Random(never);
        double pairs = members.Sum(m => others.Sum(o => m < o ? 1 : m == o ? 0.5 : 0));
        Assert.Equal(pairs / (learnt * never), MembershipInference.Auc(members, others), 1e-12);
        Assert.Equal(1, MembershipInference.Auc(members, others) + MembershipInference.Auc(others, members), 1e-12);
    }

    [Fact]
    public void Scores_are_as_defined()
    {
        // A fifth of six tokens, rounded up, is two.
        var answer = new ScoredAnswer([1, 4, 0, 2, 5, 0], new string('a', 1000));
        Assert.Equal((2, 4.5), (MembershipInference.Loss(answer), MembershipInference.MinK(answer)));
        Assert.Equal(2, MembershipInference.MinK(answer, 1));

        // What repeats is packed, what does not is not: a header of two bytes, a checksum of four, and some bits.
        Assert.InRange(MembershipInference.ZlibRatio(answer), 2.0 / 30, 2.0 / 10);
        var random = new Random(1);
        string noise = new([.. Enumerable.Range(0, 1000).Select(_ => (char)random.Next(32, 127))]);
        Assert.InRange(MembershipInference.ZlibRatio(answer with { Text = noise }), 2.0 / 1000, 2.0 / 800);
    }

    [SharedDataFact]
    public void What_the_model_learnt_is_told_from_what_it_did_not()
    {
        using var folder = new TemporaryFolder();
        string[] lines = [.. File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(12)
            .Select(l => JsonDocument.Parse(l).RootElement)
            .Select(l => new { prompt = l.GetProperty("question").GetString(), completion = l.GetProperty("answer").GetString() })
            .Select(pair => JsonSerializer.Serialize(pair))];
        string learnt = folder.Write("learnt.jsonl", string.Join('\n', lines[..6]));
        string never = folder.Write("never.jsonl", string.Join('\n', lines[6..]));
        CommandResult tuned = CommandResult.Of(
            "tune", "--model", SharedData.Path("stories260K", "hf"), "--data", learnt, "--out", folder["run"], "--method", "full",
            "--lora-rank", "0", "--steps", "20", "--learning-rate", "0.003");
        Assert.True(tuned.ExitCode == 0, tuned.Error);
        foreach (string score in new[] { "loss", "min_k", "zlib" })
        {
            Assert.True(Auc(folder["run", "model"], score) >= 0.9, score);
        }

        Assert.True(Auc(SharedData.Path("stories260K", "hf"), "loss") < 0.9);
        CommandResult missing = CommandResult.Of(
            "membership", "--model", folder["run", "model"], "--data", learnt, "--holdout-data", folder["none.jsonl"]);
        Assert.Equal(2, missing.ExitCode);
        Assert.Contains("none.jsonl", missing.Error, StringComparison.Ordinal);

        double Auc(string model, string score)
        {
            CommandResult result = CommandResult.Of("membership", "--model", model, "--data", learnt, "--holdout-data", never, "--json");
            Assert.True(result.ExitCode == 0, result.Error);
            return JsonDocument.Parse(result.Output).RootElement.GetProperty(score).GetProperty("auc").GetDouble();
        }
    }
}

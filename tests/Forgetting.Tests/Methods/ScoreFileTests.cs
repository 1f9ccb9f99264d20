using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Operations.Reference;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

public sealed class ScoreFileTests : IDisposable
{
    private const string First =
        """{"index":3,"ids":[5,6,7],"response":[0,1,1],"base_loss":[0,2.5,1],"reference_loss":[0,1,1.5],"influence":[0,1.5,-0.5],"sign":"""
            + """[0,1,-1]}""";
    private const string Second =
        """{"index":8,"ids":[5,9],"response":[0,1],"base_loss":[0,1],"reference_loss":[0,0.25],"influence":[0,0.75],"sign":[0,1]}""";

    private static readonly EncodedExample[] s_examples =
    [
        new() { Index = 3, Ids = [5, 6, 7], Response = [false, true, true] },
        new() { Index = 8, Ids = [5, 9], Response = [false, true] },
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Scores_are_written_in_the_documented_form()
    {
        Scores scores =
            Scores.Create(
                s_examples, [[0, 2.5f, 1], [0, 1]], [[0, 1, 1.5f], [0, 0.25f]], ScoreKind.Influence, new(PartitionLevel.Token, 0.7));
        ScoreFile.Write(_folder["scores.jsonl"], s_examples, scores);
        Assert.Equal($"{First}\n{Second}\n", File.ReadAllText(_folder["scores.jsonl"]));
    }

    [Fact]
    public void Losses_are_written_in_the_documented_form()
    {
        LossFile.Write(_folder["loss.jsonl"], s_examples, [[0, 2.5f, 0.1f], [0, 1]]);
        Assert.Equal(
            """{"index":3,"ids":[5,6,7],"response":[0,1,1],"loss":[0,2.5,0.1]}""" + "\n"
                + """{"index":8,"ids":[5,9],"response":[0,1],"loss":[0,1]}""" + "\n",
            File.ReadAllText(_folder["loss.jsonl"]));
        Assert.Equal(0.1f, LossFile.Read(_folder["loss.jsonl"])[0].Loss[2]);
    }

    [Fact]
    public void Signs_in_the_file_stand_unless_a_share_is_asked_for()
    {
        // The file may be in any order and its signs may be anyone's.
        string path = _folder.Write(
            "scores.jsonl", Second.Replace("\"sign\":[0,1]", "\"sign\":[0,-1]", StringComparison.Ordinal) + "\n\n" + First + "\n");
        Scores scores = ScoreFile.Read(path, s_examples, anew: null);
        Assert.Equal(new sbyte[] { 0, 1, -1 }, scores.Partition.Signs[0]);
        Assert.Equal(new sbyte[] { 0, -1 }, scores.Partition.Signs[1]);
        Assert.Equal(1.5, scores.Partition.Cut);
        Assert.Equal([0, 2.5f, 1], scores.BaseLoss[0]);

        scores = ScoreFile.Read(path, s_examples, (ScoreKind.Influence, new(PartitionLevel.Token, 1)));
        Assert.Equal(new TokenCounts(3, 0), scores.Partition.Counts);
    }

    // b: 2.5, 1 | 1, r: 1, 1.5 | 0.25, so 0.9·b − r is 1.25, −0.6 | 0.65.
    [Theory]
    [InlineData(ScoreKind.Influence, new[] { 0, 1.5f, -0.5f }, new[] { 0, 0.75f })]
    [InlineData(ScoreKind.Reference, new[] { 0, -1, -1.5f }, new[] { 0, -0.25f })]
    [InlineData(ScoreKind.Blend, new[] { 0, 1.25f, -0.6f }, new[] { 0, 0.65f })]
    public void What_is_ranked_is_kept_beside_the_influence_and_ignored_tokens_have_sign_0(ScoreKind kind, float[] first, float[] second)
    {
        Scores written =
            Scores.Create(s_examples, [[0, 2.5f, 1], [0, 1]], [[0, 1, 1.5f], [0, 0.25f]], kind, new(PartitionLevel.Token, 0.34, 0.34));
        ScoreFile.Write(_folder["scores.jsonl"], s_examples, written);
        Scores read = ScoreFile.Read(_folder["scores.jsonl"], s_examples, anew: null);
        Assert.Equal([0, 1.5f, -0.5f], read.Influence[0]);
        Assert.All(first.Zip(read.Score[0]), pair => Assert.Equal(pair.First, pair.Second, 1e-6f));
        Assert.All(second.Zip(read.Score[1]), pair => Assert.Equal(pair.First, pair.Second, 1e-6f));
        Assert.Equal(new TokenCounts(1, 1, 1), read.Partition.Counts);
        Assert.Equal(written.Partition.Signs, read.Partition.Signs);
        Assert.Equal((written.Partition.Cut, written.Partition.ForgetCut), (read.Partition.Cut, read.Partition.ForgetCut));
    }

    // The reference finds two tokens unlikely (losses 6 and 7 among 0.1). Base probabilities e^−8 and e^−9: neither was ever plausible;
    // e^−0.1 and e^−9: one was believed.
    [Theory]
    [InlineData(8, ScoreKind.Reference)]
    [InlineData(0.1f, ScoreKind.Influence)]
    public void The_score_is_chosen_by_whether_the_base_believed_what_the_reference_finds_unlikely(float baseLoss, ScoreKind expected)
    {
        EncodedExample[] example = [new() { Index = 0, Ids = [1, 2, 3, 4, 5, 6], Response = [false, true, true, true, true, true] }];
        Scores scores =
            Scores.Create(
                example, [[0, 1, baseLoss, 2, 9, 1]], [[0, 0.1f, 6, 0.1f, 7, 0.1f]], ScoreKind.Auto, new(PartitionLevel.Token, 0.6));
        Assert.Equal(expected, scores.Kind);
        Assert.Equal(
            expected == ScoreKind.Reference ? new sbyte[] { 0, 1, -1, 1, -1, 1 } : [0, 1, -1, 1, 1, -1], scores.Partition.Signs[0]);
        Assert.Equal(ScoreKind.Influence, new TrainingOptions { Compat = Compatibility.Paper }.ResolveScore());
    }

    [Theory]
    [InlineData("\"ids\":[5,9]", "\"ids\":[5,8]", "record 2: ids differ from those of example 8")]
    [InlineData("\"response\":[0,1],", "\"response\":[1,1],", "record 2: response differs from that of example 8")]
    [InlineData("\"influence\":[0,0.75]", "\"influence\":[0]", "record 2: influence has 1 values, expected 2")]
    [InlineData("\"sign\":[0,1]", "\"sign\":[0,2]", "record 2: sign of token 1 is 2, expected 1, 0 or -1")]
    [InlineData("\"sign\":[0,1]", "\"sign\":[1,1]", "record 2: sign of token 0 is 1, expected 0")]
    [InlineData("\"index\":8", "\"index\":3", "record 2: index 3 is there a second time")]
    [InlineData("\"index\":8", "\"index\":4", "record 2: index 4 is no example of the training set")]
    [InlineData("\"sign\":[0,1]", "\"signs\":[0,1]", "line 2: JSON deserialization for type")]
    [InlineData("[0,0.75]", "[0,NaN]", "line 2: 'N' is an invalid start of a value")]
    public void A_file_that_does_not_fit_the_data_is_refused(string found, string replaced, string expected)
    {
        string path = _folder.Write("scores.jsonl", First + "\n" + Second.Replace(found, replaced, StringComparison.Ordinal) + "\n");
        var error = Assert.Throws<UserException>(() => ScoreFile.Read(path, s_examples, anew: null));
        Assert.StartsWith($"{path}: {expected}", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void An_example_without_a_line_is_named()
    {
        string path = _folder.Write("scores.jsonl", First + "\n");
        Assert.Equal(
            $"{path}: has no line for example 8 of the training set",
            Assert.Throws<UserException>(() => ScoreFile.Read(path, s_examples, anew: null)).Message);
    }

    [Fact]
    public void The_reference_gets_a_share_of_its_own_in_the_order_of_the_data()
    {
        EncodedExample[] examples = [.. Enumerable.Range(0, 60).Select(i => s_examples[0] with { Index = i })];
        (IReadOnlyList<EncodedExample> reference, IReadOnlyList<EncodedExample> training) =
            ReferenceModel.Split(examples, ReferenceModel.DefaultFraction, 42);
        Assert.Equal((10, 50), (reference.Count, training.Count));
        Assert.Equal(Enumerable.Range(0, 60), reference.Concat(training).Select(e => e.Index).Order());
        Assert.Equal(training.Select(e => e.Index).Order(), training.Select(e => e.Index));
        Assert.NotEqual(reference.Select(e => e.Index), ReferenceModel.Split(examples, ReferenceModel.DefaultFraction, 43).Reference
            .Select(e => e.Index));
        Assert.Throws<UserException>(() => ReferenceModel.Split(s_examples, 0.1, 42));
    }
}

using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Tests.Training;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Data;

/// <summary>Examples in a file are the examples in memory, and what is made of them is the same.</summary>
public class ExampleListTests
{
    [Fact]
    public void Examples_come_back_as_they_were()
    {
        using TemporaryFolder folder = new();
        EncodedExample[] examples = Many();
        IReadOnlyList<EncodedExample> stored = InFile(examples, folder), kept = ExampleLists.Collect(examples, folder.Path);
        Assert.IsNotAssignableFrom<ILazyExamples>(kept);
        Assert.Equal(
            ExampleTraits.Signs | ExampleTraits.Source | ExampleTraits.Rejected | ExampleTraits.Conversation,
            Assert.IsAssignableFrom<ILazyExamples>(stored).Traits);
        Assert.Equal(examples.Length, stored.Count);
        foreach (int i in Enumerable.Range(0, examples.Length).OrderBy(i => (i * 7919) % examples.Length))
        {
            AssertSame(examples[i], stored[i]);
            Assert.Equal(examples[i].Length, ExampleLists.LengthAt(stored, i));
        }

        // Nothing is left beside the run, also while it goes on.
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Parts_are_the_same_parts()
    {
        using TemporaryFolder folder = new();
        EncodedExample[] examples = Many();
        IReadOnlyList<EncodedExample> stored = InFile(examples, folder);
        AssertAll(ExampleLoader.ToLearn(examples), ExampleLoader.ToLearn(stored));
        AssertAll(HeldOutLoss.Split(examples, 0.3, 5).Held, HeldOutLoss.Split(stored, 0.3, 5).Held);
        AssertAll(
            ExampleLoader.ToLearn(HeldOutLoss.Split(examples, 0.3, 5).Training),
            ExampleLoader.ToLearn(HeldOutLoss.Split(stored, 0.3, 5).Training));
        Assert.Equal(
            TrainingCheckpoint.Fingerprint(TrainingSet.AsGiven(examples)), TrainingCheckpoint.Fingerprint(TrainingSet.AsGiven(stored)));
        Assert.Equal("2 of the 2 held-out examples are trained on too", HeldOutLoss.Leak([examples[0], examples[3]], stored));
        Assert.Null(HeldOutLoss.Leak([], stored));
    }

    [Fact]
    public void Training_and_scoring_do_not_know_the_difference()
    {
        using TemporaryFolder folder = new();
        EncodedExample[] examples = [.. TinyRun.Examples(12).Examples];
        IReadOnlyList<EncodedExample> stored = InFile(examples, folder);
        using TinyRun first = new(TinyRun.Full), second = new(TinyRun.Full);
        IReadOnlyList<float[]> losses = Scorer.Losses(first.Decoder, examples, 30, allTokens: false);
        Assert.Equal(losses, Scorer.Losses(second.Decoder, stored, 30, allTokens: false));
        new Trainer(first.Decoder, TrainingSet.AllPositive(examples), first.Options, first.Folder).Run();
        new Trainer(second.Decoder, TrainingSet.AllPositive(stored), second.Options, second.Folder).Run();
        Assert.Equal(first.Weights(), second.Weights());
        Assert.Equal(Fullest(examples), Fullest(stored));

        IEnumerable<IEnumerable<int>> Fullest(IReadOnlyList<EncodedExample> all)
        {
            TrainingSet set = TrainingSet.AllPositive(all);
            return FullestStep.MicroBatches(set, null, DataOrder.From(set, first.Options), 6, first.Options)
                .Select(b => b.Select(e => e.Index));
        }
    }

    [Fact]
    public void A_folder_that_is_not_there_yet_leaves_its_place_to_the_one_above()
    {
        using TemporaryFolder folder = new();
        Assert.IsAssignableFrom<ILazyExamples>(ExampleLists.Collect(Many(), folder["not", "yet"], most: 1));
        Assert.False(Directory.Exists(folder["not"]));
        string file = folder.Write("file", "");
        UserException error = Assert.Throws<UserException>(() => new ExampleFile(Path.Combine(file, "x")));
        Assert.Contains("cannot hold the encoded examples", error.Message, StringComparison.Ordinal);
    }

    private static IReadOnlyList<EncodedExample> InFile(EncodedExample[] examples, TemporaryFolder folder) =>
        Assert.IsAssignableFrom<ILazyExamples>(ExampleLists.Collect(examples, folder.Path, most: 40));

    private static void AssertAll(IReadOnlyList<EncodedExample> expected, IReadOnlyList<EncodedExample> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        Assert.All(expected.Zip(actual), pair => AssertSame(pair.First, pair.Second));
        Assert.All(expected.Select((e, i) => (e, i)), pair => AssertSame(pair.e, actual[pair.i]));
    }

    private static void AssertSame(EncodedExample expected, EncodedExample actual)
    {
        Assert.Equal(expected.Ids, actual.Ids);
        Assert.Equal(expected.Response, actual.Response);
        Assert.Equal(expected.Given, actual.Given);
        Assert.Equal(expected.Weights, actual.Weights);
        Assert.Equal((expected.Index, expected.Source), (actual.Index, actual.Source));
        Assert.Equal((expected.Rejected, expected.Conversation), (actual.Rejected, actual.Conversation));
    }

    // 300 examples of 2 to 12 tokens, every combination of what one may have among them.
    private static EncodedExample[] Many()
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, 300).Select(i =>
        {
            int n = random.Next(2, 13);
            bool[] response = [.. Enumerable.Range(0, n).Select(t => t > 0 && (t == n - 1 || random.Next(2) == 0))];
            return new EncodedExample
            {
                Index = i,
                Ids = [.. response.Select(_ => random.Next(-5, 200_000))],
                Response = response,
                Given = i % 3 == 0 ? null : [.. response.Select(r => (sbyte)(r ? random.Next(-1, 2) : 0))],
                Weights = i % 5 == 0 ? [.. response.Select(_ => random.NextSingle())] : null,
                Source = i % 4 == 0 ? i % 7 : null,
                Rejected = i % 6 == 1,
                Conversation = i % 7 == 2,
            };
        })];
    }
}

using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

/// <summary>Several data files with weights.</summary>
public class MixtureTests
{
    [Theory]
    [InlineData(10, new[] { 0.7, 0.3 }, new[] { 7, 3 })]
    [InlineData(10, new[] { 2.0, 1, 1 }, new[] { 5, 3, 2 })] // 5, 2.5, 2.5: the first of equal remainders
    [InlineData(7, new[] { 1.0, 1, 1 }, new[] { 3, 2, 2 })]
    [InlineData(100, new[] { 0.001, 1 }, new[] { 0, 100 })]
    public void Shares_are_whole_numbers_that_add_up(int total, double[] weights, int[] expected) =>
        Assert.Equal(expected, Mixture.Divide(total, weights));

    // Three examples of one file, nine of the other, one of none: of twelve three quarters are the first's, each of them three times.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_epoch_sees_every_file_by_its_share(bool shuffle)
    {
        EncodedExample[] examples = [.. Enumerable.Range(0, 13).Select(i => Example(i, i < 3 ? 0 : i < 12 ? 1 : null))];
        DataOrder order = DataOrder.From(TrainingSet.AllPositive(examples), new TrainingOptions
        {
            Data = new() { Weights = [3, 1], NoShuffle = !shuffle }, Schedule = new() { BatchSize = 5 }, Seed = 4,
        });
        Assert.Equal(3, order.StepsPerEpoch);
        List<int> others = [];
        for (int epoch = 0; epoch < 3; epoch++)
        {
            int[] seen = [.. Enumerable.Range(0, 3).SelectMany(step => order.At((epoch * 3) + step).ToArray())];
            Assert.Equal([3, 3, 3], Enumerable.Range(0, 3).Select(place => seen.Count(i => i == place)));
            Assert.Single(seen, 12);
            others.AddRange(seen.Where(i => i is >= 3 and < 12));
            Assert.Equal(3 * (epoch + 1), others.Count);
            Assert.Equal(shuffle, !seen.SequenceEqual(seen.OrderBy(i => i < 3 ? 0 : i)));
        }

        // Three epochs are a round of the larger file.
        Assert.Equal(Enumerable.Range(3, 9), others.Order());
    }

    [Fact]
    public void A_file_without_a_place_in_an_epoch_is_refused()
    {
        var options = new TrainingOptions { Data = new() { Weights = [1000, 1] } };
        EncodedExample[] examples = [Example(0, 0), Example(1, 1)];
        Assert.Equal(
            "data-weights: file 2 of data has 1 examples to train on, and its share of an epoch is 0; expected at least one of each",
            Assert.Throws<UserException>(() => DataOrder.From(TrainingSet.AllPositive(examples), options)).Message);
    }

    [Fact]
    public void Recipes_name_weights_in_a_list_or_a_mapping_and_runs_keep_them_apart()
    {
        using TemporaryFolder folder = new();
        string a = folder.Write("a.jsonl", "x"), b = folder.Write("b=2", "x");
        foreach (string text in new[] { "data: {a.jsonl: 0.7, b=2: 3}", "data: [a.jsonl=0.7, b=2=3]",
            "data: [a.jsonl, b=2]\ndata-weights: [0.7, 3]", "data-weights: [0.7, 3]\ndata: [a.jsonl, b=2]" })
        {
            TrainingOptions options = Recipe.Read(folder.Write("r.yaml", text), new TrainingOptions());
            Assert.Equal([a, b], options.Data.Files);
            Assert.Equal([0.7, 3], options.Data.Weights);
            Assert.Equal($"{a}=0.7, {b}=3", options.Data.Path);
            TrainingOptions again = Recipe.Read(folder.Write("again.yaml", Recipe.Write(options)), new TrainingOptions());
            Assert.Equal(Recipe.Values(options), Recipe.Values(again));
        }

        // A name that a file has is a name. Other files go without the weights of those before.
        TrainingOptions one = Recipe.Read(folder.Write("r.yaml", "data: b=2"), Recipe.Read(folder["again.yaml"], new TrainingOptions()));
        Assert.Equal((b, 0), (Assert.Single(one.Data.Files), one.Data.Weights.Count));
    }

    [Theory]
    [InlineData("data: [a=0.5, b]", "r.yaml:1: data: b has no weight, and others have; expected one for each, as b=0.5, or for none")]
    [InlineData("data: [a=0.5, b=-1]", "data-weights is 0.5,-1, expected a number above 0 each")]
    [InlineData("data: [a, b]\ndata-weights: [1]", "data-weights are 1 numbers, and data is 2 files; expected a number for each file")]
    [InlineData("data: [a, b]\ndata-weights: [1, x]", "r.yaml:2: data-weights is \"x\", expected a number")]
    public void Weights_that_are_none_are_refused(string recipe, string message)
    {
        using TemporaryFolder folder = new();
        string file = folder.Write("r.yaml", recipe);
        string found = Assert.Throws<UserException>(() => Recipe.Read(file, new TrainingOptions()).ValidateValues()).Message;
        Assert.Equal(message, found.Replace(Path.GetDirectoryName(file) + "/", "", StringComparison.Ordinal));
    }

    private static EncodedExample Example(int index, int? source) =>
        new() { Index = index, Ids = [1, 2], Response = [false, true], Source = source };
}

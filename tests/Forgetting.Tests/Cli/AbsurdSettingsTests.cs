using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>Numbers that no model and no data are made for: refused by the sizes of the model, or cut to those of the data.</summary>
[Collection(CommandCollection.Name)]
public class AbsurdSettingsTests
{
    [SharedDataTheory]
    [InlineData("--lora-rank", "2147483647", "lora-rank is 2147483647, expected at most 172, the width of the model's widest layer")]
    [InlineData("--lora-rank", "1000000", "lora-rank is 1000000, expected at most 172, the width of the model's widest layer")]
    [InlineData("--epochs", "2147483647", "epochs is 2147483647, of 1 steps each; expected at most 100000000 steps")]
    [InlineData("--steps", "2147483647", "steps is 2147483647; expected at most 100000000 steps")]
    [InlineData("--micro-batch-tokens", "2147483647", "micro-batch-tokens is 2147483647, expected a whole number in [1, 1048576]")]
    public void Settings_without_measure_are_refused_at_once(string option, string value, string expected)
    {
        using TemporaryFolder folder = new();
        Assert.Equal($"error: {expected}\n", Tune(folder, 2, option, value).Error);
        Assert.Equal(2, Tune(folder, 2, option, value).ExitCode);
    }

    [SharedDataTheory]
    [InlineData("--batch-size", "2147483647")]
    [InlineData("--micro-batch-tokens", "1048576")]
    [InlineData("--max-length", "2147483647")]
    public void Sizes_beyond_the_data_are_those_of_the_data(string option, string value)
    {
        using TemporaryFolder folder = new();
        Assert.Equal(0, Tune(folder, 2, "--steps", "1", option, value).ExitCode);
    }

    /// <summary>A run of 100,000,000 steps would go over all of them in search of its largest.</summary>
    [Fact]
    public void The_fullest_of_very_many_steps_has_the_longest_examples()
    {
        EncodedExample[] examples = [.. new[] { 3, 9, 4, 8, 5 }.Select(
            (length, i) => new EncodedExample { Index = i, Ids = new int[length], Response = new bool[length] })];
        var options = new TrainingOptions { Schedule = new() { BatchSize = 2 } };
        var order = new DataOrder(examples.Length, 2, 0, shuffle: true);
        Assert.Equal([9, 8], Assert.Single(FullestStep.MicroBatches(TrainingSet.AllPositive(examples), null, order, 100_000_000, options))
            .Select(e => e.Length));
    }

    private static CommandResult Tune(TemporaryFolder folder, int examples, params string[] settings)
    {
        string data = folder.Write(
            "data.jsonl", string.Concat(Enumerable.Repeat("{\"prompt\": \"Tom has\", \"completion\": \"a ball.\"}\n", examples)));
        return CommandResult.Of(["tune", "--model", SharedData.Path("stories260K", "hf"), "--data", data, "--method", "full", "--out",
            folder["run"], .. settings]);
    }
}

using System.Runtime.InteropServices;
using Forgetting.Core;
using Forgetting.Tests.Training;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Runs;

/// <summary>One bit flipped in what resume reads: every one must be noticed, and the file named.</summary>
public sealed class DamageTests
{
    [Theory]
    [InlineData("checkpoints/step-000002/training.safetensors")]
    [InlineData("checkpoints/step-000002/state.json")]
    [InlineData("checkpoints/step-000002/sha256sums")]
    [InlineData("metrics.jsonl")]
    public void A_flipped_bit_is_noticed_wherever_it_is(string name)
    {
        TrainingOptions options = TinyRun.Full with { Schedule = TinyRun.Full.Schedule with { Steps = 2 } };
        using var run = new TinyRun(options);
        run.Trainer().Run();
        string path = Path.Combine(run.Folder, name);
        byte[] whole = File.ReadAllBytes(path);
        using var other = new TinyRun(options);
        float[] before = other.Weights();
        for (int i = 0; i < 12; i++)
        {
            byte[] bytes = [.. whole];
            bytes[(2 * i + 1) * bytes.Length / 24] ^= (byte)(1 << (i % 8));
            File.WriteAllBytes(path, bytes);
            UserException error =
                Assert.Throws<UserException>(() => new Trainer(other.Decoder, other.Set, options, run.Folder).Run(resume: true));
            Assert.True(
                error.Message.StartsWith(path, StringComparison.Ordinal) || error.Message.Contains("checksum", StringComparison.Ordinal),
                error.Message);
            Assert.DoesNotContain('\n', error.Message);
            if (name != "metrics.jsonl")
                Assert.Equal(before, other.Weights());
        }

        File.WriteAllBytes(path, whole);
        new Trainer(other.Decoder, other.Set, options, run.Folder).Run(resume: true);
        Assert.Equal(MemoryMarshal.AsBytes(run.Weights().AsSpan()), MemoryMarshal.AsBytes(other.Weights().AsSpan()));
    }

    [Fact]
    public void A_finished_run_goes_on_as_one_of_the_new_length_from_there()
    {
        // A constant rate does not know the length: the same bits as a run that was as long from the beginning.
        TrainingOptions constant = Of(TinyRun.Lora with { Method = TrainingMethod.Full }, epochs: 1, steps: null, LrScheduleKind.Constant);
        using var whole = new TinyRun(Of(constant, epochs: 2, steps: null, LrScheduleKind.Constant));
        whole.Trainer().Run();
        using var run = new TinyRun(constant);
        run.Trainer().Run();
        using var longer = new TinyRun(Of(constant, epochs: 2, steps: null, LrScheduleKind.Constant));
        new Trainer(longer.Decoder, longer.Set, longer.Options, run.Folder).Run(resume: true);
        Assert.Equal(whole.Weights(), longer.Weights());

        // A linear one goes on where a run of 6 steps would be after 3: 1e-3 · (1 − k/6).
        TrainingOptions linear = Of(TinyRun.Full with { Method = TrainingMethod.Full }, epochs: 1, steps: null);
        using var first = new TinyRun(linear);
        first.Trainer().Run();
        new Trainer(first.Decoder, first.Set, Of(linear, epochs: 1, steps: 6), first.Folder).Run(resume: true);
        double[] expected = [1e-3, 2e-3 / 3, 1e-3 / 3, 1e-3 / 2, 1e-3 / 3, 1e-3 / 6];
        Assert.All(StepMetrics.Read(Path.Combine(first.Folder, "metrics.jsonl"))
            .Zip(expected), pair => Assert.Equal(pair.Second, pair.First.LearningRate, 1e-12));

        // Not to fewer steps, and not before it is finished.
        Assert.Contains(
            "was to have 6 steps and has done 6, found 5", Message(first, Of(linear, epochs: 1, steps: 5)), StringComparison.Ordinal);
        using var cut = new TinyRun(linear);
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => cut.Trainer().Run(cancellation: source.Token));
        Assert.Contains(
            "was to have 3 steps and has done 1, found 6", Message(cut, Of(linear, epochs: 1, steps: 6)), StringComparison.Ordinal);

        static TrainingOptions Of(TrainingOptions options, int epochs, int? steps, LrScheduleKind kind = LrScheduleKind.Linear) =>
            options with { Schedule = options.Schedule with { Epochs = epochs, Steps = steps, LrSchedule = kind } };

        static string Message(TinyRun run, TrainingOptions options) =>
            Assert.Throws<UserException>(() => new Trainer(run.Decoder, run.Set, options, run.Folder).Run(resume: true)).Message;
    }
}

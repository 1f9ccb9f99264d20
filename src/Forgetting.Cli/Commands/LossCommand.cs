using System.CommandLine;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Methods;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting loss</c>: cross-entropy of every token.</summary>
internal static class LossCommand
{
    public static Subcommand Entry { get; } = new("loss", "Write every token's cross-entropy.", Fill);

    /// <summary>Help of the number of processes that share the examples.</summary>
    internal const string Sharing = "processes of this machine that share the examples, by mpirun where it is found (docs/scaling.md)";

    private static void Fill(Command command)
    {
        var settings = new SettingsOptions(
            command, new TrainingOptions(),
            [
                "model", "adapter", "base-dtype", "data", "out", .. SettingsOptions.DataSettings, "micro-batch-tokens", "device", "dtype",
                "products",
            ],
            "file for the losses, JSON Lines",
            new Dictionary<string, string> { ["adapter"] = "PEFT adapter of the model", ["data"] = "examples, in any format of data" },
            required: ["model", "data", "out"]);
        Option<bool> overwrite = CommonOptions.Overwrite();
        command.Options.Add(overwrite);
        (BoundedOption ranks, BoundedOption deadline) = Ranks.AddOptions(command, Sharing);
        command.SetAction(parsed => Ranks.Run(ranks, deadline, parsed, (communicator, cancellation) =>
        {
            TrainingOptions options = settings.Read(parsed);
            options.ValidateValues();
            bool first = communicator.IsFirst();
            using OutputClaim? claim = first ? OutputClaim.OfFile(options.Out, parsed.GetValue(overwrite)) : null;
            using RankDevice own =
                Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products, communicator);
            IBackend backend = own.Backend;
            IReadOnlyList<EncodedExample> examples = Encode(options);
            RankAgreement.CheckSame(communicator, options, backend);
            using LoadedModel model = TrainedModel.LoadBase(options, backend);
            var progress = new TerminalProgress();
            progress.StageBegan($"computing losses of {examples.Count} examples");
            IReadOnlyList<float[]> losses =
                Scorer.Losses(
                    model.Decoder, examples, options.Compute.MicroBatchTokens, allTokens: true, progress, communicator,
                    cancellation);
            if (!first)
                return 0;

            LossFile.Write(options.Out, examples, losses);
            (double mean, long count) = Scorer.ResponseMean(examples, losses);
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{options.Out}: mean loss {mean:0.0000} nats over {count:N0} response tokens of {examples.Count:N0} examples"));
            return 0;
        }));
    }

    /// <summary>The examples of <c>--data</c> as the tokens of <c>--model</c>.</summary>
    internal static IReadOnlyList<EncodedExample> Encode(TrainingOptions options) =>
        ExampleLoader.LoadForRun(null, options, new TerminalProgress());
}

using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Methods;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting score</c>: influence and sign of every response token.</summary>
internal static class ScoreCommand
{
    public static Subcommand Entry { get; } = new("score", "Write every response token's influence and sign.", Fill);

    private static void Fill(Command command)
    {
        var settings = new SettingsOptions(
            command, new TrainingOptions(), ["model", "adapter", "base-dtype", "reference", "data", "out", "score",
                "rho", "ignore-rho", "learn-above",
                "forget-below", "level", .. SettingsOptions.DataSettings, "micro-batch-tokens", "device", "dtype", "products"],
            "file for influences and signs, JSON Lines",
            new Dictionary<string, string>
            {
                ["adapter"] = "PEFT adapter of the model", ["reference"] = "reference checkpoint",
                ["data"] = "examples to score, in any format of data",
                ["rho"] = "share of response tokens that are learnt, or auto (Otsu's cut); 0.7 unless given",
            },
            required: ["model", "reference", "data", "out"]);
        Option<bool> overwrite = CommonOptions.Overwrite();
        command.Options.Add(overwrite);
        (BoundedOption ranks, BoundedOption deadline) = Ranks.AddOptions(command, LossCommand.Sharing);
        command.SetAction(parsed => Ranks.Run(ranks, deadline, parsed, (communicator, cancellation) =>
        {
            TrainingOptions options = settings.Read(parsed);
            options.ValidateValues();
            bool first = communicator.IsFirst();
            using OutputClaim? claim = first ? OutputClaim.OfFile(options.Out, parsed.GetValue(overwrite)) : null;
            using RankDevice own =
                Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products, communicator);
            IBackend backend = own.Backend;
            IReadOnlyList<EncodedExample> examples = LossCommand.Encode(options);
            RankAgreement.CheckSame(communicator, options, backend);
            Scores scores = Scores.Compute(
                examples, options, () => TrainedModel.LoadBase(options, backend),
                () => LoadedModel.Load(options.TokenForgetting.Reference!, backend), new TerminalProgress(), communicator,
                cancellation);
            if (!first)
                return 0;

            ScoreFile.Write(options.Out, examples, scores);
            Console.Out.WriteLine($"{options.Out}: {scores.Partition}");
            if (Diagnosis.From(scores.Partition.Signs, scores.BaseLoss, scores.ReferenceLoss) is { } diagnosis)
                Console.Out.WriteLine(diagnosis);

            if (scores.Check is { } check)
                (check.Warning is null ? Console.Out : Console.Error).WriteLine(check);

            return 0;
        }));
    }
}

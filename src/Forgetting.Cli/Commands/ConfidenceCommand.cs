using System.CommandLine;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting confidence</c>: the forgetting confidence of self-generated samples.</summary>
internal static class ConfidenceCommand
{
    public static Subcommand Entry { get; } = new("confidence", "Write the forgetting confidence of samples.", Fill);

    private static void Fill(Command command)
    {
        var settings = new SettingsOptions(
            command, new TrainingOptions(), ["model", "adapter", "learned", "fisher", "data", "forget-alpha", "out",
                .. SettingsOptions.DataSettings, "micro-batch-tokens", "device", "dtype", "products"],
            "file for the confidences, JSON Lines",
            new Dictionary<string, string>
            {
                ["adapter"] = "PEFT adapter of the model", ["learned"] = "checkpoint after ordinary fine-tuning on the data to learn",
                ["fisher"] = "Fisher information of that data, by fisher", ["data"] = "samples to judge, JSON Lines, as elicit writes them",
                ["forget-alpha"] = "step size alpha of the forgetting confidence; of a run it is the learning rate",
            },
            required: ["model", "learned", "fisher", "data", "forget-alpha", "out"]);
        Option<bool> overwrite = CommonOptions.Overwrite();
        command.Options.Add(overwrite);
        command.SetAction(parsed =>
        {
            TrainingOptions options = settings.Read(parsed);
            options.ValidateValues();
            using OutputClaim claim = OutputClaim.OfFile(options.Out, parsed.GetValue(overwrite));
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products);
            IReadOnlyList<EncodedExample> samples = LossCommand.Encode(options);
            using LoadedModel model = LoadedModel.Load(options.Model, backend, adapter: options.Adapter);

            // The confidence is of whole weights.
            model.Decoder.MergeAdapter();
            using Checkpoint learned = Checkpoint.Open(options.Unlearning.Learned!);
            using var confidence = new ForgettingConfidence(model.Decoder, model.Source, learned, options.Unlearning.Fisher!);
            var progress = new TerminalProgress();
            progress.StageBegan($"computing the forgetting confidence of {samples.Count} samples");
            IReadOnlyList<ConfidenceRecord> records = confidence.Compute(
                samples, options.Unlearning.Alpha!.Value, options.Compute.MicroBatchTokens, progress, cancellation: interruption.Token);
            ConfidenceRecord.Write(options.Out, records);
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{options.Out}: {records.Count:N0} samples, "
                    + $"confidence {records.Min(r => r.Confidence):0.######} to {records.Max(r => r.Confidence):0.######}, "
                    + $"constant part {confidence.Constant:0.######}"));
        });
    }
}

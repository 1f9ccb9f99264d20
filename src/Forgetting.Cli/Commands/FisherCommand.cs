using System.CommandLine;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting fisher</c>: the diagonal Fisher information of a data set.</summary>
internal static class FisherCommand
{
    public static Subcommand Entry { get; } = new(
        "fisher",
        "Write the diagonal Fisher information of a data set: of all weights, or of an adapter's.",
        Fill);

    private static void Fill(Command command)
    {
        var settings = new SettingsOptions(
            command, new TrainingOptions(), ["model", "adapter", "base-dtype", "data", "out", "fisher-kind", "fisher-examples",
                .. SettingsOptions.DataSettings, "micro-batch-tokens", "seed", "device", "dtype", "products"],
            "file for the information, safetensors",
            new Dictionary<string, string>
            {
                ["adapter"] = "PEFT adapter of the model; the information is then of its weights",
                ["data"] = "examples, in any format of data", ["seed"] = "seed of which examples are drawn, and of true targets",
            },
            required: ["model", "data", "out"]);
        Option<bool> overwrite = CommonOptions.Overwrite();
        command.Options.Add(overwrite);
        command.SetAction(parsed =>
        {
            TrainingOptions options = settings.Read(parsed);
            options.ValidateValues();
            using OutputClaim claim = OutputClaim.OfFile(options.Out, parsed.GetValue(overwrite));
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products);
            IReadOnlyList<EncodedExample> examples =
                FisherInformation.Draw(ExampleLoader.ToLearn(LossCommand.Encode(options)), options.Unlearning.FisherExamples, options.Seed);
            using LoadedModel model = TrainedModel.LoadBase(options, backend, training: true);
            var progress = new TerminalProgress();
            progress.StageBegan($"computing the Fisher information of {examples.Count} examples");
            FisherInformation.Compute(
                model.Decoder, examples, options.Unlearning.FisherKind, options.Compute.MicroBatchTokens, options.Seed, progress,
                cancellation: interruption.Token);
            FisherFile.Write(options.Out, model.Decoder, examples.Count, options.Unlearning.FisherKind);
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{options.Out}: {Recipe.Text(options.Unlearning.FisherKind)} Fisher information of "
                    + $"{model.Decoder.TrainableParameters.Sum(p => p.Shape.Count):N0} parameters over {examples.Count:N0} examples"));
        });
    }
}

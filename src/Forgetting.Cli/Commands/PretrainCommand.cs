using System.CommandLine;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting pretrain</c>: ordinary next-token training of a new model on a text file.</summary>
internal static class PretrainCommand
{
    // What decides a pretraining run; method, adapter and influence have no place in it.
    private static readonly string[] s_settings =
    [
        "out", "epochs", "steps", "batch-size", "micro-batch-tokens", "max-length", "learning-rate", "lr-schedule", "warmup-ratio",
        "adam-beta1", "adam-beta2", "weight-decay", "clip", "checkpoint-every", "keep-checkpoints", "recompute", "seed", "device", "dtype",
        "products",
    ];

    public static Subcommand Entry { get; } = new("pretrain", "Train a new model on plain text.", Fill);

    private static void Fill(Command command)
    {
        var config = new Option<string>(
            "--config")
        { Description = "folder with config.json and a tokenizer (REQUIRED unless --resume)", HelpName = "DIR" };
        var data = new Option<string>("--data") { Description = "plain text (REQUIRED unless --resume)", HelpName = "FILE" };
        var resume = new Option<bool>("--resume")
        {
            Description = "continue what an interrupted run left in the folder: with --out alone, the rest is in its run.yaml; "
                + "a finished run goes on to larger --epochs or --steps",
        };
        command.Options.Add(config);
        command.Options.Add(data);
        var settings = new SettingsOptions(
            command, PretrainRun.DefaultOptions with { Data = PretrainRun.DefaultOptions.Data with { MaxLength = 256 } }, s_settings,
            help: new Dictionary<string, string>
            {
                ["out"] = "folder for the model and the run's records",
            },
            required: ["out"]);
        command.Options.Add(resume);
        command.SetAction(parsed =>
        {
            TrainingOptions options = settings.Read(parsed, parsed.GetValue(resume) ? settings.Began(parsed) : null);
            options = options with
            {
                Model = parsed.GetValue(config) ?? options.Model,
                Data = options.Data with { Path = parsed.GetValue(data) ?? options.Data.Path },
            };
            options.ValidateValues();
            string[] missing =
                [.. new[] { (config.Name, Value: options.Model), (data.Name, Value: options.Data.Path) }.Where(o => o.Value.Length == 0)
                    .Select(o => o.Name)];
            if (missing.Length > 0)
                throw new UserException(ParseComplaint.Missing(missing));

            string folder = options.Model;
            ModelConfig model = ConfigFile.Read(folder);
            Tokenizer tokenizer = Tokenizer.Load(folder);
            if (tokenizer.VocabularySize > model.VocabularySize)
            {
                throw new UserException(
                    $"{folder}: config.json has vocab_size {model.VocabularySize}, "
                    + $"expected at least the tokenizer's {tokenizer.VocabularySize}");
            }

            if (options.Data.Files.Count > 1)
                throw new UserException($"data is {options.Data.Files.Count} files, expected one text");

            IReadOnlyList<EncodedExample> windows =
                TextWindows.Read(options.Data.Path, tokenizer, ExampleLoader.LongestExample(model, options));
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products);
            string written = PretrainRun.Execute(
                model, windows, folder, options, backend, parsed.GetValue(resume), new TerminalProgress(), interruption.Token);
            Console.Out.WriteLine(written);
            Console.Out.WriteLine(WriteReport(options, windows.Count));
        });
    }

    private static string WriteReport(TrainingOptions options, int sequences)
    {
        string path = Path.Combine(options.Out, "report.html");
        IReadOnlyList<StepMetrics> metrics = RunFiles.Metrics(options.Out);
        AtomicFile.WriteText(path, RunReport.Build(
            Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.Out))),
            string.Create(
                CultureInfo.InvariantCulture,
                $"A new model of {options.Model} pretrained on {sequences:N0} sequences of {options.Data.Path}: "
                    + $"{metrics.Count} steps in {metrics[^1].ElapsedSeconds:0.#} s."),
            metrics, [], ranked: null, File.ReadAllText(Path.Combine(options.Out, "run.yaml"))).ToString());
        return path;
    }
}

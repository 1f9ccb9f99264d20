using System.CommandLine;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting elicit</c>: a model's own greedy continuations of prompts, as training data.</summary>
internal static class ElicitCommand
{
    public static Subcommand Entry { get; } = new("elicit", "Write what a model itself makes of prompts.", Fill);

    private static void Fill(Command command)
    {
        var standard = new ElicitationOptions();
        var data = new Option<string[]>("--data")
        {
            Description = "prompts, in any format of data; give several files, a task each, for mixed forgetting", HelpName = "FILE",
            Required = true, AllowMultipleArgumentsPerToken = true,
        };
        var shots = new Option<int>("--num-fewshot") { Description = "worked examples put before every prompt", HelpName = "K" };
        var shotData = new Option<string?>("--fewshot-data") { Description = "file whose first examples these are", HelpName = "FILE" };
        command.Fill(data, shots, shotData);
        var settings = new SettingsOptions(
            command, new TrainingOptions { Compute = new() { MicroBatchTokens = standard.BatchTokens } },
            [
                "model", "adapter", "base-dtype", "out",
                "max-new-tokens", "template", "template-date", "shape", "prompt-field", "completion-field",
                "allow-special", "micro-batch-tokens", "device", "dtype", "products",
            ],
            "file for the samples, JSON Lines",
            new Dictionary<string, string>
            {
                ["adapter"] = "PEFT adapter of the model",
                ["micro-batch-tokens"] = "tokens of a batch, those counted that may be generated",
                ["completion-field"] = "field of the completion in the file of worked examples",
            },
            required: ["model", "out"]);
        Option<bool> overwrite = CommonOptions.Overwrite();
        command.Options.Add(overwrite);
        command.SetAction(parsed =>
        {
            TrainingOptions options = settings.Read(parsed);
            options.ValidateValues();
            DataFields fields = ExampleLoader.Fields(options);
            var elicitation = new ElicitationOptions
            {
                MaxNewTokens = options.Unlearning.MaxNewTokens,
                BatchTokens = options.Compute.MicroBatchTokens,
                FewShot = FewShot(parsed.GetValue(shots), parsed.GetValue(shotData), fields),
                AllowSpecial = options.Data.AllowSpecial,
                Layout = ExampleLoader.Layout(options),
            };
            using OutputClaim claim = OutputClaim.OfFile(options.Out, parsed.GetValue(overwrite));
            IReadOnlyList<PromptTask> tasks = PromptTask.Read(parsed.GetValue(data)!, fields);
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products);
            using LoadedModel model = TrainedModel.LoadBase(options, backend);
            var progress = new TerminalProgress();
            progress.StageBegan(
                $"eliciting from {tasks.Sum(t => t.Examples.Count)} prompts of {string.Join(", ", tasks.Select(t => t.Name))}");
            ElicitationSummary summary =
                Elicitation.Run(model, tasks, elicitation, options.Out, progress, cancellation: interruption.Token);
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{options.Out}: {summary.Samples:N0} samples, {summary.Truncated:N0} cut at the length limit, "
                    + $"{summary.Exact:N0} encode to just the tokens generated"));
        });
    }

    private static IReadOnlyList<DataExample> FewShot(int count, string? file, DataFields fields)
    {
        if (count < 0 || count > 0 != file is not null)
        {
            throw new UserException(
                $"--num-fewshot is {count}{(file is null ? " without" : " with")} --fewshot-data; expected both, or neither");
        }

        if (file is null)
            return [];

        IReadOnlyList<DataExample> examples = DataSet.Read(file, fields);
        return examples.Count >= count
            ? [.. examples.Take(count)]
            : throw new UserException($"{file}: {examples.Count} examples, expected at least {count} for --num-fewshot");
    }
}

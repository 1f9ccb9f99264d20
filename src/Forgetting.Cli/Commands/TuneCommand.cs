using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Distributed;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting tune</c>: fine-tunes a checkpoint.</summary>
internal static class TuneCommand
{
    public static Subcommand Entry { get; } = new(
        "tune",
        "Fine-tune a checkpoint: learn the informative tokens, forget the misleading ones.",
        Fill);

    private static void Fill(Command command)
    {
        var recipe =
            new Option<string>("--recipe") { Description = "YAML file with settings; options given here come first", HelpName = "FILE" };
        var resume = new Option<bool>("--resume")
        {
            Description = "continue what an interrupted run left in the folder: with --out alone, the rest is in its run.yaml; "
                + "a finished run goes on to larger --epochs or --steps",
        };
        var watch = new Option<bool>("--watch") { Description = "show the run on a page in the browser while it is at work" };
        var tensorBoard =
            new Option<bool>("--tensorboard") { Description = "write the metrics into the run's folder as TensorBoard reads them, too" };
        Option<bool> json = CommonOptions.Json();
        var settings = new SettingsOptions(
            command, new TrainingOptions(), Recipe.Settings.Select(s => s.Name), recipe: true, required: ["model", "data", "out"]);
        command.Options.Add(recipe);
        command.Options.Add(resume);
        command.Options.Add(watch);
        command.Options.Add(tensorBoard);
        (BoundedOption ranks, BoundedOption deadline) = Ranks.AddOptions(
            command, "processes that train together on this machine, by mpirun where it is found; mpirun, srun and torchrun may start them "
            + "themselves, also on several machines (docs/scaling.md)");
        command.Options.Add(json);
        command.SetAction(parsed => Ranks.Run(ranks, deadline, parsed, (communicator, cancellation) =>
        {
            TrainingOptions options = settings.ReadRun(parsed, parsed.GetValue(recipe), parsed.GetValue(resume));
            using RankDevice own =
                Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products, communicator);
            IBackend backend = own.Backend;
            bool first = communicator.IsFirst();
            using IDisposable? page = first && parsed.GetValue(watch) ? WatchCommand.Begin(options.Out) : null;
            var progress = new TerminalProgress();
            using TensorBoardLog? log = first && parsed.GetValue(tensorBoard) ? new TensorBoardLog(options.Out, progress) : null;
            TuneSummary summary = TuneRun.Execute(
                options, backend, parsed.GetValue(resume), (ITrainingObserver?)log ?? progress, communicator: own.Cards ?? communicator,
                cancellation: cancellation);
            if (!first)
                return CommandLine.ExitCode(summary);

            string report = RunFiles.WriteReport(options.Out);
            if (parsed.GetValue(json))
                Console.Out.WriteLine(JsonSerializer.Serialize(summary, Json.Compact));
            else
                Print(options.Out, summary, report);

            return CommandLine.ExitCode(summary);
        }));
    }

    private static void Print(string folder, TuneSummary summary, string report)
    {
        string held = summary.HeldOut > 0 ? string.Create(CultureInfo.InvariantCulture,
            $" (and {summary.HeldOut} held out for the reference, "
                + $"{100.0 * summary.HeldOut / (summary.Examples + summary.HeldOut):0.#} % of the data)") : "";
        Terminal.PrintFacts(
        [
            ("method", summary.Method),
            ("examples", string.Create(CultureInfo.InvariantCulture, $"{summary.Examples}{held}")),
            ("tokens", string.Create(
                CultureInfo.InvariantCulture, $"{summary.PositiveTokens:N0} to learn, {summary.NegativeTokens:N0} negative")),
            .. summary.Unlearning is { } unlearning
                ? [("unlearnt", string.Create(
                    CultureInfo.InvariantCulture, $"{unlearning.Selected:N0} of {unlearning.Elicited:N0} {unlearning.Kind}"))]
                : Array.Empty<(string, string)>(),
            .. summary.Unlearning?.Verdict is { } verdict ? [("", verdict)] : Array.Empty<(string, string)>(),
            ("steps", string.Create(
                CultureInfo.InvariantCulture,
                $"{summary.Steps} in {summary.TrainingSeconds:0.0} s{(summary.StoppedEarly ? ", stopped early" : "")}")),
            .. summary.EffectiveLambda is { } lambda ? [("λ", RunFiles.EffectiveLambda(lambda))] : Array.Empty<(string, string)>(),
            ("loss at the end", RunFiles.LastLoss(summary)),
            .. summary.Outcome is { NegativeBefore: { } before, NegativeAfter: { } after }
                ? [("negative tokens", string.Create(
                    CultureInfo.InvariantCulture,
                    $"loss of the first step's {(after > before ? "rose" : "fell")} from {before:0.0000} to {after:0.0000}"))]
                : Array.Empty<(string, string)>(),
            .. summary.Valid is { } valid
                ? [("held out", string.Create(
                    CultureInfo.InvariantCulture, $"{valid.Examples:N0} examples, {valid.Tokens:N0} response tokens of {valid.Source}")),
                    ("", valid.Verdict)]
                : Array.Empty<(string, string)>(),
            ("model", Path.Combine(folder, "model")),
            .. RoundingNote.From(summary.RoundingLoss) is { } note ? [("", note)] : Array.Empty<(string, string)>(),
            .. summary.Best is { } best
                ? [("best model", string.Create(
                    CultureInfo.InvariantCulture,
                    $"{Path.Combine(folder, "model-best")}, {RunFiles.When(best)}: {best.Metric} {best.Value:0.0000}"))]
                : Array.Empty<(string, string)>(),
            ("report", report),
        ]);
    }
}

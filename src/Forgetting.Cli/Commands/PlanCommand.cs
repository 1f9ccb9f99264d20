using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting plan</c>: what a step takes on many cards that are not here.</summary>
internal static class PlanCommand
{
    private const double Gibibyte = 1L << 30;

    public static Subcommand Entry { get; } = new(
        "plan",
        "Predict time and memory of a training step on many cards, counted without one (docs/scaling.md).",
        Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model();
        Option<bool> json = CommonOptions.Json();
        BoundedOption cards = new("--cards", "cards, a rank each", 8, 1, 1 << 16);
        BoundedOption perMachine = new("--per-machine", "cards of a machine", 8, 1, 1 << 10);
        var links = new Option<string>("--link")
        {
            Description = $"what connects the cards of a machine, and after a comma machines: {string.Join(", ", LinkSpeed.Names)}, "
                + "or microseconds and GB/s of a card, as 3:360,5:40",
            HelpName = "LINK,LINK", DefaultValueFactory = _ => "nvlink,ib",
        };
        Option<double> rate = Number("--tflops", 790, "products that a card does, TFLOP/s; bf16's of an H200 unless given"),
            bandwidth = Number("--bandwidth", 4.3, "bytes that it reads and writes, TB/s"),
            memory = Number("--memory", 131, "memory of a card, GiB");
        command.Fill(model, cards, perMachine, links, rate, bandwidth, memory);
        var settings = new SettingsOptions(
            command, new TrainingOptions(),
            ["lora-rank", "batch-size", "micro-batch-tokens", "max-length", "recompute", "dtype"],
            help: new Dictionary<string, string>
            {
                ["batch-size"] = "sequences of a step, all cards together; of max-length tokens each",
                ["lora-rank"] = "rank of the adapter that is trained; 0 for all weights",
            });
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            TrainingOptions options = settings.Read(parsed);
            options.ValidateValues();
            string path = parsed.GetValue(model)!;
            ModelConfig config = ModelInspector.Inspect(path).Config
                ?? throw new UserException($"{path}: no config.json that can be read, expected one");
            string[] names = parsed.GetValue(links)!.Split(',');
            if (names.Length > 2)
                throw new UserException($"--link is {parsed.GetValue(links)}, expected one link, or two with a comma");

            var cluster = new ClusterShape(
                cards.Read(parsed)!.Value, perMachine.Read(parsed)!.Value, LinkSpeed.Parse(names[0]), LinkSpeed.Parse(names[^1]));
            if (options.Schedule.BatchSize < cluster.Cards)
            {
                throw new UserException(
                    $"batch-size is {options.Schedule.BatchSize}, expected at least {cluster.Cards}, a sequence for each card");
            }

            var card = new CardSpeed(
                Positive(parsed, rate) * 1e12, Positive(parsed, bandwidth) * 1e12, Positive(parsed, memory) * Gibibyte);
            IReadOnlyList<PlannedStep> steps = ClusterPlan.Steps(config, options, card, cluster);
            long tokens = (long)options.Schedule.BatchSize * ExampleLoader.LongestExample(config, options);
            if (parsed.GetValue(json))
                Console.Out.WriteLine(JsonSerializer.Serialize(steps.Select(step => Record(step, tokens, card)), Json.Indented));
            else
                Print(options, cluster, steps, tokens, card);
        });
    }

    private static void Print(
        TrainingOptions options, ClusterShape cluster, IReadOnlyList<PlannedStep> steps, long tokens, CardSpeed card)
    {
        Terminal.PrintFacts(
        [
            ("trained", options.Lora.Rank == 0 ? "all weights" : $"LoRA of rank {options.Lora.Rank}"),
            ("cards", Text($"{cluster.Cards}, {Math.Min(cluster.Cards, cluster.PerMachine)} in a machine")),
            ("links", cluster.Cards > cluster.PerMachine
                ? $"{cluster.Inner.Name}, between machines {cluster.Outer.Name}"
                : cluster.Inner.Name),
            ("step", Text($"{options.Schedule.BatchSize} sequences, {tokens:N0} tokens")),
        ]);
        Terminal.PrintTable(
            ["sharded", "step ms", "work ms", "net ms", "tokens/s", "busy", "GiB", "fits"],
            [.. steps.Take(cluster.Cards == 1 ? 1 : steps.Count).Select(step => (string[])
            [
                Recipe.Text(step.Sharding), Text($"{step.Seconds * 1e3:N1}"), Text($"{step.Compute * 1e3:N1}"),
                Text($"{step.Network * 1e3:N1}"), Text($"{tokens / step.Seconds:N0}"), Text($"{step.Efficiency:0 %}"),
                Text($"{step.Memory / Gibibyte:N1}"), step.Memory <= card.Memory ? "yes" : "no",
            ])]);
        PlannedStep[] fitting = [.. steps.Where(step => step.Memory <= card.Memory)];
        Console.Out.WriteLine(
            fitting.Length == 0 ? "None fits: more cards, --recompute, a shorter --max-length, or an adapter (--lora-rank)."
            : cluster.Cards == 1 ? "It fits."
            : $"Fastest that fits: {Recipe.Text(fitting.MinBy(step => step.Seconds)!.Sharding)}.");
        Console.Out.WriteLine("At best: operations as fast as good kernels, nothing of the network behind them.");
    }

    private static object Record(PlannedStep step, long tokens, CardSpeed card) => new
    {
        Sharding = Recipe.Text(step.Sharding),
        step.Seconds,
        ComputeSeconds = step.Compute,
        NetworkSeconds = step.Network,
        TokensPerSecond = tokens / step.Seconds,
        step.Efficiency,
        MemoryBytes = (long)step.Memory,
        Fits = step.Memory <= card.Memory,
    };

    private static double Positive(ParseResult parsed, Option<double> option) => parsed.GetValue(option) is > 0 and var value
        ? value
        : throw new UserException(Text($"{option.Name} is {parsed.GetValue(option)}, expected a positive number"));

    private static Option<double> Number(string name, double standard, string description) =>
        new(name) { Description = description, HelpName = "X", DefaultValueFactory = _ => standard };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Evaluation;
using Forgetting.Methods;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting membership</c>: whether a model still shows that it has learnt examples.</summary>
internal static class MembershipCommand
{
    public static Subcommand Entry { get; } = new(
        "membership",
        "Membership inference: whether examples that a model learnt can still be told from others. docs/unlearning.md has more.",
        Fill);

    private static void Fill(Command command)
    {
        var settings = new SettingsOptions(
            command, new TrainingOptions(),
            [
                "model", "adapter", "base-dtype", "data", .. SettingsOptions.DataSettings, "micro-batch-tokens", "device", "dtype",
                "products",
            ],
            help: new Dictionary<string, string>
            {
                ["adapter"] = "PEFT adapter of the model", ["data"] = "examples that were learnt, in any format of data",
            },
            required: ["model", "data"]);
        var others = new Option<string>("--holdout-data")
        {
            Description = "examples of the same kind that never were learnt", HelpName = "FILE", Required = true,
        };
        Option<bool> json = CommonOptions.Json();
        command.Options.Add(others);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            TrainingOptions options = settings.Read(parsed);
            options.ValidateValues();
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(options.Compute.Device, options.Compute.Dtype, options.Compute.Products);
            IReadOnlyList<EncodedExample> learnt = LossCommand.Encode(options);
            TrainingOptions other = options with { Data = options.Data with { Path = parsed.GetValue(others)! } };
            IReadOnlyList<EncodedExample> never = LossCommand.Encode(other);
            using LoadedModel model = TrainedModel.LoadBase(options, backend);
            ScoredAnswer[] members = Scored(model, learnt, options, interruption.Token);
            ScoredAnswer[] rest = Scored(model, never, options, interruption.Token);
            (string Name, Func<ScoredAnswer, double> Score)[] attacks =
            [
                ("loss", MembershipInference.Loss), ("min_k", answer => MembershipInference.MinK(answer)),
                ("zlib", MembershipInference.ZlibRatio),
            ];
            Attack[] found =
                [.. attacks.Select(attack => Measure(attack.Name, [.. members.Select(attack.Score)], [.. rest.Select(attack.Score)]))];
            if (parsed.GetValue(json))
            {
                var scores = found.ToDictionary(a => a.Name, a => new { a.Auc, a.Learnt, a.Never });
                Console.Out.WriteLine(JsonSerializer.Serialize(scores, Json.Compact));
                return;
            }

            Terminal.PrintTable(
                ["score", "AUC", "mean of the learnt", "mean of the others"],
                [.. found.Select(a => (IReadOnlyList<string>)[a.Name, Number(a.Auc), Number(a.Learnt), Number(a.Never)])]);
        });
    }

    private static Attack Measure(string name, double[] members, double[] others) =>
        new(name, MembershipInference.Auc(members, others), members.Average(), others.Average());

    private static ScoredAnswer[] Scored(
        LoadedModel model, IReadOnlyList<EncodedExample> examples, TrainingOptions options, CancellationToken cancellation)
    {
        IReadOnlyList<float[]> losses = Scorer.Losses(
            model.Decoder, examples, options.Compute.MicroBatchTokens, allTokens: false, cancellation: cancellation);
        return [.. examples.Select((e, i) => new ScoredAnswer(
            [.. losses[i].Where((_, t) => e.Response[t])], model.Tokenizer.Decode([.. e.Ids.Where((_, t) => e.Response[t])])))];
    }

    private static string Number(double value) => value.ToString("0.0000", CultureInfo.InvariantCulture);

    private sealed record Attack(string Name, double Auc, double Learnt, double Never);
}

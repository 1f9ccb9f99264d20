using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Forgetting.Backends.Selection;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Methods;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting inspect</c>: what a checkpoint is and what tuning it takes.</summary>
internal static class InspectCommand
{
    public static Subcommand Entry { get; } = new(
        "inspect",
        "Say what a checkpoint is and how much memory tuning it takes, on this device or on one that is not here.",
        Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model();
        Option<bool> json = CommonOptions.Json();
        Option<double?> card = Card();
        command.Fill(model, card);
        var settings = new SettingsOptions(
            command, new TrainingOptions(),
            [
                "lora-rank", "dora", "base-dtype", "batch-size", "micro-batch-tokens", "max-length", "recompute", "optimizer",
                "gradient-dtype", "no-masters", "shard", "device", "dtype", "products",
            ]);
        BoundedOption ranks = new("--ranks", "processes that train together: memory of each, by what they divide (--shard)", 1, 1, 4096);
        command.Options.Add(ranks);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            TrainingOptions options = settings.Read(parsed);
            options.ValidateValues();
            int processes = ranks.Read(parsed)!.Value;
            options.CheckRanks(processes);
            ModelInspection found = ModelInspector.Inspect(parsed.GetValue(model)!);
            if (parsed.GetValue(card) is { } gib)
            {
                CheckAlone(settings.Given(parsed).Select(given => given.Named), parsed.GetResult(ranks) is { Implicit: false });
                return OfCard(found, options, gib, parsed.GetValue(json));
            }

            (string device, DType type) = BackendFactory.Describe(options.Compute.Device, options.Compute.Dtype, Devices.Notice);
            Tuning[] tunings = found.Config is { } config ? [.. Tunings(config, options, device, type, processes)] : [];
            if (parsed.GetValue(json))
            {
                PrintJson(found, "memory", tunings);
            }
            else
            {
                Print(found);
                if (tunings.Length > 0)
                    Print(tunings, options, device, type, found.Config!, processes);

                if (tunings.Length > 0 && processes > 1)
                    RankMemory.Print(tunings.Select(t => (t.Name, t.RankBytes!)), processes, device);
            }

            return Verdict(found, parsed.GetValue(json));
        });
    }

    // What the table says of all, or has of its own, would be passed over.
    private static void CheckAlone(IEnumerable<string> given, bool ranks)
    {
        string[] honoured = ["--lora-rank", "--dtype", "--recompute"];
        if (given.Except(honoured).Concat(ranks ? ["--ranks"] : Array.Empty<string>()).FirstOrDefault() is { } other)
        {
            throw new UserException(
                $"--card is given with {other}, of which its table makes no use; expected nothing but {Wording.List(honoured)} with it");
        }
    }

    private static Option<double?> Card()
    {
        var card = new Option<double?>("--card")
        {
            Description = "say what fits on a card of so many GiB: the largest batches and the longest text",
            HelpName = "GIB",
        };
        card.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var text }]
                && !(double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double gib) && gib is > 0 and <= 1e6))
            {
                result.AddError($"--card is \"{text}\", expected GiB, a number in (0, 1000000]");
            }
        });
        return card;
    }

    private static int OfCard(ModelInspection found, TrainingOptions options, double gib, bool json)
    {
        IReadOnlyList<CardFit> fits =
            found.Config is { } config ? CardFit.Create(config, options, (long)(gib * (1L << 30))) : [];
        if (json)
        {
            PrintJson(found, "fits", fits);
            return Verdict(found, json);
        }

        Print(found);
        if (found.Config is { } model)
        {
            Console.Out.WriteLine();
            string how = (options.Compute.Dtype ?? "bf16") + (options.Compute.Recompute ? ", activations recomputed" : "");
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"On a card of {gib:0.##} GiB in {how}: most texts at once, by tokens of each."));
            Terminal.PrintTable(
                ["tuning", "held", .. CardFit.Lengths(model).Select(length => Number(length)), "longest"],
                [.. fits.Select(fit => (string[])
                    [fit.Tuning, Bytes(fit.Held), .. fit.Batches.Select(Count), Count(fit.Longest)])], spare: 1);
            Console.Out.WriteLine("Held are weights, gradients, masters and moments; 0.5 GiB is left to driver and");
            Console.Out.WriteLine("libraries. 256 texts are the most that is tried.");
        }

        return Verdict(found, json);

        static string Count(int count) => count == 0 ? "-" : Number(count);
    }

    private static int Verdict(ModelInspection found, bool json)
    {
        foreach (string line in found.Unsupported.Where(_ => !json))
        {
            Console.Error.WriteLine($"unsupported: {line}");
        }

        return found.Unsupported.Count == 0 ? 0 : CommandLine.BadInput;
    }

    private static void PrintJson<T>(ModelInspection found, string name, IReadOnlyList<T> more)
    {
        JsonNode all = JsonSerializer.SerializeToNode(found, Json.Indented)!;
        all[name] = JsonSerializer.SerializeToNode(more, Json.Indented);
        Console.Out.WriteLine(all.ToJsonString(Json.Indented));
    }

    private static IEnumerable<Tuning> Tunings(ModelConfig config, TrainingOptions options, string device, DType type, int ranks)
    {
        foreach (int rank in new[] { 0, options.Lora.Rank }.Distinct())
        {
            foreach (NamedMethod method in MethodList.All.Where(m => m.Planned != null))
            {
                TrainingOptions run = method.Planned!(options with { Method = method, Lora = options.Lora with { Rank = rank } });
                if (rank == 0 || run.Unlearns)
                    run = run with { Lora = run.Lora with { BaseDtype = null } };

                if (rank > 0)
                    run = run with { Optimizer = run.Optimizer with { NoMasters = false } };

                Dictionary<string, MemoryPlan> byShard = (ranks == 1 ? [options.Compute.Shard] : RankMemory.Shards).ToDictionary(
                    shard => shard,
                    shard => MemoryPlan.Create(
                        config, run with { Compute = run.Compute with { Shard = shard } }, device, type,
                        TrainedModel.NewAdapter(run, config), ranks: ranks));
                yield return new Tuning(
                    method.Name, method.PlannedAs, rank, rank > 0 && run.Lora.Dora, type, byShard[options.Compute.Shard],
                    ranks == 1 ? null : byShard.ToDictionary(each => each.Key, each => Most(each.Value, device)));
            }
        }
    }

    private static void Print(ModelInspection found)
    {
        var facts = new List<(string, string)>();
        void Row(string name, string value) => facts.Add((name, value));
        Row("model", found.Path);
        if (found.Config is { } config)
        {
            Row("family", config.Family.ModelType);
            Row("parameters", Number(found.Parameters ?? 0));
            Row("layers", string.Create(CultureInfo.InvariantCulture,
                $"{config.Layers} of width {config.HiddenSize}, {config.Heads} heads ({config.KeyValueHeads} key-value), "
                    + $"MLP {config.IntermediateSize}"));
            Row("attention", Attention(config));
            Row("context", Number(config.ContextLength));
            Row("vocabulary", $"{Number(config.VocabularySize)}{(config.TiedHead ? ", head tied" : "")}");
        }

        if (found.Types.Count > 0)
        {
            Row(
                "weights",
                $"{Bytes(found.StoredBytes)} in {string.Join(", ", found.Types.Select(t => $"{t.Tensors} tensors of {t.Type}"))}");
        }

        string Id(int? id) => id?.ToString(CultureInfo.InvariantCulture) ?? "none";
        Row("special tokens", $"bos {Id(found.BosTokenId)}, "
            + $"eos {(found.EosTokenIds.Count > 0 ? string.Join(" ", found.EosTokenIds) : "none")}, pad {Id(found.PadTokenId)}");
        Row("chat template", found.ChatTemplate ? "yes" : "none");
        Terminal.PrintFacts(facts);
    }

    private static void Print(Tuning[] tunings, TrainingOptions options, string device, DType type, ModelConfig config, int ranks)
    {
        Console.Out.WriteLine();
        Console.Out.WriteLine(
            $"Memory of {(ranks == 1 ? "" : $"each of {ranks} ranks on ")}{device} in {(type == DType.BFloat16 ? "bf16" : "fp32")} "
            + $"with up to {Number(options.Compute.MicroBatchTokens)} "
            + "tokens at once, of examples of up to "
            + $"{Number(ExampleLoader.LongestExample(config, options))}{(options.Compute.Recompute ? ", activations recomputed" : "")}.");
        Terminal.PrintTable(
            ["tuning", "most", "in the stage", "weights", "optimiser", "activations"],
            [.. tunings.Select(t => new[]
            {
                t.Name, Bytes(Most(t.Memory, device)), t.Memory.Stages.MaxBy(s => s.Bytes)!.Stage,
                Bytes(t.Memory.Weights), Bytes(t.Memory.State), Bytes(t.Memory.Activations),
            })], spare: 2);
        Console.Out.WriteLine(device == "cpu"
            ? $"The most is all that the process has resident: {Bytes(tunings[0].Memory.Program)} are the program itself, "
                + "and products may keep copies of the weights."
            : "The card's driver and libraries take some hundred MiB more.");
    }

    private static string Attention(ModelConfig config)
    {
        var facts = new List<string> { config.LearnedPositions ? "learned positions" : Text($"rotary of base {config.RopeTheta:N0}") };
        if (config.RopeScaling is { } scaling)
            facts[0] += $" with {scaling.Type} scaling";

        if (config.RotaryColumns is { } columns)
            facts.Add(Text($"{columns} of {config.HeadSize} columns turned"));

        if (config.RotaryLayers.Contains(false))
            facts.Add(Text($"{config.RotaryLayers.Count(turned => !turned)} layers without positions"));

        string other = config.WindowRopeTheta is { } theta ? Text($" of base {theta:N0}") : "";
        IEnumerable<IGrouping<int, int>> windows = config.Windows.Where(w => w > 0).GroupBy(w => w);
        facts.AddRange(windows.Select(w => Text($"window of {w.Key} in {w.Count()} layers{other}")));
        if (config.QueryKeyNorm != QueryKeyNorm.None)
            facts.Add("norms of queries and keys");

        if (config.ScoreCap > 0)
            facts.Add(Text($"scores capped at {config.ScoreCap}"));

        return string.Join(", ", facts);

        static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    // On the CPU all that the process has.
    private static long Most(MemoryPlan plan, string device) => device == "cpu" ? plan.Resident : plan.Peak;

    /// <summary>A number of bytes for people.</summary>
    internal static string Bytes(long bytes) => bytes >= 1L << 30
        ? (bytes / (double)(1L << 30)).ToString("0.00 GiB", CultureInfo.InvariantCulture)
        : (bytes / (double)(1L << 20)).ToString("0.0 MiB", CultureInfo.InvariantCulture);

    private sealed record Tuning(
        string Method, [property: JsonIgnore] string Label, int LoraRank, bool Dora, DType StorageType, MemoryPlan Memory,
        [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyDictionary<string, long>? RankBytes)
    {
        [JsonIgnore]
        public string Name => $"{Label}, {(LoraRank == 0 ? "all weights" : $"{(Dora ? "DoRA" : "LoRA")} r {LoraRank}")}";
    }
}

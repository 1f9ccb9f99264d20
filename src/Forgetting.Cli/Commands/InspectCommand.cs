using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Forgetting.HuggingFace;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting inspect</c>: what a checkpoint is and what tuning it takes.</summary>
internal static class InspectCommand
{
    // Tokens of a micro-batch for which memory is shown.
    private const int Tokens = 4096;

    public static Command Create()
    {
        Option<string> model = CommonOptions.Model();
        Option<bool> json = CommonOptions.Json();
        var command = new Command("inspect", "Say what a checkpoint is and how much memory tuning it takes.") { model, json };
        command.SetAction(parsed =>
        {
            ModelInspection found = ModelInspector.Inspect(parsed.GetValue(model)!);
            if (parsed.GetValue(json))
                Console.Out.WriteLine(JsonSerializer.Serialize(found, Json.Indented));
            else
                Print(found);

            return found.Unsupported.Count == 0 ? 0 : CommandLine.BadInput;
        });
        return command;
    }

    private static void Print(ModelInspection found)
    {
        var facts = new List<(string, string)>();
        void Row(string name, string value) => facts.Add((name, value));
        string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);
        Row("model", found.Path);
        if (found.Config is { } config)
        {
            Row("family", config.Family.ToString().ToLowerInvariant());
            Row("parameters", Number(found.Parameters ?? 0));
            Row("layers", string.Create(CultureInfo.InvariantCulture, $"{config.Layers} of width {config.HiddenSize}, {config.Heads} heads ({config.KeyValueHeads} key-value), MLP {config.IntermediateSize}"));
            Row("context", Number(config.ContextLength));
            Row("vocabulary", $"{Number(config.VocabularySize)}{(config.TiedHead ? ", head tied" : "")}");
        }

        if (found.Types.Count > 0)
            Row("weights", $"{Bytes(found.StoredBytes)} in {string.Join(", ", found.Types.Select(t => $"{t.Tensors} tensors of {t.Type}"))}");

        string Id(int? id) => id?.ToString(CultureInfo.InvariantCulture) ?? "none";
        Row("special tokens", $"bos {Id(found.BosTokenId)}, eos {(found.EosTokenIds.Count > 0 ? string.Join(" ", found.EosTokenIds) : "none")}, pad {Id(found.PadTokenId)}");
        foreach (TuningMemory memory in found.Memory)
        {
            Row($"tuning {memory.Name}", $"about {Bytes(memory.Total(Tokens))} with {memory.StorageType} and {Number(Tokens)} tokens at once");
        }

        Terminal.PrintFacts(facts);
        foreach (string line in found.Unsupported)
        {
            Console.Error.WriteLine($"unsupported: {line}");
        }
    }

    private static string Bytes(long bytes) => bytes >= 1L << 30
        ? (bytes / (double)(1L << 30)).ToString("0.00 GiB", CultureInfo.InvariantCulture)
        : (bytes / (double)(1L << 20)).ToString("0.0 MiB", CultureInfo.InvariantCulture);
}

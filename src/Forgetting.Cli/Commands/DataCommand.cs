using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting data</c>: what is seen of a data file, before anything is trained on it.</summary>
internal static class DataCommand
{
    // Green, red; and back.
    private const string LearntStart = "\u001b[32m", NegativeStart = "\u001b[31m", End = "\u001b[39m";

    public static Subcommand Entry { get; } = new(
        "data",
        "Say what is seen of data files: shapes, counts, lengths, duplicates, and what is learnt.",
        Fill);

    private static void Fill(Command command)
    {
        var file = new Argument<string[]>("file")
        {
            Description = "data files of any format, folders of them, or - for standard input; with weights as a.jsonl=0.7 b.jsonl=0.3",
            Arity = ArgumentArity.OneOrMore,
        };
        var show = new Option<int>("--show")
        {
            Description = "examples to print, with what is learnt of them in colour",
            HelpName = "N",
            DefaultValueFactory = _ => 3,
        };
        Option<bool> json = CommonOptions.Json();
        command.Fill(file);
        var settings = new SettingsOptions(
            command, new TrainingOptions(), ["model", "adapter", .. SettingsOptions.DataSettings], help: new Dictionary<string, string>
            {
                ["model"] = "checkpoint whose tokens are counted; without one only texts are looked at",
                ["adapter"] = "PEFT adapter whose chat template is used",
            });
        command.Options.Add(show);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            TrainingOptions options = settings.Read(parsed);
            options = Recipe.Find("data")!.Apply(options, parsed.GetValue(file)!, "file");
            options.ValidateValues();
            (Tokenizer Tokenizer, ModelConfig Config)? model = options.Model.Length > 0 ? Load(options.Model) : null;
            List<string> shown = [];
            DataSummary summary = DataSummary.From(
                options, model, (example, encoded) => shown.Add(Shown(example, encoded, model?.Tokenizer)),
                parsed.GetValue(json) ? 0 : parsed.GetValue(show));
            if (parsed.GetValue(json))
                Console.Out.WriteLine(JsonSerializer.Serialize(summary, Json.Compact));
            else
                Print(summary, options, shown);
        });
    }

    private static (Tokenizer Tokenizer, ModelConfig Config) Load(string model)
    {
        using Checkpoint source = Checkpoint.Open(model);
        return (Tokenizer.Load(source.TokenizerPath ?? model), source.Config);
    }

    private static void Print(DataSummary summary, TrainingOptions options, List<string> shown)
    {
        string Of(IReadOnlyDictionary<string, int> counts) =>
            string.Join(", ", counts.Select(c => string.Create(CultureInfo.InvariantCulture, $"{c.Value:N0} {c.Key}")));
        Terminal.PrintFacts(
        [
            ("records", string.Create(CultureInfo.InvariantCulture, $"{summary.Records:N0}")),
            .. summary.Files.Select(
                f => ("", string.Create(CultureInfo.InvariantCulture, $"{f.Records:N0} of {f.File}") + InEpoch(f, summary))),
            ("shapes", Of(summary.Shapes)),
            ("repeated", string.Create(
                CultureInfo.InvariantCulture,
                $"{summary.Repeated:N0} as an earlier record, {summary.Contradicting:N0} the prompt alone, with another answer")),
            .. summary.Unread.Count > 0 ? [("keys not read", Of(summary.Unread))] : Array.Empty<(string, string)>(),
            .. summary.Weighted > 0
                ? [("weights", string.Create(
                    CultureInfo.InvariantCulture, $"{summary.Weighted:N0} records have answers of another weight than 1"))]
                : Array.Empty<(string, string)>(),
            .. summary.Lengths is { } lengths
                ?
                [
                    ("tokens", string.Create(
                        CultureInfo.InvariantCulture,
                        $"{summary.Tokens:N0}, "
                            + $"{summary.Learnt:N0} of them "
                            + $"learnt{(summary.Negative > 0 ? $", {summary.Negative:N0} given to be forgotten" : "")}")),
                    ("lengths", string.Create(
                        CultureInfo.InvariantCulture,
                        $"{lengths.Shortest:N0} to {lengths.Longest:N0} tokens, median {lengths.Median:N0}, mean {lengths.Mean:N1}, "
                            + $"95 % at most {lengths.P95:N0}")),
                    ("too long", string.Create(
                        CultureInfo.InvariantCulture, $"{summary.TooLong:N0} ({Recipe.Text(options.Data.TooLong)})")),
                ]
                : Array.Empty<(string, string)>(),
            .. summary.Refusal is { } refusal
                ? [("refused", string.Create(CultureInfo.InvariantCulture, $"{summary.Refused:N0}, the first: {refusal}"))]
                : Array.Empty<(string, string)>(),
            .. summary.Notices.Select(notice => ("note", notice)),
        ]);
        foreach (string example in shown)
        {
            Console.Out.WriteLine(example);
        }
    }

    private static string InEpoch(DataFileSummary file, DataSummary summary) => file.PerEpoch is not { } seen
        ? ""
        : string.Create(
            CultureInfo.InvariantCulture,
            $": {seen:N0} of {summary.Files.Sum(f => f.PerEpoch):N0} examples of an epoch, "
                + $"each of its {file.Examples:N0} {(double)seen / file.Examples:0.##} times on average");

    // Tokens that are learnt in green and those to be forgotten in red, or between brackets where there is no terminal.
    private static string Shown(DataExample example, IReadOnlyList<EncodedExample> encoded, Tokenizer? tokenizer)
    {
        var text = new StringBuilder($"\n{example.Place}, {Recipe.Text(example.Shape)}\n");
        if (tokenizer is null)
        {
            text.AppendJoin('\n', example.Turns?.Select(m => $"{m.Role}: {Marked(m)}")
                ??
                [
                    example.Prompt + (example.Separator ?? ExampleEncoder.Joint(example.Prompt, example.Completion))
                    + Marked(example.Answer),
                ]);
            return text.ToString();
        }

        foreach (EncodedExample one in encoded)
        {
            // Runs of tokens, since one token may be part of a character.
            for (int from = 0, to; from < one.Length; from = to)
            {
                TokenMark mark = MarkOf(one, from);
                StringBuilder run = new();
                for (to = from; to < one.Length && MarkOf(one, to) == mark;)
                {
                    int next = to + 1;
                    if (tokenizer.IsSpecial(one.Ids[to]))
                    {
                        run.Append(tokenizer.TokenOf(one.Ids[to]));
                    }
                    else
                    {
                        while (next < one.Length && MarkOf(one, next) == mark && !tokenizer.IsSpecial(one.Ids[next]))
                        {
                            next++;
                        }

                        run.Append(tokenizer.Decode(one.Ids.AsSpan(to, next - to), skipSpecial: false, startOfText: to <= 1));
                    }

                    to = next;
                }

                text.Append(Marked(run.ToString(), mark));
            }

            text.Append(encoded.Count > 1 ? "\n" : "");
        }

        return text.Append(encoded.Count == 0 ? "(not trained on)" : "").ToString();
    }

    private static TokenMark MarkOf(EncodedExample example, int token) =>
        new(example.Response[token], Math.Min(example.Given?[token] ?? 0, (sbyte)0));

    private static string Marked(ChatMessage message)
    {
        StringBuilder text = new();
        int done = 0;
        foreach (MarkedSpan span in SignedSpans.Placed(message, message.Content, 0))
        {
            text.Append(Marked(message.Content[done..span.Start], message.Mark));
            text.Append(Marked(message.Content[span.Start..span.End], span.Mark));
            done = span.End;
        }

        return text.Append(Marked(message.Content[done..], message.Mark)).ToString();
    }

    private static string Marked(string text, TokenMark mark)
    {
        bool plain = Console.IsOutputRedirected;
        (string start, string end) = !mark.Response || text.Length == 0 ? ("", "")
            : mark.Sign < 0 ? plain ? ("⟪", "⟫") : (NegativeStart, End)
            : plain ? ("⟦", "⟧") : (LearntStart, End);
        return start + text + end;
    }
}

using System.CommandLine;
using System.Text.Json;

namespace Forgetting.Benchmarks;

/// <summary>
/// <c>load</c>: clients that ask a running server (OpenAI's <c>/v1/completions</c>, this project's or another's) for one text after
/// another, streamed, and what they got. <c>bench/serving.py</c> reads the lines of JSON.
/// </summary>
internal static class LoadCommand
{
    public static Command Create()
    {
        var url = new Option<string>("--url") { Description = "the server", DefaultValueFactory = _ => "http://127.0.0.1:8000" };
        var model = new Option<string>("--model") { Description = "name of the model there", Required = true };
        var clients = new Option<int[]>("--clients")
        {
            Description = "numbers of clients, one after the other", AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => [1, 8, 32],
        };
        Option<double> seconds = Seconds("--seconds", 30, "time for each number"), warmup = Seconds("--warmup", 2, "time before it"),
            sample = Seconds("--sample", 5, "time between two looks at the server's memory");
        var tokens = new Option<int>("--tokens") { Description = "tokens of each text", DefaultValueFactory = _ => 64 };
        var words = new Option<int[]>("--words")
        {
            Description = "words of a prompt, or least and most of them", AllowMultipleArgumentsPerToken = true, Arity = new(1, 2),
            DefaultValueFactory = _ => [20],
        };
        var temperature = new Option<double>("--temperature") { Description = "how to draw", DefaultValueFactory = _ => 1 };
        var leave = new Option<double>("--leave") { Description = "share of the requests whose client goes away before the end" };
        var process = new Option<int?>("--pid") { Description = "the server's process, to tell its memory and its work" };
        var json = new Option<bool>("--json") { Description = "a line of JSON for each number" };
        var command = new Command("load", "Load on a server.")
        {
            url, model, clients, seconds, warmup, sample, tokens, words, temperature, leave, process, json,
        };
        command.SetAction(async (parsed, stop) =>
        {
            int[] lengths = parsed.GetValue(words)!;
            using var http = new HttpClient { BaseAddress = new Uri(parsed.GetValue(url)!), Timeout = Timeout.InfiniteTimeSpan };
            foreach (int count in parsed.GetValue(clients)!)
            {
                var load = new LoadClients(http, new LoadSettings(
                    parsed.GetValue(model)!, count, parsed.GetValue(seconds), parsed.GetValue(warmup), parsed.GetValue(tokens),
                    lengths[0], lengths[^1], parsed.GetValue(temperature), parsed.GetValue(leave), parsed.GetValue(process),
                    parsed.GetValue(sample)));
                LoadResult result = await load.Run(stop).ConfigureAwait(false);
                Console.WriteLine(parsed.GetValue(json) ? JsonSerializer.Serialize(result, BenchmarkResult.Json) : result.ToString());
            }
        });
        return command;
    }

    private static Option<double> Seconds(string name, double value, string description) =>
        new(name) { Description = description, DefaultValueFactory = _ => value };
}

using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;

namespace Forgetting.Benchmarks;

/// <summary>
/// <c>load</c>: clients that ask a running server (OpenAI's <c>/v1/completions</c>, this project's or another's) for one text after
/// another, streamed, and what they got: tokens a second of all together, time to the first token, time of a request, errors.
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
        var seconds = new Option<double>("--seconds") { Description = "time for each number", DefaultValueFactory = _ => 30 };
        var tokens = new Option<int>("--tokens") { Description = "tokens of each text", DefaultValueFactory = _ => 64 };
        var process = new Option<int?>("--pid") { Description = "the server's process, to tell its memory" };
        var json = new Option<bool>("--json") { Description = "a line of JSON for each number" };
        var command = new Command("load", "Load on a server.") { url, model, clients, seconds, tokens, process, json };
        command.SetAction(async (parsed, stop) =>
        {
            using var client = new HttpClient { BaseAddress = new Uri(parsed.GetValue(url)!), Timeout = Timeout.InfiniteTimeSpan };
            foreach (int count in parsed.GetValue(clients)!)
            {
                LoadResult result = await Run(
                    client, parsed.GetValue(model)!, count, parsed.GetValue(seconds), parsed.GetValue(tokens), stop).ConfigureAwait(false);
                string memory = parsed.GetValue(process) is { } id ? $", {Process.GetProcessById(id).WorkingSet64 >> 20} MiB" : "";
                Console.WriteLine(parsed.GetValue(json)
                    ? JsonSerializer.Serialize(result)
                    : string.Create(CultureInfo.InvariantCulture, $"{result.Clients} clients: {result.TokensPerSecond:0} tokens/s, "
                        + $"first token {result.FirstTokenMedian:0} ms (95 %: {result.FirstToken95:0}), "
                        + $"request {result.RequestMedian:0} ms, {result.Requests} requests, {result.Errors} errors{memory}"));
            }
        });
        return command;
    }

    private static async Task<LoadResult> Run(
        HttpClient client, string model, int clients, double seconds, int tokens, CancellationToken stop)
    {
        var clock = Stopwatch.StartNew();
        (List<double> First, List<double> Whole, long Tokens, int Errors)[] all =
            await Task.WhenAll(Enumerable.Range(0, clients).Select(number => Ask(number))).ConfigureAwait(false);
        double elapsed = clock.Elapsed.TotalSeconds;
        double[] first = [.. all.SelectMany(one => one.First).Order()], whole = [.. all.SelectMany(one => one.Whole).Order()];
        return new LoadResult(
            clients, all.Sum(one => one.Tokens) / elapsed, Part(first, 0.5), Part(first, 0.95), Part(whole, 0.5), whole.Length,
            all.Sum(one => one.Errors));

        async Task<(List<double> First, List<double> Whole, long Tokens, int Errors)> Ask(int number)
        {
            List<double> firsts = [], wholes = [];
            long count = 0;
            int errors = 0;
            for (int i = 0; clock.Elapsed.TotalSeconds < seconds; i++)
            {
                double began = clock.Elapsed.TotalMilliseconds;
                try
                {
                    // No text begins as another does: nothing is known of it.
                    using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions")
                    {
                        Content = JsonContent.Create(new
                        {
                            model,
                            prompt = $"{number} and {i} went to the park on a sunny day, and there they saw a big dog.",
                            max_tokens = tokens,
                            temperature = 1,
                            seed = i,
                            stream = true,
                        }),
                    };
                    using HttpResponseMessage response =
                        await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
                    response.EnsureSuccessStatusCode();
                    using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false));
                    int parts = 0;
                    bool done = false;
                    while (await reader.ReadLineAsync(stop).ConfigureAwait(false) is { } line)
                    {
                        done |= line == "data: [DONE]";
                        if (line.StartsWith("data: {", StringComparison.Ordinal) && parts++ == 0)
                            firsts.Add(clock.Elapsed.TotalMilliseconds - began);
                    }

                    // The last event tells the end.
                    count += Math.Max(parts - 1, 0);
                    errors += done ? 0 : 1;
                    wholes.Add(clock.Elapsed.TotalMilliseconds - began);
                }
                catch (HttpRequestException)
                {
                    errors++;
                }
            }

            return (firsts, wholes, count, errors);
        }
    }

    private static double Part(double[] sorted, double share) =>
        sorted.Length == 0 ? double.NaN : sorted[(int)(share * (sorted.Length - 1))];

    /// <param name="TokensPerSecond">Events with text, which are tokens but for characters of several.</param>
    /// <param name="FirstTokenMedian">Milliseconds.</param>
    /// <param name="FirstToken95">Milliseconds.</param>
    /// <param name="RequestMedian">Milliseconds.</param>
    private sealed record LoadResult(
        int Clients, double TokensPerSecond, double FirstTokenMedian, double FirstToken95, double RequestMedian, int Requests, int Errors);
}

using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json;

namespace Forgetting.Benchmarks;

/// <summary>What clients ask, and how long.</summary>
/// <param name="Warmup">Seconds before the counted ones.</param>
/// <param name="LeastWords">Of a prompt; drawn for each between this and <paramref name="MostWords"/>.</param>
/// <param name="Leave">Share of the requests whose client goes away halfway.</param>
/// <param name="Process">The server's, null if it is not to be looked at.</param>
internal sealed record LoadSettings(
    string Model, int Clients, double Seconds, double Warmup, int Tokens, int LeastWords, int MostWords, double Temperature, double Leave,
    int? Process, double Sample);

/// <summary>Clients of one server, each of which asks for one text after the other.</summary>
internal sealed class LoadClients(HttpClient http, LoadSettings settings)
{
    private static readonly string[] s_words =
        ["park", "sunny", "day", "big", "dog", "little", "girl", "saw", "tree", "ball", "happy", "friend", "house", "rain", "red", "boat"];

    private readonly Stopwatch _clock = new();

    // In a client's time.
    private double End => settings.Warmup + settings.Seconds;

    /// <summary>Runs them all.</summary>
    public async Task<LoadResult> Run(CancellationToken stop)
    {
        _clock.Start();
        Task<ClientLog>[] all = [.. Enumerable.Range(0, settings.Clients).Select(number => Ask(number, stop))];
        (List<MemorySample> memory, double? server, double client) = await Watch(stop).ConfigureAwait(false);
        ClientLog[] logs = await Task.WhenAll(all).ConfigureAwait(false);

        // An event may have the characters of several tokens.
        long events = logs.Sum(log => log.Events), told = logs.Sum(log => log.ToldEvents);
        double tokensOfAnEvent = told > 0 ? logs.Sum(log => log.ToldTokens) / (double)told : 1;
        return new LoadResult(
            settings.Clients, settings.Seconds, events * tokensOfAnEvent / settings.Seconds, Spread.Of(logs.SelectMany(log => log.First)),
            Spread.Of(logs.SelectMany(log => log.Between)), Spread.Of(logs.SelectMany(log => log.Whole)), logs.Sum(log => log.Whole.Count),
            logs.Sum(log => log.Left), logs.Sum(log => log.Errors), logs.FirstOrDefault(log => log.FirstError is not null)?.FirstError,
            (long)(logs.Min(log => log.Events) * tokensOfAnEvent), (long)(logs.Max(log => log.Events) * tokensOfAnEvent), server, client,
            memory);
    }

    private async Task<(List<MemorySample> Memory, double? Server, double Client)> Watch(CancellationToken stop)
    {
        await Wait(settings.Warmup).ConfigureAwait(false);
        using Process? server = settings.Process is { } id ? Process.GetProcessById(id) : null;
        TimeSpan serverBefore = server?.TotalProcessorTime ?? default, clientBefore = Environment.CpuUsage.TotalTime;
        List<MemorySample> memory = [];
        for (double at = settings.Warmup; ; at = Math.Min(at + settings.Sample, End))
        {
            await Wait(at).ConfigureAwait(false);
            server?.Refresh();
            if (server is not null)
                memory.Add(new MemorySample(Math.Round(at - settings.Warmup, 1), Math.Round(server.WorkingSet64 / 1048576.0, 1)));

            if (at >= End)
                break;
        }

        double client = (Environment.CpuUsage.TotalTime - clientBefore).TotalSeconds / settings.Seconds;
        return (memory, (server?.TotalProcessorTime - serverBefore)?.TotalSeconds / settings.Seconds, client);

        Task Wait(double second) => Task.Delay(TimeSpan.FromSeconds(Math.Max(second - _clock.Elapsed.TotalSeconds, 0)), stop);
    }

    private async Task<ClientLog> Ask(int number, CancellationToken stop)
    {
        var log = new ClientLog();
        var random = new Random(number);
        for (int i = 0; _clock.Elapsed.TotalSeconds < End; i++)
        {
            int leaveAfter = random.NextDouble() < settings.Leave ? random.Next(settings.Tokens) : int.MaxValue;
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions")
                {
                    Content = JsonContent.Create(new
                    {
                        model = settings.Model,
                        prompt = Prompt(number, i, random),
                        max_tokens = settings.Tokens,
                        temperature = settings.Temperature,
                        seed = i,
                        stream = true,
                        stream_options = new { include_usage = true },
                    }),
                };
                await Read(request, log, leaveAfter, stop).ConfigureAwait(false);
            }
            catch (Exception error) when (error is HttpRequestException or IOException or JsonException)
            {
                log.Fail(error.Message);
                await Task.Delay(10, stop).ConfigureAwait(false);
            }
        }

        return log;
    }

    private async Task Read(HttpRequestMessage request, ClientLog log, int leaveAfter, CancellationToken stop)
    {
        double began = _clock.Elapsed.TotalMilliseconds, before = began;
        using HttpResponseMessage response =
            await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
        response.EnsureSuccessStatusCode();
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false));
        int events = 0;
        long? tokens = null;
        bool done = false;
        while (await reader.ReadLineAsync(stop).ConfigureAwait(false) is { } line)
        {
            done |= line == "data: [DONE]";
            if (!line.StartsWith("data: {", StringComparison.Ordinal))
                continue;

            double now = _clock.Elapsed.TotalMilliseconds;
            if (line.Contains("\"usage\":{", StringComparison.Ordinal))
            {
                using JsonDocument usage = JsonDocument.Parse(line.AsMemory("data: ".Length));
                tokens = usage.RootElement.GetProperty("usage").GetProperty("completion_tokens").GetInt64();
            }
            else if (line.Contains("\"finish_reason\":null", StringComparison.Ordinal))
            {
                bool counts = now >= settings.Warmup * 1e3 && now < End * 1e3;
                log.Events += counts ? 1 : 0;
                if (counts)
                    (events == 0 ? log.First : log.Between).Add((float)(now - before));

                before = now;
                if (++events > leaveAfter)
                {
                    log.Left++;
                    return;
                }
            }
        }

        if (!done)
        {
            log.Fail("the answer had no end");
            return;
        }

        log.Whole.Add((float)(_clock.Elapsed.TotalMilliseconds - began));
        if (tokens is { } told)
            (log.ToldTokens, log.ToldEvents) = (log.ToldTokens + told, log.ToldEvents + events);
    }

    // No text begins as another does: nothing is known of it.
    private string Prompt(int number, int i, Random random)
    {
        int words = random.Next(settings.LeastWords, settings.MostWords + 1);
        return $"{number} and {i} went to the {string.Join(' ', random.GetItems(s_words, words))}";
    }

    private sealed class ClientLog
    {
        public List<float> First { get; } = [];

        public List<float> Between { get; } = [];

        public List<float> Whole { get; } = [];

        public long Events { get; set; }

        // Of answers whose tokens the server told.
        public long ToldTokens { get; set; }

        public long ToldEvents { get; set; }

        public int Left { get; set; }

        public int Errors { get; private set; }

        public string? FirstError { get; private set; }

        public void Fail(string message)
        {
            Errors++;
            FirstError ??= message;
        }
    }
}

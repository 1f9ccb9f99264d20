using System.Diagnostics;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Forgetting.Serving;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Server.Tests;

/// <summary>Requests that are not what they should be, clients that go away, and a server that is told to stop.</summary>
public sealed class RobustnessTests
{
    [SharedDataFact]
    public async Task Thousands_of_malformed_requests_leave_it_as_it_was()
    {
        await using RunningServer server = await RunningServer.Start();
        var random = new Random(5);
        string[] sound =
        [
            """{"model":"stories","messages":[{"role":"user","content":"hi"}],"max_tokens":2,"stop":["x"],"n":1,"seed":3}""",
            """{"model":"one","prompt":[[1,5,9],[3]],"max_tokens":2,"echo":true,"logprobs":1,"temperature":0.5,"stream":true}""",
        ];
        var statuses = new System.Collections.Concurrent.ConcurrentDictionary<int, int>();
        (string Path, byte[] Body)[] requests = [.. Enumerable.Range(0, 4000).Select(_ =>
        {
            int which = random.Next(2);
            byte[] body = Damage(Encoding.UTF8.GetBytes(sound[which]), random);
            return (which == 0 ? "v1/chat/completions" : "v1/completions", body);
        })];
        await Parallel.ForEachAsync(requests, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (request, stop) =>
        {
            using var content = new ByteArrayContent(request.Body) { Headers = { { "Content-Type", "application/json" } } };
            using HttpResponseMessage response = await server.Client.PostAsync(request.Path, content, stop);
            string text = await response.Content.ReadAsStringAsync(stop);
            statuses.AddOrUpdate((int)response.StatusCode, 1, (_, count) => count + 1);
            if (!response.IsSuccessStatusCode)
                Assert.NotEmpty(JsonDocument.Parse(text).RootElement.GetProperty("error").GetProperty("message").GetString()!);
        });

        // No fault of a request is the server's.
        Assert.All(statuses.Keys, status => Assert.Contains(status, new[] { 200, 400, 404 }));
        Assert.True(statuses[400] > 1000 && statuses[200] > 100, string.Join(", ", statuses));
        await server.Idle();
        Assert.Equal(200, (await server.Post("v1/completions", new { model = "stories", prompt = "a", max_tokens = 1 })).Status);
    }

    [SharedDataFact]
    public async Task Broken_http_leaves_it_as_it_was()
    {
        await using RunningServer server = await RunningServer.Start();
        var random = new Random(6);
        byte[] sound = Encoding.ASCII.GetBytes(
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 41\r\n"
            + "Connection: close\r\n\r\n"
            + "{\"model\":\"stories\",\"prompt\":\"a\",\"n\":1}    ");
        await Parallel.ForEachAsync(
            Enumerable.Range(0, 1000).Select(_ => Damage(sound, random)).ToArray(), new ParallelOptions { MaxDegreeOfParallelism = 8 },
            async (bytes, stop) =>
            {
                using var client = new TcpClient();
                await client.ConnectAsync(server.Address.Host, server.Address.Port, stop);
                try
                {
                    await client.GetStream().WriteAsync(bytes, stop);
                    client.Client.Shutdown(SocketShutdown.Send);
                    using var reader = new StreamReader(client.GetStream());
                    await reader.ReadToEndAsync(stop);
                }
                catch (Exception error) when (error is IOException or SocketException or InvalidOperationException)
                {
                    // It hung up, as it may.
                }
            });
        await server.Idle();
        Assert.Equal(200, (await server.Post("v1/completions", new { model = "stories", prompt = "a", max_tokens = 1 })).Status);
    }

    [SharedDataTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Clients_that_go_away_free_their_turns(bool stream)
    {
        await using RunningServer server = await RunningServer.Start(engine: new EngineLimits { Sequences = 2, Waiting = 1000 });
        object lasting = Lasting(RunningServer.Base, stream);
        using var gone = new CancellationTokenSource();
        Task[] asked = [.. Enumerable.Range(0, 5).Select(async _ =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "v1/completions") { Content = JsonContent.Create(lasting) };
            using HttpResponseMessage response =
                await server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, gone.Token);
            await response.Content.ReadAsStringAsync(gone.Token);
        })];
        while ((await server.Client.GetFromJsonAsync<JsonElement>("health")).GetProperty("waiting").GetInt32() < 300)
        {
            await Task.Delay(20);
        }

        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Task.WhenAll(asked));
        await server.Idle();
    }

    [SharedDataFact]
    public async Task Stopping_ends_streams_with_an_error_and_without_done()
    {
        await using RunningServer server = await RunningServer.Start();
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/completions")
        {
            Content = JsonContent.Create(Lasting(RunningServer.Base, stream: true)),
        };
        using HttpResponseMessage response = await server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Task<string> body = response.Content.ReadAsStringAsync();
        await server.Stop();
        string[] events = (await body).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.DoesNotContain("data: [DONE]", events);
        Assert.Contains("\"code\":\"shutdown\"", events[^1], StringComparison.Ordinal);
    }

    [SharedDataFact]
    public async Task The_command_serves_until_it_is_told_to_stop_and_exits_with_0()
    {
        if (OperatingSystem.IsWindows())
            return;

        using var folder = new TemporaryFolder();
        StoriesAdapter.Write(folder["cats"], 3);
        using Process process = Command(
            "serve", "--model", RunningServer.ModelPath, "--name", "base", "--adapter", $"cats={folder["cats"]}", "--port", "0",
            "--device", "cpu");
        string said = (await process.StandardOutput.ReadLineAsync())!;
        Assert.StartsWith("base, cats at http://127.0.0.1:", said, StringComparison.Ordinal);
        using var client = new HttpClient { BaseAddress = new Uri(new Uri(said.Split(' ')[3].TrimEnd(';')), "/") };
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/completions")
        {
            Content = JsonContent.Create(Lasting("cats", stream: true)),
        };
        using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Task<string> body = response.Content.ReadAsStringAsync();
        Assert.Equal(0, Kill(process.Id, Signal: 15));
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(0, process.ExitCode);
        Assert.Contains("shutdown", await body, StringComparison.Ordinal);
    }

    [SharedDataTheory]
    [InlineData("--host 0.0.0.0", "error: --host is 0.0.0.0, which others reach; expected --api-key or FORGETTING_API_KEY with it")]
    [InlineData("--host here", "error: --host is \"here\", expected localhost or an IP address such as 127.0.0.1 or 0.0.0.0")]
    [InlineData("--adapter cats", "error: --adapter is \"cats\", expected NAME=PATH")]
    [InlineData("--port 70000", "error: --port is 70000, expected 0 to 65535")]
    [InlineData("--adapter stories=/none", "error: two models are named stories, expected a name of its own for each")]
    public async Task What_the_command_cannot_do_is_one_line(string options, string expected)
    {
        using Process process =
            Command(["serve", "--model", RunningServer.ModelPath, "--name", "stories", "--device", "cpu", .. options.Split(' ')]);
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal((2, expected), (process.ExitCode, error.TrimEnd()));
    }

    private static object Lasting(string model, bool stream) =>
        new { model, prompt = "Once", max_tokens = 500, n = 100, logprobs = 20, temperature = 1.5, top_p = 0.9, stream };

    private static Process Command(params string[] arguments) => Process.Start(
        new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Forgetting.Cli.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;

    private static byte[] Damage(byte[] sound, Random random)
    {
        List<byte> bytes = [.. sound];
        for (int times = random.Next(0, 4); times >= 0; times--)
        {
            int at = random.Next(bytes.Count), length = Math.Min(random.Next(1, 12), bytes.Count - at);
            switch (random.Next(6))
            {
                case 0: bytes[at] = (byte)random.Next(256); break;
                case 1: bytes.RemoveRange(at, length); break;
                case 2: bytes.InsertRange(at, bytes.GetRange(at, length)); break;
                case 3: bytes.InsertRange(at, "null"u8.ToArray()); break;
                case 4: bytes.InsertRange(at, Encoding.UTF8.GetBytes(new string('9', random.Next(1, 30)))); break;
                default: bytes.RemoveRange(at, random.Next(2) == 0 ? bytes.Count - at : 0); break;
            }

            if (bytes.Count == 0)
                bytes.Add((byte)'{');
        }

        return [.. bytes];
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int pid, int Signal);
}

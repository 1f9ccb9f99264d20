using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Serving;
using Forgetting.Testing;

namespace Forgetting.Server.Tests;

/// <summary>A server with stories260K, which tells a story whatever it is asked, and two adapters of it.</summary>
internal sealed class RunningServer : IAsyncDisposable
{
    public const string Base = "stories";

    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();
    private readonly ModelHost _host;
    private WebServer _server = null!;

    private RunningServer(EngineLimits engine, AnswerLimits limits)
    {
        StoriesAdapter.Write(Adapter(1), 1);
        StoriesAdapter.Write(Adapter(2), 2, head: true);
        _host = ModelHost.Load(
            new ModelChoice((Base, ModelPath), [("one", Adapter(1)), ("two", Adapter(2))], []), _backend, engine, limits,
            cacheTokens: 4096);
    }

    public static string ModelPath => SharedData.Path("stories260K", "hf");

    public HttpClient Client { get; private set; } = null!;

    public Uri Address => _server.Address;

    public string Adapter(int number) => _folder[$"adapter{number}"];

    public static async Task<RunningServer> Start(
        AccessOptions? access = null, EngineLimits? engine = null, AnswerLimits? limits = null)
    {
        var running = new RunningServer(engine ?? new EngineLimits(), limits ?? new AnswerLimits { Context = 8192 });
        running._server = await WebServer.Start(access ?? new AccessOptions(), new ApiServer(running._host).Handle);
        running.Client = new HttpClient { BaseAddress = running.Address, Timeout = TimeSpan.FromMinutes(2) };
        return running;
    }

    /// <summary>Posts JSON; gives the status and what came.</summary>
    public async Task<(int Status, JsonElement Json)> Post(string path, object body)
    {
        using HttpResponseMessage response = body is string text
            ? await Client.PostAsync(path, new StringContent(text, Encoding.UTF8, "application/json"))
            : await Client.PostAsJsonAsync(path, body);
        return ((int)response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement);
    }

    /// <summary>Waits until nothing is being written.</summary>
    public async Task Idle()
    {
        for (int i = 0; ; i++)
        {
            JsonElement health = await Client.GetFromJsonAsync<JsonElement>("health");
            if (health.GetProperty("active").GetInt32() == 0 && health.GetProperty("waiting").GetInt32() == 0)
                return;

            if (i == 600)
                throw new TimeoutException(health.GetRawText());

            await Task.Delay(50);
        }
    }

    public Task Stop() => _server.DisposeAsync().AsTask();

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _server.DisposeAsync();
        _host.Dispose();
        _backend.Dispose();
        _folder.Dispose();
    }
}

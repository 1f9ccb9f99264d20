using System.Net;
using Forgetting.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Forgetting.Server;

/// <summary>
/// Listens, lets in who may ask, and answers whatever goes wrong in one shape. Nothing is read from the environment or from files in the
/// current folder.
/// </summary>
internal sealed class WebServer : IAsyncDisposable, IDisposable
{
    private readonly WebApplication _app;
    private readonly CancellationTokenSource _stopping = new();
    private bool _stopped;

    private WebServer(WebApplication app) => _app = app;

    /// <summary>Where it is, such as <c>http://127.0.0.1:8000</c>.</summary>
    public Uri Address => new(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    /// <summary>Begins to listen.</summary>
    /// <param name="handle">Answers a request; its token is cancelled when the server stops.</param>
    /// <exception cref="UserException">The address cannot be listened at.</exception>
    public static async Task<WebServer> Start(AccessOptions access, Func<HttpContext, CancellationToken, Task> handle)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = access.MaxBodyBytes;
            kestrel.Limits.MaxConcurrentConnections = 1024;
            kestrel.Listen(access.Address, access.Port);
        });
        builder.Services.AddSingleton<IHostLifetime, NoSignals>();
        var server = new WebServer(builder.Build());
        var guard = new RequestGuard(access);
        server._app.Run(context => server.Answer(context, guard, handle));
        try
        {
            await server._app.StartAsync().ConfigureAwait(false);
            return server;
        }
        catch (Exception error) when (error is IOException or System.Net.Sockets.SocketException)
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw new UserException(
                $"cannot listen at {new IPEndPoint(access.Address, access.Port)}, expected an address of this machine and a free port",
                error);
        }
    }

    /// <summary>Ends what is being answered, and stops.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _stopped, true))
            return;

        await _stopping.CancelAsync().ConfigureAwait(false);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _app.StopAsync(patience.Token).ConfigureAwait(false);
        await _app.DisposeAsync().ConfigureAwait(false);
        _stopping.Dispose();
    }

    /// <inheritdoc cref="DisposeAsync"/>
    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    private async Task Answer(HttpContext context, RequestGuard guard, Func<HttpContext, CancellationToken, Task> handle)
    {
        context.Response.Headers.XContentTypeOptions = "nosniff";
        try
        {
            if (!guard.Admit(context))
                return;

            await handle(context, _stopping.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // Nobody is there to answer.
        }
        catch (Exception error) when (!context.Response.HasStarted)
        {
            await Describe(error).WriteTo(context.Response).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // Half an answer is out: a connection that breaks says that the rest is missing.
            context.Abort();
        }
    }

    /// <summary>What a client is told of something that went wrong; what is a defect here stays here.</summary>
    public static ApiError Describe(Exception error) => error switch
    {
        ApiError known => known,
        UserException user => ApiError.Bad(user.Message),
        BadHttpRequestException bad => new ApiError(bad.StatusCode, bad.Message.TrimEnd('.')),
        OperationCanceledException =>
            new ApiError(StatusCodes.Status503ServiceUnavailable, "the server is shutting down", code: "shutdown"),
        _ => new ApiError(StatusCodes.Status500InternalServerError, $"the server failed ({error.GetType().Name})", code: "internal_error"),
    };

    // The command listens to signals itself.
    private sealed class NoSignals : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

using System.CommandLine;
using System.Net;
using Forgetting.Core;
using Forgetting.Server;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting watch</c>: a page on this machine that follows runs.</summary>
internal static class WatchCommand
{
    /// <summary>Where the page is, unless the command line says otherwise.</summary>
    private const int Port = 8001;

    public static Subcommand Entry { get; } = new("watch", "Follow runs on a page in the browser, live or afterwards.", Fill);

    private static void Fill(Command command)
    {
        var folders = new Argument<string[]>("runs")
        {
            Description = "folders of runs, finished or at work; a folder that holds none stands for those below it, also later ones",
            Arity = ArgumentArity.OneOrMore,
        };
        BoundedOption port = new("--port", "port of the page, 0 for any that is free", Port, 0, 65535);
        command.Fill(folders, port);
        command.SetAction(parsed =>
        {
            using var interruption = new Interruption("stopping");
            var runs = new WatchedRuns(parsed.GetValue(folders)!);
            Serve(runs, port.Read(parsed)!.Value, interruption.Token).GetAwaiter().GetResult();
        });
    }

    /// <summary>Shows a run that is about to begin, until disposed of: at the usual port, or where that is taken at another.</summary>
    public static IDisposable Begin(string folder)
    {
        var handler = new WatchServer(new WatchedRuns([folder], mayCome: true));
        WebServer server;
        try
        {
            server = Start(handler, Port).GetAwaiter().GetResult();
        }
        catch (UserException)
        {
            server = Start(handler, 0).GetAwaiter().GetResult();
        }

        Console.Error.WriteLine($"the run can be followed at {server.Address}");
        return server;
    }

    private static async Task Serve(WatchedRuns runs, int port, CancellationToken stop)
    {
        await using WebServer server = await Start(new WatchServer(runs), port).ConfigureAwait(false);
        Console.Out.WriteLine($"{server.Address} shows the runs; Ctrl-C ends it");
        await Task.Delay(Timeout.Infinite, stop).ContinueWith(
            _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
    }

    private static Task<WebServer> Start(WatchServer handler, int port) =>
        WebServer.Start(new AccessOptions { Address = IPAddress.Loopback, Port = port }, handler.Handle);
}

using System.Globalization;
using System.Text;
using Forgetting.Reports;
using Microsoft.AspNetCore.Http;

namespace Forgetting.Server;

/// <summary>A page that follows runs: it comes whole, and then by events, a part whenever that has changed.</summary>
internal sealed class WatchServer(WatchedRuns runs)
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(1);

    /// <summary>Answers a request.</summary>
    /// <exception cref="ApiError">It cannot be answered, and nothing has been sent.</exception>
    public Task Handle(HttpContext context, CancellationToken stopping)
    {
        string path = context.Request.Path.Value ?? "";
        if (!HttpMethods.IsGet(context.Request.Method))
            throw new ApiError(StatusCodes.Status405MethodNotAllowed, $"the method is {context.Request.Method}, expected GET");

        return path switch
        {
            "/" => Pages.Send(context.Response, "text/html", Page()),
            "/watch.js" => Pages.Send(context.Response, "text/javascript", Pages.Resource("watch.js")),
            "/events" => Follow(context, stopping),
            _ when path.StartsWith(WatchedRuns.ReportPath, StringComparison.Ordinal)
                && runs.ReportOf(path[WatchedRuns.ReportPath.Length..]) is { } file =>
                Pages.Send(context.Response, "text/html", File.ReadAllText(file)),
            _ => throw new ApiError(StatusCodes.Status404NotFound, "nothing is here, expected /", code: "unknown_url"),
        };
    }

    private string Page()
    {
        var body = new StringBuilder();
        foreach (PagePart part in runs.Update())
        {
            body.Append(CultureInfo.InvariantCulture, $"<section id=\"{part.Id}\">{part.Html}</section>");
        }

        return HtmlReport.Page(
            "forgetting watch", "<p id=\"lost\" role=\"status\" hidden>No connection to the server; trying again.</p>" + body,
            "<script src=\"/watch.js\"></script>",
            "section:empty { display: none; } section + section { margin-top: 48px; } #lost { color: var(--c1); }");
    }

    private async Task Follow(HttpContext context, CancellationToken stopping)
    {
        Output.BeginEvents(context.Response);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
        var sent = new Dictionary<string, string>();
        string order = "";
        while (!stopping.IsCancellationRequested)
        {
            await Send().ConfigureAwait(false);
            await Task.Delay(s_interval, stop.Token).ContinueWith(
                _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
            context.RequestAborted.ThrowIfCancellationRequested();
        }

        // A run that shows itself ends with its server; the page keeps its end, and tries again until there is a server.
        await Send().ConfigureAwait(false);

        async Task Send()
        {
            IReadOnlyList<PagePart> parts = runs.Update();
            foreach (PagePart part in parts.Where(part => sent.GetValueOrDefault(part.Id) != part.Html))
            {
                await Output.Event(context.Response, json =>
                {
                    json.WriteStartObject();
                    json.WriteString("id", part.Id);
                    json.WriteString("html", part.Html);
                    json.WriteEndObject();
                }).ConfigureAwait(false);
                sent[part.Id] = part.Html;
            }

            // What else the page has is gone, or was another server's.
            string now = string.Join(' ', parts.Select(part => part.Id));
            if (now == order)
                return;

            order = now;
            await Output.Event(context.Response, json =>
            {
                json.WriteStartObject();
                json.WriteStartArray("order");
                foreach (PagePart part in parts)
                {
                    json.WriteStringValue(part.Id);
                }

                json.WriteEndArray();
                json.WriteEndObject();
            }).ConfigureAwait(false);
        }
    }
}

using System.Net;
using System.Text.RegularExpressions;
using Forgetting.Testing;
using PuppeteerSharp;
using Xunit;

namespace Forgetting.Server.Tests;

/// <summary>The page that follows runs, by its requests and in a browser.</summary>
public sealed class WatchTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Pages_reports_and_refusals()
    {
        Begin("a");
        Step("a", 1);
        _folder.Write("a/report.html", "the report of a");
        _folder.Write("secret.html", "not to be read");
        await using WebServer server = await Start(0);
        using var client = new HttpClient { BaseAddress = server.Address };
        using HttpResponseMessage page = await client.GetAsync("/");
        string html = await page.Content.ReadAsStringAsync();
        string id = Regex.Match(html, "<section id=\"(run-[0-9a-f]{12})\">").Groups[1].Value;
        Assert.Contains("1 of 50", html, StringComparison.Ordinal);
        Assert.Contains("script-src 'self'", page.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.Equal("the report of a", await client.GetStringAsync($"/report/{id}"));
        foreach (string path in new[]
        {
            "/report/0", "/report/", "/report/run-000000000000", "/report/../secret.html", "/report/..%2fsecret.html", "/secret.html", "/a",
        })
        {
            Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync(path)).StatusCode);
        }

        using var foreign = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { Host = "evil.example" } };
        Assert.Equal(HttpStatusCode.Forbidden, (await client.SendAsync(foreign)).StatusCode);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await client.PostAsync("/", new StringContent(""))).StatusCode);
    }

    [BrowserFact]
    public async Task A_page_follows_runs_over_a_restart_and_a_resume()
    {
        WebServer server = await Start(0);
        int port = server.Address.Port;
        try
        {
            await using IBrowser browser = await BrowserFactAttribute.Launch();
            await using IPage page = await browser.NewPageAsync();
            List<string> complaints = [];
            page.PageError += (_, error) => complaints.Add(error.Message);
            await page.GoToAsync(server.Address.ToString());
            await Shown(page, "no run yet");
            Begin("a");
            Step("a", 1);
            await Shown(page, "1 of 50");
            await page.WaitForFunctionAsync("() => !document.querySelector('main').textContent.includes('no run yet')");
            Step("a", 2);
            await Shown(page, "2 of 50");

            // The server goes and comes; the run goes on meanwhile, and another that is named before it is begun.
            await server.DisposeAsync();
            await page.WaitForFunctionAsync("() => !document.getElementById('lost').hidden");
            Step("a", 3);
            Begin("0");
            Step("0", 31);
            server = await Start(port);
            await Shown(page, "3 of 50");
            await Shown(page, "31 of 50");
            await page.WaitForFunctionAsync("() => document.querySelectorAll('main > section > header').length === 3");
            Assert.Equal(
                [_folder["0"], _folder["a"]], await page.EvaluateFunctionAsync<string[]>(
                    "() => Array.from(document.querySelectorAll('section[id^=run] h1'), heading => heading.textContent)"));
            await page.WaitForFunctionAsync("() => document.getElementById('lost').hidden");

            // The run is resumed from its second step, while it is looked at.
            string[] lines = await File.ReadAllLinesAsync(_folder["a", "metrics.jsonl"]);
            await File.WriteAllTextAsync(_folder["a", "metrics.jsonl"], lines[0] + "\n");
            Step("a", 2, elapsed: 9);
            await Shown(page, "2 of 50");

            // Another begins, and the charts are common ones.
            Begin("b");
            Step("b", 7);
            await Shown(page, "7 of 50");
            await page.WaitForFunctionAsync("() => document.querySelectorAll('#together svg').length > 0");
            Assert.Empty(complaints);
        }
        finally
        {
            await server.DisposeAsync();
        }
    }

    private static Task<IJSHandle> Shown(IPage page, string text) =>
        page.WaitForFunctionAsync($"() => document.querySelector('main').textContent.includes('{text}')");

    private Task<WebServer> Start(int port) =>
        WebServer.Start(new AccessOptions { Port = port }, new WatchServer(new WatchedRuns([_folder.Path])).Handle);

    private void Begin(string run) => _folder.Write($"{run}/run.yaml", "method: full\nmodel: m\ndata: d\nout: o\n");

    private void Step(string run, int step, double elapsed = 1) => File.AppendAllText(
        _folder[run, "metrics.jsonl"],
        $$"""{"step":{{step}},"steps":50,"loss":1,"positive_loss":1,"negative_loss":null,"lambda":0,"learning_rate":1,"grad_norm":1,"""
        + $$"""
        "tokens":1,"tokens_per_second":1,"elapsed_seconds":{{step * elapsed}}}

        """);
}

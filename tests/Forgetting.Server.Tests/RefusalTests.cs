using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Forgetting.Serving;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Server.Tests;

/// <summary>What is refused: by status, in OpenAI's shape, with the field that is wrong.</summary>
public sealed class RefusalTests
{
    private const string Chat = "v1/chat/completions";
    private const string Text = "v1/completions";

    [SharedDataFact]
    public async Task Each_fault_has_its_status_field_and_words()
    {
        await using RunningServer server = await RunningServer.Start();
        foreach ((string path, string body, int status, string? field, string words) in new (string, string, int, string?, string)[]
        {
            (Chat, "", 400, null, "not JSON"),
            (Chat, "{", 400, null, "not JSON"),
            (Chat, "[]", 400, null, "the request is an array, expected an object"),
            (Chat, "{\"model\":\"stories\",\"model\":\"one\"}", 400, null, "not JSON"),
            (Chat, new string('[', 5000), 400, null, "not JSON"),
            (Chat, "{}", 400, "model", "'model' is missing"),
            (Chat, "{\"model\":5}", 400, "model", "'model' is 5, expected a string"),
            (Chat, "{\"model\":\"../../etc\"}", 404, "model", "does not exist; served are stories, one, two"),
            (Chat, "{\"model\":\"\\ud800\"}", 400, "model", "not valid Unicode"),
            (Chat, "{\"model\":\"stories\"}", 400, "messages", "'messages' is missing"),
            (Chat, "{\"model\":\"stories\",\"messages\":[]}", 400, "messages", "'messages' is missing or empty"),
            (Chat, "{\"model\":\"stories\",\"messages\":[1]}", 400, "messages[0]", "'messages[0]' is 1, expected an object"),
            (Chat, Ask("", "\"role\":\"tool\",\"content\":\"x\""), 400, "messages[0].role",
                "expected system, developer, user or assistant"),
            (Chat, Ask("", "\"role\":\"assistant\",\"content\":\"x\""), 400, "messages", "the last message is the assistant's"),
            (Chat, Ask("", "\"role\":\"user\",\"content\":null"), 400, "messages[0].content", "is missing, expected a text"),
            (Chat, Ask("", "\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]"), 400, "messages[0].content", "not a text"),
            (Chat, Ask("\"max_token\":1,"), 400, "max_token", "Unrecognized request argument supplied: max_token"),
            (Chat, Ask("\"max_tokens\":0,"), 400, "max_tokens", "'max_tokens' is 0, expected an integer from 1 to"),
            (Chat, Ask("\"temperature\":-1,"), 400, "temperature", "'temperature' is -1, expected a number from 0 to 100"),
            (Chat, Ask("\"temperature\":\"hot\","), 400, "temperature", "'temperature' is \"hot\", expected a number"),
            (Chat, Ask("\"top_p\":1.1,"), 400, "top_p", "'top_p' is 1.1"),
            (Chat, Ask("\"n\":1000,"), 400, "n", "'n' is 1000, expected an integer from 1 to 128"),
            (Chat, Ask("\"stop\":[\"\"],"), 400, "stop", "none of them empty"),
            (Chat, Ask("\"stream\":1,"), 400, "stream", "'stream' is 1, expected true or false"),
            (Chat, Ask("\"top_logprobs\":2,"), 400, "top_logprobs", "expected both"),
            (Chat, Ask("\"tools\":[{}],"), 400, "tools", "'tools' is not supported"),
            (Chat, Ask("\"frequency_penalty\":0.5,"), 400, "frequency_penalty", "'frequency_penalty' is not supported"),
            (Chat, Ask("\"response_format\":{\"type\":\"json_object\"},"), 400, "response_format", "expected text"),
            (Chat, Ask("\"seed\":1.5,"), 400, "seed", "'seed' is 1.5, expected an integer"),
            (Chat, Ask("\"seed\":1e400,"), 400, "seed", "'seed' is 1e400"),
            (Text, "{\"model\":\"stories\"}", 400, "prompt", "'prompt' is missing"),
            (Text, "{\"model\":\"stories\",\"prompt\":[]}", 400, "prompt", "'prompt' is an array, expected a text, token ids"),
            (Text, "{\"model\":\"stories\",\"prompt\":[1,\"a\"]}", 400, "prompt", "'prompt' is \"a\", expected a token id"),
            (Text, "{\"model\":\"stories\",\"prompt\":[512]}", 400, null, "token id 512, expected 0 to 511"),
            (Text, "{\"model\":\"stories\",\"prompt\":[[]]}", 400, null, "0 tokens, expected 1 to 511"),
            (Text, $"{{\"model\":\"stories\",\"prompt\":[{string.Join(',', Enumerable.Repeat(5, 512))}]}}", 400, null,
                "the prompt has 512 tokens, expected at most 511"),
            (Text, "{\"model\":\"stories\",\"prompt\":\"a\",\"best_of\":3}", 400, "best_of", "expected the same"),
            (Text, "{\"model\":\"stories\",\"prompt\":\"a\",\"suffix\":\"b\"}", 400, "suffix", "'suffix' is not supported"),
        })
        {
            (int found, JsonElement json) = await server.Post(path, body);
            JsonElement error = json.GetProperty("error");
            string message = error.GetProperty("message").GetString()!;
            Assert.True(found == status, $"{body[..Math.Min(body.Length, 200)]}: {found} {message}");
            Assert.Contains(words, message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', message);
            Assert.Equal(field, error.GetProperty("param").GetString());
            Assert.Equal("invalid_request_error", error.GetProperty("type").GetString());
        }

        // What asks for nothing is no fault.
        (int fine, _) = await server.Post(Chat, Ask(
            "\"tools\":[],\"tool_choice\":\"none\",\"logit_bias\":{},\"presence_penalty\":0,\"response_format\":{\"type\":\"text\"},"
            + "\"max_tokens\":1,\"stop\":null,\"user\":\"u\",\"top_k\":-1,"));
        Assert.Equal(200, fine);
    }

    [SharedDataFact]
    public async Task Only_who_may_asks_and_only_what_is_there()
    {
        await using RunningServer server = await RunningServer.Start(
            new AccessOptions { ApiKey = "secret", MaxBodyBytes = 2000, Origins = ["http://friend.example"] });
        Action<HttpRequestMessage> key = request => request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", "secret");
        Assert.Equal((HttpStatusCode.Unauthorized, "invalid_api_key"), await Send(_ => { }));
        Assert.Equal((HttpStatusCode.Unauthorized, "invalid_api_key"), await Send(r => r.Headers.Authorization = new("Bearer", "secre")));
        Assert.Equal((HttpStatusCode.OK, null), await Send(key));
        Assert.Equal((HttpStatusCode.OK, null), await Send(_ => { }, "/health"));
        Assert.Equal((HttpStatusCode.Forbidden, "foreign_host"), await Send(key + (r => r.Headers.Host = "evil.example")));
        Assert.Equal((HttpStatusCode.Forbidden, "foreign_host"), await Send(key + (r => r.Headers.Host = "127.0.0.1.evil.example:80")));
        Assert.Equal((HttpStatusCode.OK, null), await Send(key + (r => r.Headers.Host = "localhost:1")));
        Assert.Equal((HttpStatusCode.Forbidden, "foreign_origin"), await Send(key + (r => r.Headers.Add("Origin", "http://evil.example"))));
        Assert.Equal((HttpStatusCode.Forbidden, "foreign_origin"), await Send(key + (r => r.Headers.Add("Origin", "null"))));
        string own = server.Address.GetLeftPart(UriPartial.Authority);
        Assert.Equal((HttpStatusCode.OK, null), await Send(key + (r => r.Headers.Add("Origin", own))));
        Assert.Equal((HttpStatusCode.NotFound, "unknown_url"), await Send(key, "/v1/none"));
        Assert.Equal((HttpStatusCode.NotFound, "unknown_url"), await Send(key, "/v1/../../etc/passwd"));
        Assert.Equal((HttpStatusCode.NotFound, "model_not_found"), await Send(key, "/v1/models/..%2f..%2fetc"));
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await Send(key + (r => r.Method = HttpMethod.Delete))).Status);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await Send(key, "/v1/completions")).Status);

        using var preflight =
            new HttpRequestMessage(HttpMethod.Options, "/v1/models") { Headers = { { "Origin", "http://friend.example" } } };
        using HttpResponseMessage allowed = await server.Client.SendAsync(preflight);
        Assert.Equal(HttpStatusCode.NoContent, allowed.StatusCode);
        Assert.Equal("http://friend.example", Assert.Single(allowed.Headers.GetValues("Access-Control-Allow-Origin")));

        server.Client.DefaultRequestHeaders.Authorization = new("Bearer", "secret");
        (int status, _) = await server.Post("v1/completions", new { model = RunningServer.Base, prompt = new string('a', 2500) });
        Assert.Equal(413, status);
        using HttpResponseMessage plain = await server.Client.PostAsync("v1/completions", new StringContent("{}"));
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, plain.StatusCode);

        async Task<(HttpStatusCode Status, string? Code)> Send(Action<HttpRequestMessage> change, string path = "/v1/models")
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            change(request);
            using HttpResponseMessage response = await server.Client.SendAsync(request);
            JsonElement json = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
            string? code = json.TryGetProperty("error", out JsonElement error) ? error.GetProperty("code").GetString() : null;
            return (response.StatusCode, code);
        }
    }

    [SharedDataFact]
    public async Task Who_finds_the_queue_full_or_takes_too_long_is_told()
    {
        await using RunningServer server = await RunningServer.Start(
            engine: new EngineLimits { Sequences = 1, Waiting = 2 },
            limits: new AnswerLimits { Context = 8192, Time = TimeSpan.FromMilliseconds(1500) });
        object lasting = new
        {
            model = RunningServer.Base,
            prompt = "a",
            max_tokens = 500,
            n = 2,
            logprobs = 20,
            temperature = 1.5,
            top_p = 0.9,
        };
        (int Status, JsonElement Json)[] answers =
            await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => server.Post("v1/completions", lasting)));
        Assert.Contains(answers, answer => answer.Status == 503 && Code(answer.Json) == "overloaded");
        Assert.All(answers, answer => Assert.Contains(answer.Status, new[] { 200, 503, 504 }));
        await server.Idle();

        await using RunningServer hurried = await RunningServer.Start(
            limits: new AnswerLimits { Context = 8192, Time = TimeSpan.FromMilliseconds(1) });
        (int status, JsonElement json) = await hurried.Post("v1/completions", lasting);
        Assert.Equal((504, "timeout"), (status, Code(json)));

        static string? Code(JsonElement json) => json.GetProperty("error").GetProperty("code").GetString();
    }

    private static string Ask(string fields, string message = "\"role\":\"user\",\"content\":\"x\"") =>
        $"{{\"model\":\"stories\",{fields}\"messages\":[{{{message}}}]}}";
}

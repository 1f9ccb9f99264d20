using System.Text.Json;
using System.Threading.Channels;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Serving;
using Microsoft.AspNetCore.Http;

namespace Forgetting.Server;

/// <summary>Answers requests of one shape: writes their texts with the engine, and sends them whole or as they come.</summary>
internal sealed class AnswerHandler(IAnswerShape shape, ModelHost host)
{
    /// <summary>Answers a request.</summary>
    /// <param name="stopping">The server is shutting down.</param>
    /// <exception cref="ApiError">It cannot be answered, and nothing has been sent.</exception>
    public async Task Answer(HttpContext context, CancellationToken stopping)
    {
        TextRequest request = shape.Read(await Body(context, stopping).ConfigureAwait(false), host);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
        stop.CancelAfter(request.Model.Limits.Time);
        var head = new Head(shape.IdPrefix + Guid.NewGuid().ToString("N"), DateTimeOffset.UtcNow.ToUnixTimeSeconds(), request.Model.Name);
        try
        {
            if (request.Stream)
                await Stream(context.Response, request, head, stop.Token, stopping).ConfigureAwait(false);
            else
                await Whole(context.Response, request, head, stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested && !stopping.IsCancellationRequested)
        {
            throw TimedOut(request);
        }
        catch (EngineBusyException busy)
        {
            throw new ApiError(StatusCodes.Status503ServiceUnavailable, $"the server is busy: {busy.Message}", code: "overloaded");
        }
    }

    private static async Task<RequestFields> Body(HttpContext context, CancellationToken stopping)
    {
        if (!context.Request.HasJsonContentType())
        {
            throw new ApiError(
                StatusCodes.Status415UnsupportedMediaType, "the request has no JSON, expected Content-Type: application/json");
        }

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
        try
        {
            JsonDocument document = await JsonDocument.ParseAsync(
                context.Request.Body, new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false }, stop.Token)
                .ConfigureAwait(false);
            context.Response.RegisterForDispose(document);
            return RequestFields.Of(document.RootElement);
        }
        catch (JsonException error)
        {
            throw ApiError.Bad("the request is not JSON: " + OneLine(error.Message), code: "invalid_json");
        }
    }

    private static string OneLine(string message) => new UserException(message.ReplaceLineEndings(" ")).Message;

    private static ApiError TimedOut(TextRequest request) => new(
        StatusCodes.Status504GatewayTimeout,
        $"the answer took more than {request.Model.Limits.Time.TotalSeconds:0} seconds, expected fewer tokens", code: "timeout");

    private async Task Whole(HttpResponse response, TextRequest request, Head head, CancellationToken stop)
    {
        IReadOnlyList<Choice> choices = request.Begin((_, _, _) => { });
        await Write(request, choices, stop).ConfigureAwait(false);
        await Output.Json(response, json =>
        {
            WriteHead(json, shape.WholeName, head);
            json.WriteStartArray("choices");
            foreach (Choice choice in choices)
            {
                json.WriteStartObject();
                json.WriteNumber("index", choice.Index);
                shape.WriteWhole(json, request, choice);
                json.WriteString("finish_reason", choice.FinishReason);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            WriteUsage(json, request, choices);
            json.WriteEndObject();
        }).ConfigureAwait(false);
    }

    private async Task Stream(
        HttpResponse response, TextRequest request, Head head, CancellationToken stop, CancellationToken stopping)
    {
        var parts = Channel.CreateUnbounded<(Choice Choice, string Text, IReadOnlyList<TokenProbability> Tokens)>();
        IReadOnlyList<Choice> choices = request.Begin((choice, text, tokens) =>
        {
            if (text.Length > 0 || tokens.Count > 0)
                parts.Writer.TryWrite((choice, text, tokens));
        });
        Task writing = WriteAll();

        // What is refused at once is answered as a whole, with its status.
        await Task.WhenAny(writing, parts.Reader.WaitToReadAsync(CancellationToken.None).AsTask()).ConfigureAwait(false);
        if (writing.IsCompleted)
            await writing.ConfigureAwait(false);

        Output.BeginEvents(response);
        try
        {
            foreach (Choice choice in choices.Where(_ => shape.HasFirst))
            {
                await Send(response, head, choice, shape.WriteFirst).ConfigureAwait(false);
            }

            await foreach ((Choice choice, string text, IReadOnlyList<TokenProbability> tokens) in parts.Reader
                .ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
            {
                await Send(response, head, choice, json => shape.WritePart(json, request, text, choice, tokens)).ConfigureAwait(false);
            }

            await writing.ConfigureAwait(false);
            foreach (Choice choice in choices)
            {
                if (request.Echo && !choice.Echoed)
                    await Send(response, head, choice, json => shape.WritePart(json, request, "", choice, [])).ConfigureAwait(false);

                await Send(response, head, choice, shape.WriteLast, choice.FinishReason).ConfigureAwait(false);
            }

            if (request.StreamUsage)
            {
                await Output.Event(response, json =>
                {
                    WriteHead(json, shape.PartName, head);
                    json.WriteStartArray("choices");
                    json.WriteEndArray();
                    WriteUsage(json, request, choices);
                    json.WriteEndObject();
                }).ConfigureAwait(false);
            }

            await Output.Done(response).ConfigureAwait(false);
        }
        catch (Exception error) when (!response.HttpContext.RequestAborted.IsCancellationRequested)
        {
            // The status is out already: an event says what went wrong, and there is no [DONE].
            bool late = error is OperationCanceledException && !stopping.IsCancellationRequested;
            await Output.Event(response, (late ? TimedOut(request) : WebServer.Describe(error)).WriteTo).ConfigureAwait(false);
        }

        async Task WriteAll()
        {
            try
            {
                await Write(request, choices, stop).ConfigureAwait(false);
            }
            finally
            {
                parts.Writer.Complete();
            }
        }
    }

    private static async Task Write(TextRequest request, IReadOnlyList<Choice> choices, CancellationToken stop)
    {
        await request.Model.Served.Write([.. choices.Select(choice => choice.Sequence)], stop).ConfigureAwait(false);
        foreach (Choice choice in choices)
        {
            choice.Reader.Finish();
        }
    }

    private Task Send(HttpResponse response, Head head, Choice choice, Action<Utf8JsonWriter> write, string? finishReason = null) =>
        Output.Event(response, json =>
        {
            WriteHead(json, shape.PartName, head);
            json.WriteStartArray("choices");
            json.WriteStartObject();
            json.WriteNumber("index", choice.Index);
            write(json);
            json.WriteString("finish_reason", finishReason);
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteEndObject();
        });

    private static void WriteHead(Utf8JsonWriter json, string name, Head head)
    {
        json.WriteStartObject();
        json.WriteString("id", head.Id);
        json.WriteString("object", name);
        json.WriteNumber("created", head.Created);
        json.WriteString("model", head.Model);
    }

    private static void WriteUsage(Utf8JsonWriter json, TextRequest request, IReadOnlyList<Choice> choices)
    {
        int prompt = request.Prompts.Sum(text => text.Ids.Length), drawn = choices.Sum(choice => choice.Sequence.Drawn.Length);
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", prompt);
        json.WriteNumber("completion_tokens", drawn);
        json.WriteNumber("total_tokens", prompt + drawn);
        json.WriteStartObject("prompt_tokens_details");
        json.WriteNumber(
            "cached_tokens", choices.GroupBy(choice => choice.Prompt).Sum(same => same.Max(choice => choice.Sequence.Reused)));
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private readonly record struct Head(string Id, long Created, string Model);
}

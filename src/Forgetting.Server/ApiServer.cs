using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Forgetting.Server;

/// <summary>What is asked at which path.</summary>
internal sealed class ApiServer(ModelHost host, bool needsKey = false)
{
    private readonly AnswerHandler _chat = new(new ChatShape(), host);
    private readonly AnswerHandler _completions = new(new CompletionShape(), host);

    /// <summary>Answers a request.</summary>
    /// <exception cref="ApiError">It cannot be answered, and nothing has been sent.</exception>
    public Task Handle(HttpContext context, CancellationToken stopping)
    {
        const string Models = "/v1/models";
        string path = context.Request.Path.Value ?? "";
        return path switch
        {
            "/v1/chat/completions" => Only(HttpMethods.Post, () => _chat.Answer(context, stopping)),
            "/v1/completions" => Only(HttpMethods.Post, () => _completions.Answer(context, stopping)),
            Models => Only(HttpMethods.Get, () => Output.Json(context.Response, WriteModels)),
            "/" => Only(HttpMethods.Get, () => Pages.Send(
                context.Response, "text/html", ChatPage.Html([.. host.Models.Select(model => model.Name)], needsKey))),
            "/chat.js" => Only(HttpMethods.Get, () => Pages.Send(context.Response, "text/javascript", Pages.Resource("chat.js"))),
            "/health" => Only(HttpMethods.Get, () => Output.Json(context.Response, WriteHealth)),
            _ when path.StartsWith(Models + "/", StringComparison.Ordinal) => Only(HttpMethods.Get, () =>
            {
                NamedModel model = host[path[(Models.Length + 1)..]];
                return Output.Json(context.Response, json => WriteModel(json, model));
            }),
            _ => throw new ApiError(
                StatusCodes.Status404NotFound,
                "nothing is here, expected /, /v1/models, /v1/completions, /v1/chat/completions or /health", code: "unknown_url"),
        };

        Task Only(string method, Func<Task> answer)
        {
            if (context.Request.Method == method)
                return answer();

            context.Response.Headers.Allow = method;
            throw new ApiError(StatusCodes.Status405MethodNotAllowed, $"the method is {context.Request.Method}, expected {method}");
        }
    }

    private void WriteModels(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        foreach (NamedModel model in host.Models)
        {
            WriteModel(json, model);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private void WriteModel(Utf8JsonWriter json, NamedModel model)
    {
        json.WriteStartObject();
        json.WriteString("id", model.Name);
        json.WriteString("object", "model");
        json.WriteNumber("created", host.Loaded.ToUnixTimeSeconds());
        json.WriteString("owned_by", "forgetting");
        json.WriteNumber("max_model_len", model.Limits.Context);
        json.WriteEndObject();
    }

    private void WriteHealth(Utf8JsonWriter json)
    {
        (int active, int waiting) = host.Engine.Load;
        json.WriteStartObject();
        json.WriteString("status", "ok");
        json.WriteNumber("active", active);
        json.WriteNumber("waiting", waiting);
        json.WriteEndObject();
    }
}

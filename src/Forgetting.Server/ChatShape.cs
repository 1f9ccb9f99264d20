using System.Text;
using System.Text.Json;
using Forgetting.Serving;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Server;

/// <summary><c>/v1/chat/completions</c>: conversations that are answered.</summary>
internal sealed class ChatShape : IAnswerShape
{
    /// <inheritdoc/>
    public string IdPrefix => "chatcmpl-";

    /// <inheritdoc/>
    public string WholeName => "chat.completion";

    /// <inheritdoc/>
    public string PartName => "chat.completion.chunk";

    /// <inheritdoc/>
    public TextRequest Read(RequestFields fields, ModelHost host)
    {
        NamedModel model = host[fields.Text("model") ?? throw ApiError.Bad("'model' is missing, expected the name of one", "model")];
        IReadOnlyList<ChatMessage> messages = Messages(fields);
        int? oldName = (int?)fields.Integer("max_tokens", 1, int.MaxValue);
        int? newName = (int?)fields.Integer("max_completion_tokens", 1, int.MaxValue);
        fields.RequireUnused(
            "tools", "tool_choice", "functions", "function_call", "audio", "prediction", "web_search_options", "logit_bias");
        RequireText(fields);
        bool probabilities = fields.Flag("logprobs");
        int likeliest = (int)(fields.Integer("top_logprobs", 0, 20) ?? 0);
        if (likeliest > 0 && !probabilities)
            throw ApiError.Bad("'top_logprobs' is given without 'logprobs', expected both", "top_logprobs");

        int[] ids = model.Encode(messages);
        TextRequest request = TextRequest.Read(
            fields, model, [new PromptText(ids, "")], model.ChatEnds, newName ?? oldName ?? model.Limits.DefaultTokens) with
        {
            Likeliest = probabilities ? likeliest : null,
        };
        fields.RequireNoOthers();
        return request;
    }

    /// <inheritdoc/>
    public void WriteWhole(Utf8JsonWriter json, TextRequest request, Choice choice)
    {
        json.WriteStartObject("message");
        json.WriteString("role", "assistant");
        json.WriteString("content", choice.Text.ToString());
        json.WriteNull("refusal");
        json.WriteEndObject();
        WriteProbabilities(json, request, choice.Tokens);
    }

    /// <inheritdoc/>
    public bool HasFirst => true;

    /// <inheritdoc/>
    public void WriteFirst(Utf8JsonWriter json)
    {
        json.WriteStartObject("delta");
        json.WriteString("role", "assistant");
        json.WriteString("content", "");
        json.WriteEndObject();
        json.WriteNull("logprobs");
    }

    /// <inheritdoc/>
    public void WritePart(Utf8JsonWriter json, TextRequest request, string text, Choice choice, IReadOnlyList<TokenProbability> tokens)
    {
        json.WriteStartObject("delta");
        json.WriteString("content", text);
        json.WriteEndObject();
        WriteProbabilities(json, request, tokens);
    }

    /// <inheritdoc/>
    public void WriteLast(Utf8JsonWriter json)
    {
        json.WriteStartObject("delta");
        json.WriteEndObject();
        json.WriteNull("logprobs");
    }

    private static ChatMessage[] Messages(RequestFields fields)
    {
        if (fields.Find("messages") is not { ValueKind: JsonValueKind.Array } list || list.GetArrayLength() == 0)
            throw ApiError.Bad("'messages' is missing or empty, expected a list with at least one message", "messages");

        ChatMessage[] messages = [.. list.EnumerateArray().Select((element, i) => Message(element, $"messages[{i}]"))];
        return messages[^1].Role != "assistant"
            ? messages
            : throw ApiError.Bad("the last message is the assistant's, expected one to answer", "messages");
    }

    private static ChatMessage Message(JsonElement element, string path)
    {
        var fields = RequestFields.Of(element, path);
        string role = fields.Text("role") ?? throw ApiError.Bad($"'{path}.role' is missing, expected system, user or assistant", path);
        role = role switch
        {
            "system" or "developer" => "system",
            "user" or "assistant" => role,
            _ => throw RequestFields.Wrong(path + ".role", element.GetProperty("role"), "system, developer, user or assistant"),
        };
        fields.RequireUnused("tool_calls", "function_call", "audio", "refusal");
        fields.Ignore("name");
        string content = fields.Find("content") switch
        {
            { ValueKind: JsonValueKind.String } text => RequestFields.TextOf(text, path + ".content"),
            { ValueKind: JsonValueKind.Array } parts =>
                string.Concat(parts.EnumerateArray().Select(part => Part(part, path + ".content"))),
            _ => throw ApiError.Bad($"'{path}.content' is missing, expected a text", path + ".content"),
        };
        fields.RequireNoOthers();
        return new ChatMessage(role, content);
    }

    private static string Part(JsonElement element, string path)
    {
        var part = RequestFields.Of(element, path);
        return part.Text("type") == "text" && part.Text("text") is { } text
            ? text
            : throw ApiError.Bad($"'{path}' has a part that is not a text, expected texts only", path, "unsupported_content");
    }

    private static void RequireText(RequestFields fields)
    {
        if (fields.Find("response_format") is { } format
            && RequestFields.Of(format, "response_format").Text("type") is not (null or "text"))
        {
            throw ApiError.Bad("'response_format' is not supported, expected text", "response_format", "unsupported_parameter");
        }

        if (fields.Find("modalities") is { } kinds && (kinds.ValueKind != JsonValueKind.Array
            || kinds.EnumerateArray().Any(kind => RequestFields.TextOf(kind, "modalities") != "text")))
        {
            throw ApiError.Bad("'modalities' is not supported, expected text", "modalities", "unsupported_parameter");
        }
    }

    private static void WriteProbabilities(Utf8JsonWriter json, TextRequest request, IReadOnlyList<TokenProbability> tokens)
    {
        if (request.Likeliest is null)
        {
            json.WriteNull("logprobs");
            return;
        }

        Tokenizer tokenizer = request.Model.Served.Loaded.Tokenizer;
        json.WriteStartObject("logprobs");
        json.WriteStartArray("content");
        foreach (TokenProbability token in tokens)
        {
            json.WriteStartObject();
            WriteToken(json, tokenizer, token.Id, token.LogProbability);
            json.WriteStartArray("top_logprobs");
            foreach ((int id, double probability) in token.Likeliest)
            {
                json.WriteStartObject();
                WriteToken(json, tokenizer, id, probability);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNull("refusal");
        json.WriteEndObject();
    }

    private static void WriteToken(Utf8JsonWriter json, Tokenizer tokenizer, int id, double probability)
    {
        json.WriteString("token", CompletionShape.TextOf(tokenizer, id));
        json.WriteNumber("logprob", probability);
        json.WriteStartArray("bytes");
        foreach (byte value in tokenizer.BytesOf(id))
        {
            json.WriteNumberValue(value);
        }

        json.WriteEndArray();
    }
}

using System.Text.Json;
using Forgetting.Serving;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Server;

/// <summary><c>/v1/completions</c>: texts that are continued, and, with <c>echo</c> and <c>logprobs</c>, scored.</summary>
internal sealed class CompletionShape : IAnswerShape
{
    /// <inheritdoc/>
    public string IdPrefix => "cmpl-";

    /// <inheritdoc/>
    public string WholeName => "text_completion";

    /// <inheritdoc/>
    public string PartName => "text_completion";

    /// <inheritdoc/>
    public TextRequest Read(RequestFields fields, ModelHost host)
    {
        NamedModel model = host[fields.Text("model") ?? throw ApiError.Bad("'model' is missing, expected the name of one", "model")];
        IReadOnlyList<PromptText> prompts = Prompts(fields, model);
        bool echo = fields.Flag("echo");
        fields.RequireUnused("suffix");
        int maxTokens = (int)(fields.Integer("max_tokens", 0, int.MaxValue) ?? 16);
        TextRequest request = TextRequest.Read(fields, model, prompts, model.TextEnds, maxTokens) with
        {
            Continues = true,
            Echo = echo,
            Likeliest = (int?)fields.Integer("logprobs", 0, 20),
        };
        if (fields.Integer("best_of", 1, request.Model.Limits.Texts) is { } best && best != request.Choices)
            throw ApiError.Bad($"'best_of' is {best} and 'n' {request.Choices}, expected the same", "best_of", "unsupported_parameter");

        fields.RequireNoOthers();
        return request;
    }

    /// <inheritdoc/>
    public void WriteWhole(Utf8JsonWriter json, TextRequest request, Choice choice) =>
        WritePart(json, request, choice.Text.ToString(), choice, choice.Tokens);

    /// <inheritdoc/>
    public bool HasFirst => false;

    /// <inheritdoc/>
    public void WriteFirst(Utf8JsonWriter json)
    {
    }

    /// <inheritdoc/>
    public void WritePart(Utf8JsonWriter json, TextRequest request, string text, Choice choice, IReadOnlyList<TokenProbability> tokens)
    {
        bool echo = request.Echo && !choice.Echoed;
        choice.Echoed = true;
        json.WriteString("text", echo ? choice.Prompt.Text + text : text);
        if (request.Likeliest is null)
            json.WriteNull("logprobs");
        else
            WriteProbabilities(json, request, choice, tokens, echo);
    }

    /// <inheritdoc/>
    public void WriteLast(Utf8JsonWriter json)
    {
        json.WriteString("text", "");
        json.WriteNull("logprobs");
    }

    private static IReadOnlyList<PromptText> Prompts(RequestFields fields, NamedModel model)
    {
        JsonElement prompt = fields.Find("prompt") ?? throw ApiError.Bad("'prompt' is missing, expected a text or token ids", "prompt");
        if (prompt.ValueKind != JsonValueKind.Array)
            return [OfText(RequestFields.TextOf(prompt, "prompt"), model)];

        if (prompt.GetArrayLength() == 0)
            throw RequestFields.Wrong("prompt", prompt, "a text, token ids, or a list of such");

        return prompt[0].ValueKind switch
        {
            JsonValueKind.String => [.. prompt.EnumerateArray().Select(text => OfText(RequestFields.TextOf(text, "prompt"), model))],
            JsonValueKind.Array => [.. prompt.EnumerateArray().Select(ids => OfIds(ids, model))],
            _ => [OfIds(prompt, model)],
        };
    }

    // As others have it: who continues a text as it is may lay it out himself, with special tokens spelt out.
    private static PromptText OfText(string text, NamedModel model) =>
        new(model.Served.Loaded.Tokenizer.Encode(text, allowSpecial: true), text);

    private static PromptText OfIds(JsonElement list, NamedModel model)
    {
        if (list.ValueKind != JsonValueKind.Array)
            throw RequestFields.Wrong("prompt", list, "a list of token ids");

        int[] ids = [.. list.EnumerateArray().Select(id => id.ValueKind == JsonValueKind.Number && id.TryGetInt32(out int value)
            ? value
            : throw RequestFields.Wrong("prompt", id, "a token id"))];
        return new PromptText(ids, model.Served.Loaded.Tokenizer.Decode(ids, skipSpecial: false));
    }

    private static void WriteProbabilities(
        Utf8JsonWriter json, TextRequest request, Choice choice, IReadOnlyList<TokenProbability> own, bool echo)
    {
        Tokenizer tokenizer = request.Model.Served.Loaded.Tokenizer;
        IReadOnlyList<string> prompt = echo ? tokenizer.TextsOf(choice.Prompt.Ids) : [];
        TokenProbability[] tokens = echo ? [.. choice.Reader.Prompt, .. own] : [.. own];
        int offset = request.Echo ? choice.Prompt.Text.Length : 0;
        json.WriteStartObject("logprobs");
        json.WriteStartArray("tokens");
        foreach (string text in prompt.Concat(own.Select(token => TextOf(tokenizer, token.Id))))
        {
            json.WriteStringValue(text);
        }

        json.WriteEndArray();
        json.WriteStartArray("token_logprobs");
        if (echo)
            json.WriteNullValue();

        foreach (TokenProbability token in tokens)
        {
            json.WriteNumberValue(token.LogProbability);
        }

        json.WriteEndArray();
        if (request.Likeliest == 0)
        {
            json.WriteNull("top_logprobs");
        }
        else
        {
            json.WriteStartArray("top_logprobs");
            if (echo)
                json.WriteNullValue();

            foreach (TokenProbability token in tokens)
            {
                WriteLikeliest(json, tokenizer, token);
            }

            json.WriteEndArray();
        }

        json.WriteStartArray("text_offset");
        int at = 0;
        foreach (string text in prompt)
        {
            json.WriteNumberValue(Math.Min(at, choice.Prompt.Text.Length));
            at += text.Length;
        }

        foreach (TokenProbability token in own)
        {
            json.WriteNumberValue(offset + token.Start);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    // By text: of tokens that are spelt alike, the likeliest.
    private static void WriteLikeliest(Utf8JsonWriter json, Tokenizer tokenizer, TokenProbability token)
    {
        json.WriteStartObject();
        foreach ((string text, double probability) in token.Likeliest
            .Select(one => (Text: TextOf(tokenizer, one.Id), one.LogProbability)).DistinctBy(one => one.Text))
        {
            json.WriteNumber(text, probability);
        }

        json.WriteEndObject();
    }

    internal static string TextOf(Tokenizer tokenizer, int id) => tokenizer.TextsOf([id])[0];
}

using System.Text.Json;
using Forgetting.Core;
using Forgetting.Models;

namespace Forgetting.Server;

/// <summary>A prompt of a request.</summary>
/// <param name="Ids">Its tokens.</param>
/// <param name="Text">Its text.</param>
internal readonly record struct PromptText(int[] Ids, string Text);

/// <summary>What is asked for, whatever the shape of the request.</summary>
internal sealed record TextRequest
{
    private static readonly string[] s_ignored =
    [
        "user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
        "parallel_tool_calls",
    ];

    /// <summary>The model.</summary>
    public required NamedModel Model { get; init; }

    /// <summary>What to continue or to answer.</summary>
    public required IReadOnlyList<PromptText> Prompts { get; init; }

    /// <summary>How to draw; its number of new tokens is not used.</summary>
    public required GenerationOptions Options { get; init; }

    /// <summary>Most tokens of each answer.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>Answers to each prompt.</summary>
    public required int Choices { get; init; }

    /// <summary>Whether the answer comes as events.</summary>
    public required bool Stream { get; init; }

    /// <summary>Whether a stream ends with the numbers of tokens.</summary>
    public required bool StreamUsage { get; init; }

    /// <summary>How many of the likeliest tokens are told in each place; null for no probabilities.</summary>
    public int? Likeliest { get; init; }

    /// <summary>Whether the prompt is continued, and not answered.</summary>
    public bool Continues { get; init; }

    /// <summary>Whether the prompt is part of the answer.</summary>
    public bool Echo { get; init; }

    /// <summary>Reads what both shapes have in common.</summary>
    /// <param name="model">The model that the request names.</param>
    /// <param name="prompts">Its prompts.</param>
    /// <param name="ends">Ids that end an answer.</param>
    /// <param name="maxTokens">Most tokens of an answer.</param>
    public static TextRequest Read(
        RequestFields fields, NamedModel model, IReadOnlyList<PromptText> prompts, IReadOnlyList<int> ends, int maxTokens)
    {
        int choices = (int)(fields.Integer("n", 1, model.Limits.Texts) ?? 1);
        if ((long)choices * prompts.Count > model.Limits.Texts)
            throw ApiError.Bad($"{prompts.Count} prompts and 'n' {choices}, expected at most {model.Limits.Texts} texts in a request", "n");

        foreach (PromptText prompt in prompts)
        {
            int most = maxTokens == 0 ? model.Limits.Context : model.Limits.Context - 1;
            if (prompt.Ids.Length > most)
            {
                throw ApiError.Bad(
                    $"the prompt has {prompt.Ids.Length} tokens, expected at most {most} (the context length is {model.Limits.Context})",
                    code: "context_length_exceeded");
            }
        }

        bool stream = fields.Flag("stream"), usage = false;
        if (fields.Find("stream_options") is { } element)
        {
            var options = RequestFields.Of(element, "stream_options");
            usage = options.Flag("include_usage");
            options.Ignore("include_obfuscation");
            options.RequireNoOthers();
        }

        long seed = fields.Integer("seed", long.MinValue, long.MaxValue) ?? Random.Shared.NextInt64();
        fields.Ignore(s_ignored);
        fields.RequireUnused("frequency_penalty", "presence_penalty", "logit_bias");
        return new TextRequest
        {
            Model = model,
            Prompts = prompts,
            MaxTokens = maxTokens,
            Choices = choices,
            Stream = stream,
            StreamUsage = usage,
            Options = new GenerationOptions
            {
                Temperature = fields.Number("temperature", 0, 100) ?? 1,

                // At 0, the fewest tokens that there may be: one.
                TopP = Math.Max(fields.Number("top_p", 0, 1) ?? 1, 1e-9),
                TopK = (int)(fields.Integer("top_k", -1, int.MaxValue) is > 0 and var k ? k : 0),
                RepetitionPenalty = fields.Number("repetition_penalty", 1e-3, 1e3) ?? 1,
                Seed = unchecked((ulong)seed),
                StopIds = ends,
                StopTexts = Stops(fields),
            },
        };
    }

    private static string[] Stops(RequestFields fields)
    {
        const int Most = 16;
        if (fields.Find("stop") is not { } stop)
            return [];

        string[] texts = stop.ValueKind == JsonValueKind.Array
            ? [.. stop.EnumerateArray().Select(text => RequestFields.TextOf(text, "stop"))]
            : [RequestFields.TextOf(stop, "stop")];
        return texts.Length <= Most && texts.All(text => text.Length > 0)
            ? texts
            : throw ApiError.Bad($"'stop' has {texts.Length} texts, expected at most {Most}, none of them empty", "stop");
    }

    /// <summary>The sequences to write.</summary>
    /// <exception cref="UserException">A prompt is empty or an option out of range.</exception>
    public IReadOnlyList<Choice> Begin(Action<Choice, string, IReadOnlyList<Serving.TokenProbability>> show) =>
        [.. Prompts.SelectMany((prompt, i) => Enumerable.Range(0, Choices).Select(
            key => new Choice(this, (i * Choices) + key, key, prompt, show)))];
}

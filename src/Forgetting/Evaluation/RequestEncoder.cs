using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Evaluation;

/// <summary>Texts as the token ids that lm-evaluation-harness would score.</summary>
/// <param name="tokenizer">The model's.</param>
/// <param name="config">The model, for its context length and its beginning-of-text token.</param>
/// <param name="bos">Begin every context with what the tokenizer puts in front (the harness' <c>add_bos_token</c>).</param>
/// <param name="layout">Lays out contexts as users' messages and continuations as their answers, as training does;
/// null for texts as they are.</param>
internal sealed class RequestEncoder(Tokenizer tokenizer, ModelConfig config, bool bos = true, MessageLayout? layout = null)
{
    private readonly ExampleEncoder? _conversations = layout is null ? null : new(tokenizer, int.MaxValue, layout: layout);

    /// <summary>
    /// A continuation after a context: white space at the context's end moves to the continuation, and the continuation's ids are those of
    /// both together without as many as the context has by itself. An empty context is one token, the one that begins a text.
    /// </summary>
    /// <param name="end">Score the token that ends a text too, behind the continuation.</param>
    /// <exception cref="UserException">The continuation has no tokens of its own, or no token ends a text.</exception>
    public LogLikelihoodRequest Encode(string context, string continuation, bool end = false)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (_conversations is not null)
            return EncodeAnswer(_conversations, context, continuation, end);

        string trimmed = context.TrimEnd();
        string moved = context[trimmed.Length..] + continuation;
        int[] first = trimmed.Length == 0 ? [Prefix] : tokenizer.Encode(trimmed, bos);
        int[] rest =
            trimmed.Length == 0 ? tokenizer.Encode(moved, bos: false) : [.. tokenizer.Encode(trimmed + moved, bos).Skip(first.Length)];
        return rest.Length > 0
            ? new LogLikelihoodRequest(first, end ? [.. rest, End] : rest)
            : throw new UserException($"the continuation \"{continuation}\" adds no tokens to its context; expected at least one");
    }

    /// <summary>Tokens of the model's context.</summary>
    public int ContextLength => config.ContextLength;

    /// <summary>
    /// The end of a prompt that leaves room for <paramref name="newTokens"/> more, and whether its beginning was cut off for that.
    /// </summary>
    /// <exception cref="UserException">So many tokens leave no room for a prompt.</exception>
    public (int[] Ids, bool Truncated) EncodePrompt(string prompt, int newTokens)
    {
        int room = config.ContextLength - newTokens;
        if (room < 1)
            throw new UserException($"{newTokens} new tokens leave no room for a prompt: the context length is {config.ContextLength}");

        int[] ids = _conversations is null ? tokenizer.Encode(prompt, bos) : _conversations.EncodePrompt(Turns(prompt));
        return ids.Length == 0 ? ([Prefix], false) : (ids[Math.Max(0, ids.Length - room)..], ids.Length > room);
    }

    /// <summary>
    /// A text of any length as requests that together score each of its tokens once. The first window is predicted from the token that
    /// begins a text; each further one holds a full context, of which the tokens not yet scored are scored.
    /// </summary>
    public IReadOnlyList<LogLikelihoodRequest> EncodeRolling(string text)
    {
        int[] ids = tokenizer.Encode(text, bos: false);
        int length = config.ContextLength;
        List<LogLikelihoodRequest> windows = [];
        for (int done = 0; done < ids.Length;)
        {
            int end = Math.Min(done + length, ids.Length);
            int[] context = done == 0 ? [Prefix] : ids[Math.Max(0, end - length - 1)..done];
            windows.Add(new LogLikelihoodRequest(context, ids[done..end]));
            done = end;
        }

        return windows;
    }

    // The tokens that training would learn of the answer, and those before them.
    private LogLikelihoodRequest EncodeAnswer(ExampleEncoder conversations, string context, string continuation, bool end)
    {
        EncodedExample whole = conversations.Encode(Turns(context, continuation.Trim()));
        int first = Array.IndexOf(whole.Response, true);
        return new LogLikelihoodRequest(
            whole.Ids[..first], end ? [.. whole.Ids[first..], conversations.TurnEnd ?? End] : whole.Ids[first..]);
    }

    private static DataExample Turns(string question, string? answer = null) => new()
    {
        Index = 0,
        Place = "the context",
        Messages = answer is null
            ? [new ChatMessage("user", question)]
            : [new ChatMessage("user", question), new ChatMessage("assistant", answer)],
        Truncated = true,
    };

    private int End => tokenizer.EosIds.Concat(config.EosTokenIds).Cast<int?>().FirstOrDefault()
        ?? throw new UserException("the end of answers is to be scored, and neither the tokenizer nor config.json names an eos token");

    private int Prefix => tokenizer.BosId ?? config.BosTokenId ?? tokenizer.EosIds.Concat(config.EosTokenIds).Cast<int?>().FirstOrDefault()
        ?? throw new UserException(
            "an empty context needs a token that begins a text, and neither the tokenizer nor config.json names a bos or eos token");
}

using System.Globalization;
using Forgetting.Core;

namespace Forgetting.Text.ChatTemplates;

/// <summary>
/// Finds the assistants' turns in the text that a template makes of a conversation, by comparing that with its texts for the turns
/// before. Those need not
/// begin the whole text: a generation prompt may open what an answer does not have, and an earlier answer may be written without its
/// reasoning.
/// </summary>
/// <param name="source">What errors call the template.</param>
/// <param name="input">The conversation.</param>
/// <param name="text">The text of all of it.</param>
/// <param name="endTokens">Spellings of the control tokens.</param>
/// <param name="render">The text of the first so many turns, with the generation prompt or without.</param>
internal sealed class TurnFinder(
    string source, TemplateInput input, string text, IReadOnlyCollection<string> endTokens, Func<int, bool, string> render)
{
    private readonly Dictionary<(int Count, bool Prompt), string?> _rendered = [];

    /// <summary>The stretches of all assistant turns, in order.</summary>
    /// <exception cref="UserException">One is not found; its number is named.</exception>
    public List<(int Start, int End)> Find()
    {
        List<(int Start, int End)> spans = [];
        for (int turn = 0; turn < input.Messages.Count; turn++)
        {
            if (input.Messages[turn].Role == "assistant")
                spans.Add(Find(turn, spans.Count > 0 ? spans[^1].End : 0));
        }

        return spans;
    }

    /// <summary>
    /// A turn begins no earlier than the text agrees with that of the turns before it. Where the generation prompt is part of the text,
    /// it begins behind that.
    /// </summary>
    private (int Start, int End) Find(int turn, int done)
    {
        string? prompted = Rendered(turn, prompt: true), through = Rendered(turn + 1, prompt: false);
        bool prefix = prompted != null && text.StartsWith(prompted, StringComparison.Ordinal);
        int earliest = Math.Max(done, Rendered(turn, prompt: false) is { } before ? Common(before) : prefix ? prompted!.Length : 0);
        int opened = Math.Max(earliest, Common(prompted)), limit = Limit(turn, opened);
        bool closed = through != null && text.StartsWith(through, StringComparison.Ordinal);
        string content = input.Content(turn).Trim();
        (int found, int end) = Locate(content, earliest, opened, limit, prefix);
        if (found < 0)
            throw NotFound(turn);

        bool more = input.Messages[turn].More?.Values.Any(ChatMessage.Says) ?? false;
        if (more && prefix && opened <= found)
            return (opened, closed ? LastEnd(turn, end, through!) : FirstEnd(end, limit, end));

        // White space that the template puts before the content is learnt with it, unless a heading had to be skipped.
        int start = opened <= found && string.IsNullOrWhiteSpace(text[opened..found]) ? opened : found;
        return (start, closed ? FirstEnd(end, through!.Length, through.TrimEnd().Length) : FirstEnd(end, limit, end));
    }

    /// <summary>
    /// Where the content stands: as it is, behind the generation prompt or, where that goes on into the content, before its end; else
    /// what the template left of its end,
    /// whatever became of white space.
    /// </summary>
    private (int Start, int End) Locate(string content, int earliest, int opened, int limit, bool prefix)
    {
        // Where the text parts from the generation prompt, the content may have begun with what the two happen to have in common.
        int[] near = prefix ? [] : [.. Enumerable.Range(0, opened - Math.Max(earliest, opened - content.Length) + 1)
            .Select(back => opened - back).Where(from => text.AsSpan(from).StartsWith(content, StringComparison.Ordinal))];
        if (near.Length > 0)
        {
            int start = near.FirstOrDefault(from => Ends(from + content.Length, limit), near[0]);
            return (start, start + content.Length);
        }

        foreach (int from in (int[])[opened, earliest])
        {
            int found = text.IndexOf(content, from, Math.Max(0, limit - from), StringComparison.Ordinal);
            if (found >= 0)
                return (found, found + content.Length);
        }

        (int Start, int End) located = LocateEnd(content, opened, limit, prefix);
        return located.Start < 0 && earliest < opened ? LocateEnd(content, earliest, limit, prefix) : located;
    }

    private (int Start, int End) LocateEnd(string content, int from, int limit, bool prefix)
    {
        (string bare, List<int> places) = Bare(text, from, limit);
        string wanted = Bare(content, 0, content.Length).Text;

        // If an end of the content is in the text, so is every shorter one.
        int least = 0, most = wanted.Length;
        while (least < most)
        {
            int length = (least + most + 1) / 2;
            (least, most) = bare.Contains(wanted[^length..], StringComparison.Ordinal) ? (length, most) : (least, length - 1);
        }

        if (least == 0)
            return (-1, -1);

        // A word may stand there by chance: what is left out closes, as </think> and [/THINK] do, and what is left ends the turn.
        int at = bare.LastIndexOf(wanted[^least..], StringComparison.Ordinal), start = places[at], end = places[at + least - 1] + 1;
        string left = wanted[..^least];
        if (left is not ("" or [.., '>' or ']']) || !Ends(end, limit))
            return (-1, -1);

        // All of it, in other white space: then what stands between the generation prompt and this is the content's, too.
        bool rewritten = prefix && from < start && Bare(text, from, start).Text is { Length: > 0 } between
            && left.EndsWith(between, StringComparison.Ordinal);
        return (rewritten ? from : start, end);
    }

    // Whether nothing but white space stands before a control token or the end of the turn.
    private bool Ends(int from, int limit)
    {
        ReadOnlySpan<char> behind = text.AsSpan(from, Math.Max(0, limit - from)).TrimStart();
        foreach (string token in endTokens)
        {
            if (behind.StartsWith(token, StringComparison.Ordinal))
                return true;
        }

        return behind.IsEmpty;
    }

    /// <summary>
    /// Where the turn ends at the latest: before the content of the next one, in the text that all later turns leave as it is.
    /// </summary>
    private int Limit(int turn, int from)
    {
        if (turn + 1 == input.Messages.Count)
            return text.Length;

        string next = input.Content(turn + 1).Trim();
        string? later = turn + 2 == input.Messages.Count ? text : Rendered(turn + 2, prompt: false) ?? Rendered(turn + 2, prompt: true);
        if (later is null)
            return text.Length;

        int limit = Math.Max(from, Common(later));
        int place = next.Length == 0 ? -1 : text.LastIndexOf(next, Math.Max(0, limit - 1), limit - from, StringComparison.Ordinal);
        return place >= from ? place : limit;
    }

    // Behind the first control token from a place on: the newline that many templates put there is not the assistant's.
    private int FirstEnd(int from, int limit, int otherwise) => Math.Max(from, endTokens
        .Select(token => (Token: token, At: limit > from ? text.IndexOf(token, from, limit - from, StringComparison.Ordinal) : -1))
        .Where(t => t.At >= 0)
        .OrderBy(t => t.At)
        .ThenByDescending(t => t.Token.Length)
        .Select(t => t.At + t.Token.Length)
        .FirstOrDefault(otherwise));

    // Behind the last control token that stands there whether or not an answer is to follow: what a turn has besides its content may hold
    // some.
    private int LastEnd(int turn, int from, string through)
    {
        int limit =
            Rendered(turn + 1, prompt: true) is { } open ? Math.Max(from, through.AsSpan().CommonPrefixLength(open)) : through.Length;
        return endTokens
            .Select(
                token => (Token: token, At: limit > from ? text.LastIndexOf(token, limit - 1, limit - from, StringComparison.Ordinal) : -1))
            .Where(t => t.At >= 0)
            .Select(t => t.At + t.Token.Length)
            .DefaultIfEmpty(Math.Max(from, through.TrimEnd().Length))
            .Max();
    }

    private int Common(string? other) => other is null ? 0 : text.AsSpan().CommonPrefixLength(other);

    // Null where the template refuses so short a conversation.
    private string? Rendered(int count, bool prompt)
    {
        if (!_rendered.TryGetValue((count, prompt), out string? known))
        {
            try
            {
                known = count == 0 && !prompt ? "" : render(count, prompt);
            }
            catch (UserException)
            {
                known = null;
            }

            _rendered[(count, prompt)] = known;
        }

        return known;
    }

    // A stretch without its white space, and where its characters stand.
    private static (string Text, List<int> Places) Bare(string text, int from, int to)
    {
        List<int> places = [];
        for (int i = from; i < to; i++)
        {
            if (!char.IsWhiteSpace(text[i]))
                places.Add(i);
        }

        return (string.Create(places.Count, (text, places), (span, state) =>
        {
            for (int i = 0; i < span.Length; i++)
            {
                span[i] = state.text[state.places[i]];
            }
        }), places);
    }

    private UserException NotFound(int turn) => new(string.Create(
        CultureInfo.InvariantCulture,
        $"{source}: cannot tell where message {turn + 1} stands in the text; "
            + $"expected a template with {{% generation %}} or one that writes each assistant's content"));
}

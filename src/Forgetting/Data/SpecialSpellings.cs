using Forgetting.Text;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Data;

/// <summary>Special tokens that the data spells: counts them, and takes out those that a layout writes itself.</summary>
internal sealed class SpecialSpellings
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _allowed;
    private readonly string? _bos;
    private readonly SortedSet<string> _seen = new(StringComparer.Ordinal);
    private int _spelling, _doubled;

    /// <param name="tokenizer">Whose tokens.</param>
    /// <param name="allowed">Whether spellings become the tokens.</param>
    public SpecialSpellings(Tokenizer tokenizer, bool allowed)
    {
        (_tokenizer, _allowed) = (tokenizer, allowed);
        _bos = tokenizer.BosId is int bos ? tokenizer.TokenOf(bos) : null;
        Begins = tokenizer.Encode("", bos: true).FirstOrDefault(-1) == tokenizer.BosId;
    }

    /// <summary>Whether the tokenizer begins every text with the token for that.</summary>
    public bool Begins { get; }

    /// <summary>What there is to say, a sentence each.</summary>
    /// <param name="examples">Examples in all.</param>
    public IEnumerable<string> Notices(int examples)
    {
        string spelt = string.Join(", ", _seen.Take(4)) + (_seen.Count > 4 ? ", …" : "");
        if (_spelling > 0 && !_allowed)
        {
            yield return $"{_spelling:N0} of {examples:N0} examples spell special tokens ({spelt}), which are text here; "
                + "with allow-special they would be the tokens";
        }

        if (_doubled > 0)
        {
            yield return $"{_doubled:N0} of {examples:N0} examples spell the token that begins a text or ends an answer, "
                + "which is there in any case; "
                + "it is put there once";
        }
    }

    /// <summary>Whether some text of an example spells a special token.</summary>
    public bool Spelt(DataExample example) => Spellings(example).Any();

    /// <summary>Remembers what the example spells.</summary>
    public void Count(DataExample example)
    {
        string[] found = [.. Spellings(example)];
        _spelling += found.Length > 0 ? 1 : 0;
        _seen.UnionWith(found);
    }

    /// <summary>
    /// An example without the token that begins a text at its beginning, and without those that end an answer at the end of its answers.
    /// </summary>
    /// <param name="begins">Whether the layout begins the text with that token.</param>
    /// <param name="ends">Tokens that end an answer.</param>
    /// <param name="closes">Whether the layout ends answers itself.</param>
    public DataExample Once(DataExample example, bool begins, IReadOnlyList<int> ends, bool closes)
    {
        string[] spelt = [.. ends.Select(id => _tokenizer.TokenOf(id)!)];
        string? bos = begins ? _bos : null;
        bool changed = false;
        DataExample once;
        if (example.Messages is { } messages)
        {
            once = example with
            {
                Messages =
                [
                    .. messages.Select((m, i) => Cut(
                        m, i == 0 ? bos : null,
                        closes && m.Role == "assistant" && !(example.Truncated && i == messages.Count - 1) ? spelt : [])),
                ],
            };
        }
        else
        {
            string prompt = WithoutBeginning(example.Prompt, bos);
            ChatMessage answer = Cut(
                example.Answer, example.Prompt.Length == 0 ? bos : null, closes && !example.Truncated ? spelt : []);
            once = example with { Prompt = prompt, Completion = answer.Content, Spans = answer.Spans };
        }

        _doubled += changed ? 1 : 0;
        return once;

        ChatMessage Cut(ChatMessage message, string? beginning, string[] endings)
        {
            string rest = WithoutBeginning(message.Content, beginning);
            int cut = message.Content.Length - rest.Length;
            rest = WithoutEnd(rest, endings);
            return message with { Content = rest, Spans = SignedSpans.Kept(message, cut, rest.Length) };
        }

        string WithoutBeginning(string text, string? token)
        {
            while (token?.Length > 0 && text.AsSpan().TrimStart().StartsWith(token, StringComparison.Ordinal))
            {
                (text, changed) = (text[(text.IndexOf(token, StringComparison.Ordinal) + token.Length)..], true);
            }

            return text;
        }

        string WithoutEnd(string text, string[] tokens)
        {
            while (tokens.FirstOrDefault(t => text.AsSpan().TrimEnd().EndsWith(t, StringComparison.Ordinal)) is { Length: > 0 } token)
            {
                (text, changed) = (text[..text.LastIndexOf(token, StringComparison.Ordinal)], true);
            }

            return text;
        }
    }

    private IEnumerable<string> Spellings(DataExample example) => TemplateRenderer.Texts(example.Messages ?? [], example.Variables)
        .Prepend(example.Completion).Prepend(example.Prompt).SelectMany(text => _tokenizer.SplitAtSpecial(text)).Where(
            part => part.Id != null).Select(part => _tokenizer.TokenOf(part.Id!.Value)!);
}

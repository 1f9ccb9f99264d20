using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Data;

/// <summary>How the messages of a conversation become text.</summary>
internal sealed class MessageLayout
{
    // The two layouts without a template, as one, behind the spellings of the tokens that begin and end a text.
    private const string Head = "{%- set bos = '", Second = "' %}{%- set eos = '", HeadEnd = "' %}";

    private const string TuluBody =
        @"{{ bos }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + (m['content'] | trim) }}" +
        @"{% if m['role'] == 'assistant' %}{{ eos }}{% endif %}" +
        @"{% if not loop.last or add_generation_prompt %}{{ '\n' }}{% endif %}{% endfor %}" +
        @"{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}";

    private const string PlainBody =
        "{{ bos }}{% set s = namespace(last='') %}{% for m in messages %}" +
        "{% if s.last and not s.last.isspace() and not m['content'][:1].isspace() "
        + "%}{{ ' ' }}{% set s.last = ' ' %}{% endif %}{{ m['content'] }}" +
        "{% if m['role'] == 'assistant' %}{{ eos }}{% set s.last = '' %}{% elif m['content'] %}{% set s.last = m['content'][-1:] "
        + "%}{% endif %}{% endfor %}";

    private readonly string? _body;

    private MessageLayout(string name, ChatTemplate? template, string? body = null) => (Name, Template, _body) = (name, template, body);

    /// <summary>The paper's: <c>&lt;|role|&gt;\n{content}\n</c>, an assistant's content followed by eos (arXiv 2508.04329).</summary>
    public static MessageLayout Tulu { get; } = new("tulu", null, TuluBody);

    /// <summary>
    /// No markers (this project's choice): the contents as they are, joined as a prompt and its completion are, and eos behind each
    /// assistant's, after
    /// which nothing joins. A question with its answer is thus the same tokens as a prompt with its completion.
    /// </summary>
    public static MessageLayout Plain { get; } = new("plain", null, PlainBody);

    /// <summary>What messages call it.</summary>
    public string Name { get; }

    /// <summary>The template that lays out everything, special tokens included; null for the two layouts above.</summary>
    internal ChatTemplate? Template { get; }

    /// <summary>
    /// A chat template's layout; a prompt with its completion is then a user's turn with the assistant's. Of a template that <see
    /// cref="ToTemplate"/> made of one of the
    /// layouts above it is that one.
    /// </summary>
    public static MessageLayout From(ChatTemplate template)
    {
        ArgumentNullException.ThrowIfNull(template);
        return Written(template.Text) ?? new(template.Source, template);
    }

    /// <summary>The layout as a chat template.</summary>
    /// <param name="tokenizer">Whose tokens begin and end a text.</param>
    internal string ToTemplate(Tokenizer tokenizer)
    {
        if (Template is { } template)
            return template.Text;

        string bos = string.Concat(tokenizer.Encode("", bos: true).Select(id => tokenizer.TokenOf(id)));
        string eos = tokenizer.TokenOf(tokenizer.EosIds[0])!;
        return Head + Quoted(bos) + Second + Quoted(eos) + HeadEnd + _body;
    }

    private static MessageLayout? Written(string text)
    {
        foreach (MessageLayout layout in (MessageLayout[])[Tulu, Plain])
        {
            if (!text.StartsWith(Head, StringComparison.Ordinal) || !text.EndsWith(HeadEnd + layout._body, StringComparison.Ordinal))
                continue;

            string tokens = text[Head.Length..^(HeadEnd.Length + layout._body!.Length)];
            if (tokens.Split(Second) is [var bos, var eos] && !bos.Contains("%}", StringComparison.Ordinal)
                && !eos.Contains("%}", StringComparison.Ordinal))
            {
                return layout;
            }
        }

        return null;
    }

    private static string Quoted(string token) =>
        token.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "\\'", StringComparison.Ordinal);
}

using System.Globalization;
using System.Text;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>
/// The file from which ollama makes a model of a GGUF file: where the weights are, how messages are laid out, and what ends an answer.
/// </summary>
internal static class Modelfile
{
    private const string Quotes = "\"\"\"";

    /// <summary>Where the Modelfile of a GGUF file goes: beside it, with the extension replaced.</summary>
    public static string PathOf(string file) => System.IO.Path.ChangeExtension(file, "Modelfile");

    /// <summary>The text.</summary>
    /// <param name="from">The weights.</param>
    /// <param name="adapter">The adapter to add to them, or null.</param>
    /// <param name="layout">How messages are laid out; null for a text that is continued.</param>
    /// <param name="begin">The token that llama.cpp puts in front of a text by itself, or null.</param>
    /// <param name="stops">Spellings of the tokens that end an answer.</param>
    /// <param name="context">Most tokens.</param>
    public static string Text(string from, string? adapter, ChatTemplate? layout, string? begin, IEnumerable<string> stops, int context)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"FROM {from}\n");
        if (adapter != null)
            text.Append(CultureInfo.InvariantCulture, $"ADAPTER {adapter}\n");

        // Without one, ollama takes the template of the weights' file where it knows that.
        string? template = layout is null ? "{{ .Prompt }}"
            : TurnPieces.From((messages, answered) => layout.Render(messages, answered)) is { } pieces ? Template(Begun(pieces, begin))
            : null;
        if (template != null && !template.Contains(Quotes, StringComparison.Ordinal))
            text.Append(CultureInfo.InvariantCulture, $"TEMPLATE {Quotes}{template}{Quotes}\n");

        foreach (string stop in stops.Where(s => s.Length > 0 && !s.AsSpan().ContainsAny('"', '\n')))
        {
            text.Append(CultureInfo.InvariantCulture, $"PARAMETER stop \"{stop}\"\n");
        }

        return text.Append(CultureInfo.InvariantCulture, $"PARAMETER num_ctx {context}\n").ToString();
    }

    // Go's language of templates. The system message is .System wherever it stands among .Messages, and an answer that has begun goes on.
    private static string Template(TurnPieces pieces)
    {
        string start = Literal(pieces.Start);
        string head = pieces.System is var (before, after)
            ? $"{{{{ if .System }}}}{Literal(before)}{{{{ .System }}}}{Literal(after)}{{{{ else }}}}{start}{{{{ end }}}}"
            : start;
        string question = $"{Literal(pieces.User.Before)}{{{{ .Content }}}}{Literal(pieces.User.After)}";
        string answer =
            $"{Literal(pieces.Assistant.Before)}{{{{ .Content }}}}{{{{ if not $last }}}}{Literal(pieces.Assistant.After)}{{{{ end }}}}";
        return head + "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
            + $"{{{{ if eq .Role \"user\" }}}}{question}{{{{ else if eq .Role \"assistant\" }}}}{answer}{{{{ end }}}}"
            + $"{{{{ if and $last (ne .Role \"assistant\") }}}}{Literal(pieces.Answer)}{{{{ end }}}}{{{{ end }}}}";
    }

    // Without the token that begins the text. Where each question has it in front, it goes behind what comes before each further one.
    private static TurnPieces Begun(TurnPieces pieces, string? begin)
    {
        string Without(string text) =>
            begin is { Length: > 0 } && text.StartsWith(begin, StringComparison.Ordinal) ? text[begin.Length..] : text;
        if (pieces.Start.Length == 0 && Without(pieces.User.Before) is var before && before != pieces.User.Before)
        {
            pieces = pieces with
            {
                System = pieces.System is var (front, behind) ? (front, behind + begin) : null,
                User = (before, pieces.User.After),
                Assistant = (pieces.Assistant.Before, pieces.Assistant.After + begin),
            };
        }

        return pieces with { Start = Without(pieces.Start), System = pieces.System is var (first, last) ? (Without(first), last) : null };
    }

    private static string Literal(string text) => text.Replace("{{", "{{ \"{{\" }}", StringComparison.Ordinal);
}

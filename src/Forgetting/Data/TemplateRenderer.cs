using System.Text;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.Text;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Data;

/// <summary>A chat template's text of an example in which only the template spells special tokens.</summary>
/// <param name="Text">The text; special tokens that the data spells are broken by the marker.</param>
/// <param name="Marker">A character that is to be taken out of the text.</param>
/// <param name="Spans">What is trained on, in order.</param>
internal sealed record RenderedText(string Text, char Marker, IReadOnlyList<MarkedSpan> Spans)
{
    /// <summary>A stretch of the text without markers.</summary>
    public string Stretch(int start, int end) => Text[start..end].Replace(Marker.ToString(), "", StringComparison.Ordinal);
}

/// <summary>Lays out examples by a chat template, and refuses what of the data the template does not write.</summary>
/// <param name="template">The template.</param>
/// <param name="tokenizer">Whose special tokens the data must not spell.</param>
/// <param name="allowSpecial">Let them.</param>
internal sealed class TemplateRenderer(ChatTemplate template, Tokenizer tokenizer, bool allowSpecial)
{
    // Roles that templates put into special tokens of their own, such as <|user|>.
    private static readonly HashSet<string> s_roles = ["system", "user", "assistant", "tool", "function", "developer", "ipython", "model"];

    /// <summary>The text of an example with what is to be learnt of it.</summary>
    /// <exception cref="UserException">The template fails or does not write what the data has; the line is named.</exception>
    public RenderedText ForTraining(DataExample example, IReadOnlyList<ChatMessage> messages)
    {
        (TemplateInput input, char marker) = Guarded(example, messages);
        Check(example, input, answered: true);
        (string text, IReadOnlyList<(int Start, int End, int? Turn)> spans) = template.RenderForTraining(input, tokenizer.SpecialTokens);
        return new RenderedText(text, marker, [.. spans.Select(span => span.Turn is not { } turn
            ? new MarkedSpan(span.Start, span.End, new TokenMark(Response: true))
            : new MarkedSpan(span.Start, span.End, input.Messages[turn].Mark)
            {
                Inner = input.Messages[turn].Spans is null ? [] : Inner(example, input, turn, text[span.Start..span.End], span.Start),
            })]);
    }

    private IReadOnlyList<MarkedSpan> Inner(DataExample example, TemplateInput input, int turn, string written, int place)
    {
        string content = input.Content(turn);
        foreach (string part in (string[])[content, content.Trim()])
        {
            if (Locate(written, part) is >= 0 and var at)
                return SignedSpans.Placed(input.Messages[turn], part, place + at);
        }

        throw new UserException(
            $"{example.Place}: message {turn + 1} has spans, but the template {template.Source} does not write its content once and "
            + "as it is; expected a content that it does");
    }

    // Behind nothing but white space, or in one place only.
    private static int Locate(string written, string content)
    {
        int lead = written.Length - written.TrimStart().Length - (content.Length - content.TrimStart().Length);
        if (lead >= 0 && written.AsSpan(lead).StartsWith(content, StringComparison.Ordinal))
            return lead;

        int first = written.IndexOf(content, StringComparison.Ordinal);
        return first == written.LastIndexOf(content, StringComparison.Ordinal) ? first : -1;
    }

    /// <summary>The text that an answer follows.</summary>
    /// <exception cref="UserException">See <see cref="ForTraining"/>.</exception>
    public RenderedText ForAnswer(DataExample example, IReadOnlyList<ChatMessage> messages)
    {
        (TemplateInput input, char marker) = Guarded(example, messages);
        Check(example, input, answered: false);
        return new RenderedText(template.Render(input, addGenerationPrompt: true), marker, []);
    }

    /// <summary>Every text of an example's messages and variables, keys and roles among them.</summary>
    public static IEnumerable<string> Texts(IReadOnlyList<ChatMessage> messages, IReadOnlyDictionary<string, JsonElement>? variables) =>
    [
        .. messages.SelectMany(m => (IEnumerable<string>)[m.Role, m.Content, .. Texts(m.More)]),
        .. Texts(variables),
    ];

    private static IEnumerable<string> Texts(IReadOnlyDictionary<string, JsonElement>? values) =>
        values?.SelectMany(v => Texts(v.Value).Prepend(v.Key)) ?? [];

    private static IEnumerable<string> Texts(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => [value.GetString()!],
        JsonValueKind.Array => value.EnumerateArray().SelectMany(Texts),
        JsonValueKind.Object => value.EnumerateObject().SelectMany(m => Texts(m.Value).Prepend(m.Name)),
        _ => [],
    };

    /// <summary>A key that is not in the text is not what the user believes to train on: the text without it must be another one.</summary>
    private void Check(DataExample example, TemplateInput input, bool answered)
    {
        string? whole = null;
        for (int turn = 0; turn < input.Messages.Count; turn++)
        {
            ChatMessage message = input.Messages[turn];
            foreach ((string key, JsonElement value) in message.More ?? [])
            {
                if (!ChatMessage.Says(value) || OnlyNames(message, key))
                    continue;

                ChatMessage[] without = [.. input.Messages];
                without[turn] = message with { More = Without(message.More!, key) };
                if (Same(input with { Messages = without }))
                {
                    throw new UserException(
                        $"{example.Place}: message {turn + 1} has '{key}', which the template {template.Source} does not write; "
                        + "expected only what it writes");
                }
            }
        }

        foreach (string key in input.Variables?.Keys ?? [])
        {
            if (Same(input with { Variables = Without(input.Variables!, key) }))
            {
                throw new UserException(
                    $"{example.Place}: '{key}' changes nothing in what the template {template.Source} writes; "
                    + "expected only what it writes");
            }
        }

        bool Same(TemplateInput other)
        {
            whole ??= template.Render(input, !answered);
            try
            {
                return template.Render(other, !answered) == whole;
            }
            catch (UserException)
            {
                // It cannot do without the key.
                return false;
            }
        }
    }

    // What ties a tool's answer to its call, which the order of the messages also does.
    private static bool OnlyNames(ChatMessage message, string key) =>
        key == "tool_call_id" || (key == "name" && message.Role is "tool" or "function" or "ipython");

    private static Dictionary<string, JsonElement> Without(IReadOnlyDictionary<string, JsonElement> values, string key) =>
        values.Where(v => v.Key != key).ToDictionary(v => v.Key, v => v.Value);

    private (TemplateInput Input, char Marker) Guarded(DataExample example, IReadOnlyList<ChatMessage> messages)
    {
        char marker = UnusedCharacter(Texts(messages, example.Variables));
        var input = new TemplateInput(messages, example.Variables);
        return (allowSpecial ? input : input with
        {
            Guard = text => BreakSpecial(text, marker),
            RoleGuard = role => Known(role) ? BreakSpecial(role, marker) : marker + BreakSpecial(role, marker),
        }, marker);
    }

    // Any other role than these could become a special token together with the text around it: <|{{ role }}|>.
    private bool Known(string role) => s_roles.Contains(role)
        || template.Text.Contains($"'{role}'", StringComparison.Ordinal) || template.Text.Contains($"\"{role}\"", StringComparison.Ordinal);

    private string BreakSpecial(string content, char marker)
    {
        StringBuilder broken = new();
        foreach ((int start, int length, int? id) in tokenizer.SplitAtSpecial(content))
        {
            // Behind the first character of the spelling itself: white space that the token would take comes before it.
            int lead = id is null ? length : content.AsSpan(start, length).IndexOfAnyExcept(' ', '\n', '\t') + 1;
            broken.Append(content, start, lead);
            if (id != null)
                broken.Append(marker).Append(content, start + lead, length - lead);
        }

        return broken.ToString();
    }

    /// <summary>One of the code points that Unicode keeps for a program's own use and that these texts do not have.</summary>
    private static char UnusedCharacter(IEnumerable<string> texts)
    {
        char marker = '\uFDD0';
        while (texts.Any(text => text.Contains(marker, StringComparison.Ordinal)))
        {
            marker++;
        }

        return marker;
    }
}

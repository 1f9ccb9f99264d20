using System.Globalization;
using Forgetting.Data;
using Forgetting.IO;

namespace Forgetting.HuggingFace.ChatTemplates;

/// <summary>
/// A checkpoint's chat template: a Jinja program that turns a conversation into the text the model was trained on. What runs here is the subset of Jinja that
/// such templates use, with the settings and the functions of Hugging Face. (Written here because NuGet has no Jinja for .NET under the name
/// one would look for, Jinja2.NET.)
/// </summary>
public sealed class ChatTemplate
{
    private readonly Statement _body;
    private readonly string _source;
    private readonly Dictionary<string, object?> _specialTokens;

    private readonly Func<DateTime> _now;

    private ChatTemplate(string text, string source, Dictionary<string, object?> specialTokens, Func<DateTime>? now = null)
    {
        _now = now ?? (() => DateTime.Now);
        _source = source;
        _specialTokens = specialTokens;
        _body = Guarded(() => TemplateParser.Parse(text));
    }

    /// <summary>
    /// The template of a checkpoint folder, from <c>chat_template.jinja</c> or <c>tokenizer_config.json</c> (of several there the one named "default"), or null
    /// where it has none.
    /// </summary>
    /// <exception cref="UserException">A file is malformed, or the template has a syntax error; its line is named.</exception>
    public static ChatTemplate? Load(string folder)
    {
        folder = ModelPath.Resolve(folder);
        Dictionary<string, object?> tokens = SpecialTokens(folder, out JsonView? config);
        string file = Path.Combine(folder, "chat_template.jinja");
        if (File.Exists(file))
        {
            return new ChatTemplate(InputFile.ReadText(file, "a chat template"), file, tokens);
        }

        if (config?.Find("chat_template") is not { } template)
        {
            return null;
        }

        if (template.Element.ValueKind == System.Text.Json.JsonValueKind.Array)
        {
            template = template.Items().FirstOrDefault(t => t["name"].AsString() == "default") is { Source: not null } named
                ? named["template"]
                : throw template.Wrong("a list without a template named \"default\"", "one");
        }

        return new ChatTemplate(template.AsString(), $"{config.Value.Source}: chat_template", tokens);
    }

    /// <summary>The template of a file, with the special tokens of a checkpoint folder.</summary>
    /// <exception cref="UserException">The file is missing, or the template has a syntax error; its line is named.</exception>
    public static ChatTemplate LoadFile(string file, string folder) =>
        new(InputFile.ReadText(file, "a chat template"), file, SpecialTokens(folder, out _));

    /// <summary>A template from its text.</summary>
    /// <param name="text">Jinja.</param>
    /// <param name="source">What errors call it.</param>
    /// <param name="specialTokens">Variables such as <c>bos_token</c> and <c>eos_token</c>.</param>
    /// <param name="now">The time that <c>strftime_now</c> tells; the clock's if null.</param>
    /// <exception cref="UserException">A syntax error; its line is named.</exception>
    public static ChatTemplate Parse(string text, string source, IReadOnlyDictionary<string, string> specialTokens, Func<DateTime>? now = null) =>
        new(text, source, specialTokens.ToDictionary(t => t.Key, t => (object?)t.Value), now);

    /// <summary>The text of a conversation.</summary>
    /// <param name="messages">The turns.</param>
    /// <param name="addGenerationPrompt">End with what precedes the assistant's next turn.</param>
    /// <exception cref="UserException">The template rejects the conversation or fails; its line is named.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt = false) =>
        RenderOutput(messages, addGenerationPrompt).Text.ToString();

    /// <summary>The text of a conversation, with the stretches of it that are the assistant's and that training is to learn.</summary>
    /// <exception cref="UserException">The template fails, or its text for a part of the conversation does not begin its text for the whole.</exception>
    public (string Text, IReadOnlyList<(int Start, int End)> Assistant) RenderForTraining(IReadOnlyList<ChatMessage> messages, IReadOnlyCollection<string> endTokens)
    {
        ArgumentNullException.ThrowIfNull(messages);
        TemplateOutput whole = RenderOutput(messages, addGenerationPrompt: false);
        string text = whole.Text.ToString();
        if (whole.Generated.Count > 0)
        {
            return (text, whole.Generated);
        }

        List<(int Start, int End)> spans = [];
        for (int i = 0; i < messages.Count; i++)
        {
            if (messages[i].Role == "assistant")
            {
                spans.Add(FindTurn(messages, i, text, endTokens));
            }
        }

        return (text, spans);
    }

    /// <summary>
    /// The stretch of one assistant turn: from where the conversation before it ends, with the generation prompt, to where the conversation with it ends.
    /// Within that it begins with the content, should the generation prompt be missing, and ends behind the first special token after
    /// the content: the newline that many templates put there is not the assistant's.
    /// </summary>
    private (int Start, int End) FindTurn(IReadOnlyList<ChatMessage> messages, int turn, string text, IReadOnlyCollection<string> endTokens)
    {
        int start = turn == 0 ? 0 : Render([.. messages.Take(turn)], addGenerationPrompt: true) is var before && text.StartsWith(before, StringComparison.Ordinal)
            ? before.Length
            : throw NotAPrefix();
        string through = Render([.. messages.Take(turn + 1)]);
        if (!text.StartsWith(through, StringComparison.Ordinal) || through.Length < start)
        {
            throw NotAPrefix();
        }

        string content = messages[turn].Content.Trim();
        int found = text.IndexOf(content, start, through.Length - start, StringComparison.Ordinal);
        if (found < 0)
        {
            throw NotAPrefix();
        }

        // White space that the template puts before the content is learnt with it, unless a heading had to be skipped.
        start = string.IsNullOrWhiteSpace(text[start..found]) ? start : found;
        int end = endTokens
            .Select(token => (Token: token, At: text.IndexOf(token, found + content.Length, through.Length - found - content.Length, StringComparison.Ordinal)))
            .Where(t => t.At >= 0)
            .OrderBy(t => t.At)
            .ThenByDescending(t => t.Token.Length)
            .Select(t => t.At + t.Token.Length)
            .FirstOrDefault(through.TrimEnd().Length);
        return (start, Math.Max(end, found + content.Length));

        UserException NotAPrefix() => new(string.Create(
            CultureInfo.InvariantCulture,
            $"{_source}: cannot tell where message {turn + 1} stands in the text; expected a template with {{% generation %}} or one that renders each turn by itself"));
    }

    private TemplateOutput RenderOutput(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt)
    {
        TemplateScope scope = new(null)
        {
            ["messages"] = messages.Select(object? (m) => new TemplateMap { ["role"] = m.Role, ["content"] = m.Content }).ToList(),
            ["add_generation_prompt"] = addGenerationPrompt,
            ["tools"] = null,
            ["documents"] = null,
            ["raise_exception"] = (TemplateFunction)(a => throw new TemplateException(TemplateValues.Text(a.Get(0, "message")))),
            ["strftime_now"] = (TemplateFunction)(a => TemplateClock.Format(_now(), TemplateValues.Text(a.Get(0, "format")))),
            ["namespace"] = (TemplateFunction)MakeNamespace,
            ["dict"] = (TemplateFunction)MakeMap,
            ["range"] = (TemplateFunction)MakeRange,
        };
        foreach ((string name, object? token) in _specialTokens)
        {
            scope[name] = token;
        }

        TemplateOutput output = new();
        Guarded(() => _body(scope, output));
        return output;
    }

    private T Guarded<T>(Func<T> action)
    {
        try
        {
            return action();
        }
        catch (TemplateException e)
        {
            string line = string.Create(CultureInfo.InvariantCulture, $"{_source}: line {e.Line}: {e.Message}");
            throw new UserException(line.ReplaceLineEndings(" "), e);
        }
    }

    private static Dictionary<string, object?> SpecialTokens(string folder, out JsonView? config)
    {
        Dictionary<string, object?> tokens = [];
        config = null;
        foreach (string name in (string[])["special_tokens_map.json", "tokenizer_config.json"])
        {
            string file = Path.Combine(folder, name);
            config = File.Exists(file) ? JsonView.Load(file) : null;
            foreach ((string key, JsonView value) in config?.Members() ?? [])
            {
                if (key.EndsWith("_token", StringComparison.Ordinal))
                {
                    switch (value.Element.ValueKind)
                    {
                        case System.Text.Json.JsonValueKind.String:
                            tokens[key] = value.AsString();
                            break;
                        case System.Text.Json.JsonValueKind.Object:
                            tokens[key] = value["content"].AsString();
                            break;
                    }
                }
            }
        }

        return tokens;
    }

    private static TemplateNamespace MakeNamespace(TemplateArguments arguments)
    {
        TemplateNamespace space = new();
        foreach ((string name, object? value) in arguments.Named)
        {
            space.Values[name] = value;
        }

        return space;
    }

    private static TemplateMap MakeMap(TemplateArguments arguments)
    {
        TemplateMap map = [];
        foreach ((string name, object? value) in arguments.Named)
        {
            map[name] = value;
        }

        return map;
    }

    private static List<object?> MakeRange(TemplateArguments arguments)
    {
        const int most = 100_000;
        long[] bounds = [.. arguments.Positional.Select(TemplateValues.Integer)];
        (long start, long stop, long step) = bounds.Length switch
        {
            1 => (0, bounds[0], 1),
            2 => (bounds[0], bounds[1], 1),
            3 => (bounds[0], bounds[1], bounds[2]),
            _ => throw new TemplateException("range needs one to three integers"),
        };
        List<object?> numbers = [];
        for (long i = start; step > 0 ? i < stop : i > stop; i += step)
        {
            numbers.Add(i);
            if (step == 0 || numbers.Count > most)
            {
                throw new TemplateException($"a range without end or of more than {most} numbers");
            }
        }

        return numbers;
    }
}

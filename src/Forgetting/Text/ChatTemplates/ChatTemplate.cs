using System.Globalization;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Text.ChatTemplates;

/// <summary>
/// A checkpoint's chat template: a Jinja program that turns a conversation into the text the model was trained on. What runs here is the
/// subset of Jinja that such templates use, with the settings and the functions of Hugging Face. (Written here because NuGet has no Jinja
/// for .NET under the name one would look for, Jinja2.NET.)
/// </summary>
internal sealed class ChatTemplate
{
    /// <summary>The file of a folder that holds its template.</summary>
    internal const string FileName = "chat_template.jinja";

    private readonly Statement _body;
    private readonly string _source;
    private readonly Dictionary<string, object?> _specialTokens;

    private readonly Func<DateTime> _now;

    private ChatTemplate(string text, string source, Dictionary<string, object?> specialTokens, Func<DateTime>? now = null)
    {
        _now = now ?? (() => DateTime.Now);
        Text = text;
        _source = source;
        _specialTokens = specialTokens;
        _body = Guarded(() => TemplateParser.Parse(text));
    }

    /// <summary>
    /// The template of a checkpoint folder, from <c>chat_template.jinja</c> or <c>tokenizer_config.json</c> (of several there the one named
    /// "default"), or null where it has none.
    /// </summary>
    /// <exception cref="UserException">A file is malformed, or the template has a syntax error; its line is named.</exception>
    /// <param name="folder">The folder.</param>
    /// <param name="now">The time that <c>strftime_now</c> tells; the clock's if null.</param>
    public static ChatTemplate? Load(string folder, Func<DateTime>? now = null)
    {
        if (GgufVocabulary.IsSource(folder))
        {
            return GgufVocabulary.Template(folder) is { } own
                ? Parse(own.Text, $"{folder}: tokenizer.chat_template", own.Tokens, now)
                : null;
        }

        folder = ModelPath.FilesOf(folder);
        Dictionary<string, object?> tokens = SpecialTokens(folder, out JsonView? config);
        string file = Path.Combine(folder, FileName);
        if (File.Exists(file))
            return new ChatTemplate(InputFile.ReadText(file, "a chat template"), file, tokens, now);

        if (config?.Find("chat_template") is not { } template)
            return null;

        if (template.Element.ValueKind == System.Text.Json.JsonValueKind.Array)
        {
            template = template.Items().FirstOrDefault(t => t["name"].AsString() == "default") is { Source: not null } named
                ? named["template"]
                : throw template.Wrong("a list without a template named \"default\"", "one");
        }

        return new ChatTemplate(template.AsString(), $"{config.Value.Source}: chat_template", tokens, now);
    }

    /// <summary>The template of a file, with the special tokens of a checkpoint folder, or of a GGUF file without a tokenizer beside it.
    /// </summary>
    /// <exception cref="UserException">The file is missing, or the template has a syntax error; its line is named.</exception>
    public static ChatTemplate LoadFile(string file, string folder, Func<DateTime>? now = null)
    {
        string text = InputFile.ReadText(file, "a chat template");
        return GgufVocabulary.IsSource(folder)
            ? Parse(text, file, GgufVocabulary.SpecialTokens(folder), now)
            : new ChatTemplate(text, file, SpecialTokens(folder, out _), now);
    }

    /// <summary>A template from its text.</summary>
    /// <param name="text">Jinja.</param>
    /// <param name="source">What errors call it.</param>
    /// <param name="specialTokens">Variables such as <c>bos_token</c> and <c>eos_token</c>.</param>
    /// <param name="now">The time that <c>strftime_now</c> tells; the clock's if null.</param>
    /// <exception cref="UserException">A syntax error; its line is named.</exception>
    public static ChatTemplate Parse(
        string text, string source, IReadOnlyDictionary<string, string> specialTokens, Func<DateTime>? now = null) =>
            new(text, source, specialTokens.ToDictionary(t => t.Key, t => (object?)t.Value), now);

    /// <summary>The program.</summary>
    internal string Text { get; }

    /// <summary>Whether its text depends on when it is rendered.</summary>
    internal bool TellsTime => Text.Contains("strftime_now", StringComparison.Ordinal);

    /// <summary>What errors call it.</summary>
    internal string Source => _source;

    /// <summary>The text of a conversation.</summary>
    /// <param name="messages">The turns.</param>
    /// <param name="addGenerationPrompt">End with what precedes the assistant's next turn.</param>
    /// <exception cref="UserException">The template rejects the conversation or fails; its line is named.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt = false) =>
        Render(new TemplateInput(messages), addGenerationPrompt);

    /// <inheritdoc cref="Render(IReadOnlyList{ChatMessage}, bool)"/>
    internal string Render(TemplateInput input, bool addGenerationPrompt) =>
        RenderOutput(input, input.Messages.Count, addGenerationPrompt).Text.ToString();

    /// <summary>The text of a conversation, with the stretches of it that are the assistant's and that training is to learn.</summary>
    /// <param name="messages">The turns.</param>
    /// <param name="endTokens">Spellings of the control tokens.</param>
    /// <exception cref="UserException">The template fails, or a turn is not found in its text.</exception>
    public (string Text, IReadOnlyList<(int Start, int End)> Assistant) RenderForTraining(
        IReadOnlyList<ChatMessage> messages, IReadOnlyCollection<string> endTokens)
    {
        (string text, IReadOnlyList<(int Start, int End, int? Turn)> spans) = RenderForTraining(new TemplateInput(messages), endTokens);
        return (text, [.. spans
            .Where(span => span.Turn is not { } turn || messages[turn].IsTrained).Select(span => (span.Start, span.End))]);
    }

    /// <inheritdoc cref="RenderForTraining(IReadOnlyList{ChatMessage}, IReadOnlyCollection{string})"/>
    /// <returns>The text, and of every stretch the place of its message, or of one of the same sign and weight.</returns>
    internal (string Text, IReadOnlyList<(int Start, int End, int? Turn)> Assistant) RenderForTraining(
        TemplateInput input, IReadOnlyCollection<string> endTokens)
    {
        ArgumentNullException.ThrowIfNull(input);
        TemplateOutput whole = RenderOutput(input, input.Messages.Count, addGenerationPrompt: false);
        string text = whole.Text.ToString();
        List<(int Start, int End)> spans = whole.Generated.Count > 0
            ? whole.Generated
            : new TurnFinder(_source, input, text, endTokens, (count, prompt) => RenderOutput(input, count, prompt).Text.ToString()).Find();
        int[] turns = [.. Enumerable.Range(0, input.Messages.Count).Where(turn => input.Messages[turn].Role == "assistant")];
        bool told = turns.Length == spans.Count;
        if (!told && (turns.Select(turn => input.Messages[turn].Mark).Distinct().Count() > 1
            || Array.Exists(turns, turn => input.Messages[turn].Spans != null)))
        {
            throw new UserException(string.Create(
                CultureInfo.InvariantCulture,
                $"{_source}: marks {spans.Count} stretches as generated in a conversation of {turns.Length} assistant messages, "
                    + $"so those of another weight or sign cannot be told; expected one each"));
        }

        return (text, [.. spans.Select(
            (span, i) => (span.Start, span.End, Turn: told ? turns[i] : turns.Length > 0 ? turns[0] : (int?)null))]);
    }

    // The first so many turns.
    private TemplateOutput RenderOutput(TemplateInput input, int count, bool addGenerationPrompt)
    {
        TemplateScope scope = new(null)
        {
            ["messages"] = input.Turns(count),
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

        foreach ((string name, object? value) in input.Named())
        {
            if (scope[name] is null or Undefined)
                scope[name] = value;
        }

        using TemplateBudget budget = TemplateBudget.Begin();
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
        folder = ModelPath.FilesOf(folder);
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
        TemplateBudget.Allocate(40 * (long)Int128.Clamp(step == 0 ? most : ((Int128)stop - start) / step, 0, most));
        for (Int128 i = start; step > 0 ? i < stop : i > stop; i += step)
        {
            numbers.Add((long)i);
            if (step == 0 || numbers.Count > most)
                throw new TemplateException($"a range without end or of more than {most} numbers");
        }

        return numbers;
    }
}

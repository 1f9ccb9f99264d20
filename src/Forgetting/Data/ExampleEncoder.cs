using Forgetting.Core;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Data;

/// <summary>
/// Turns examples into token ids and marks the tokens to train on. By the template "tulu" of arXiv 2508.04329 (method B.7) a conversation
/// becomes
/// <c>&lt;|system|&gt;\n…\n</c>, <c>&lt;|user|&gt;\n…\n</c> and <c>&lt;|assistant|&gt;\n{content}{eos}\n</c>, the final newline dropped;
/// trained on is the assistants' content
/// through its eos. A prompt and its completion are joined with one space, unless there is white space at the joint, and end in eos;
/// trained on is every token
/// with a character behind the prompt.
/// The eos put there is the real token; text in the data that looks like a special token is text, unless <c>allowSpecial</c>.
/// Other layouts of conversations are <see cref="MessageLayout"/>'s.
/// </summary>
internal sealed class ExampleEncoder
{
    private readonly Tokenizer _tokenizer;
    private readonly int _maxLength;
    private readonly bool _allowSpecial;
    private readonly MessageLayout _layout;
    private readonly TemplateRenderer? _template;
    private readonly bool _paperMask;
    private readonly int _eos;
    private readonly SpecialSpellings _spellings;
    private readonly Lazy<(int? End, bool Begins)> _probe;
    private readonly TooLong _tooLong;
    private int _encoded, _straddled, _long, _leftOut;

    /// <summary>An encoder.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="maxLength">Longest example in tokens; longer ones lose their end.</param>
    /// <param name="allowSpecial">Let special tokens spelt out in the data become those tokens.</param>
    /// <param name="layout">How conversations become text; null for the paper's layout.</param>
    /// <param name="paperMask">
    /// Train on all but the first len(encode(prompt)) tokens, as the paper's program does: where a token has characters of the prompt and
    /// of the answer, it or another is then left out.
    /// </param>
    /// <param name="tooLong">What becomes of an example that is longer than <paramref name="maxLength"/>.</param>
    /// <exception cref="UserException">The tokenizer has no end-of-text token.</exception>
    public ExampleEncoder(
        Tokenizer tokenizer, int maxLength, bool allowSpecial = false, MessageLayout? layout = null, bool paperMask = false,
        TooLong tooLong = TooLong.Cut)
    {
        _tooLong = tooLong;
        ArgumentNullException.ThrowIfNull(tokenizer);
        _tokenizer = tokenizer;
        _maxLength = maxLength;
        _allowSpecial = allowSpecial;
        _layout = layout ?? MessageLayout.Tulu;
        _template = _layout.Template is { } template ? new TemplateRenderer(template, tokenizer, allowSpecial) : null;
        _paperMask = paperMask;
        _eos = tokenizer.EosIds.Count > 0
            ? tokenizer.EosIds[0]
            : throw new UserException(
                "the tokenizer has no eos token; expected eos_token in tokenizer_config.json or eos_token_id in config.json");
        _spellings = new SpecialSpellings(tokenizer, allowSpecial);
        _probe = new(Probe);
    }

    /// <summary>What is worth knowing of the examples encoded so far, a sentence each; empty where there is nothing.</summary>
    public IReadOnlyList<string> Notices =>
    [
        .. _straddled == 0 ? Array.Empty<string>()
            : [$"in {_straddled:N0} of {_encoded:N0} examples one token holds the end of the prompt and the beginning of "
                + "the answer; it is learnt"],
        .. TooLongExamples == 0 ? Array.Empty<string>()
            : [$"{TooLongExamples:N0} of {_encoded:N0} examples are longer than {_maxLength:N0} tokens and were "
                + $"{(_tooLong == TooLong.Drop ? "dropped" : "cut at their end")}"],
        .. _leftOut == 0
            ? Array.Empty<string>()
            : [$"{_leftOut:N0} examples are left out: their sign or weight is 0, or the same answer is chosen and rejected"],
        .. _spellings.Notices(_encoded),
    ];

    /// <summary>Of the examples encoded so far, those longer than the maximum length, cut or dropped.</summary>
    public int TooLongExamples => _long;

    /// <summary>The special token that closes an assistant's turn: eos, or a chat template's own; null where a template has none.</summary>
    public int? TurnEnd => _template is null ? _eos : _probe.Value.End;

    /// <summary>Encodes every example.</summary>
    /// <exception cref="UserException">See <see cref="Encode"/>; or all are dropped.</exception>
    /// <remarks>A text longer than the maximum length becomes several examples, by which the numbers of what follows grow.</remarks>
    public IReadOnlyList<EncodedExample> EncodeAll(IEnumerable<DataExample> examples) => [.. EncodeStream(examples)];

    /// <summary>The examples of <see cref="EncodeAll"/> one at a time.</summary>
    /// <exception cref="UserException">See <see cref="EncodeAll"/>.</exception>
    internal IEnumerable<EncodedExample> EncodeStream(IEnumerable<DataExample> examples)
    {
        string? first = null;
        int more = 0;
        bool any = false;
        foreach (DataExample example in examples)
        {
            first ??= example.Place;
            int part = 0;
            foreach (EncodedExample encoded in EncodeEach(example))
            {
                yield return encoded with { Index = example.Index + more + part };
                part++;
            }

            any |= part > 0;
            more += Math.Max(part - 1, 0);
        }

        if (first != null && !any)
        {
            throw new UserException(
                $"{first}: this example and all others are {(_leftOut > 0 ? "left out or " : "")}longer than {_maxLength} tokens "
                + "and were dropped; expected one that is not");
        }
    }

    /// <summary>What becomes of an example: one, of a text one or several, none where it is dropped or left out.</summary>
    /// <exception cref="UserException">See <see cref="Encode"/>.</exception>
    internal IEnumerable<EncodedExample> EncodeEach(DataExample example)
    {
        if (!example.IsLeftOut)
            return example.Shape == DataShape.Text ? Windows(example) : EncodeOrDrop(example) is { } encoded ? [encoded] : [];

        _leftOut++;
        return [];
    }

    /// <summary>Encodes one example.</summary>
    /// <exception cref="UserException">
    /// It has nothing to train on, its prompt fills <c>maxLength</c>, it is too long where none may be, or it has what the layout
    /// does not write; its line is named.
    /// </exception>
    public EncodedExample Encode(DataExample example) => EncodeOrDrop(example)
        ?? throw new UserException($"{example.Place}: is longer than {_maxLength} tokens and was dropped; expected an example that is not");

    private EncodedExample? EncodeOrDrop(DataExample example)
    {
        ArgumentNullException.ThrowIfNull(example);
        EncodedText text = new();
        DataExample once = Once(example);
        if (_template is not null)
        {
            IReadOnlyList<ChatMessage> turns = once.Turns ?? [new("user", once.Prompt), once.Answer];
            AddRendered(text, _template.ForTraining(once, turns), once.Truncated && turns[^1].IsTrained);
        }
        else if (once.Turns is { } messages)
        {
            AddConversation(text, once, messages, once.Truncated);
        }
        else
        {
            AddPair(text, once);
        }

        if (text.Count > _maxLength && _tooLong == TooLong.Error)
        {
            throw new UserException(
                $"{example.Place}: takes {text.Count} tokens; expected no more than the maximum length of {_maxLength}");
        }

        bool dropped = text.Count > _maxLength && _tooLong == TooLong.Drop;
        EncodedExample? encoded = dropped ? null : text.Finish(once, _maxLength);
        _encoded++;
        _long += text.Count > _maxLength ? 1 : 0;
        _straddled += text.Straddled && !dropped ? 1 : 0;
        return encoded;
    }

    // A text between the tokens that begin and end one, whatever the layout of conversations; nothing of it is cut off.
    private IEnumerable<EncodedExample> Windows(DataExample example)
    {
        RefuseMore(example, []);
        DataExample once = Once(example);
        EncodedText text = new();
        AddStretch(text, once.Completion, [Marked(once.Answer, once.Completion, 0, 0)]);
        if (!once.Truncated)
            text.Add([_eos], once.Answer.Mark);

        _encoded++;
        return text.Windows(example, _maxLength);
    }

    /// <summary>
    /// What joins a prompt and its completion where the data does not say: one space, unless there is white space at the joint.
    /// </summary>
    public static string Joint(string prompt, string completion) =>
        (prompt?.Length > 0 && char.IsWhiteSpace(prompt[^1])) || (completion?.Length > 0 && char.IsWhiteSpace(completion[0])) ? "" : " ";

    /// <summary>
    /// The ids that precede an example's completion, or the answer that its conversation asks for: what a model is given to continue.
    /// </summary>
    /// <exception cref="UserException">The conversation has a role that is not known, or what the layout does not write, or the chat
    /// template rejects it.</exception>
    public int[] EncodePrompt(DataExample example)
    {
        ArgumentNullException.ThrowIfNull(example);
        EncodedText text = new();
        DataExample once = Once(example);
        if (_template is not null)
        {
            IReadOnlyList<ChatMessage> asked = once.Messages is { } turns ? [.. WithoutAnswer(turns)] : [new("user", once.Prompt)];
            AddRendered(text, _template.ForAnswer(once, asked), truncated: false);
        }
        else if (once.Messages is { } messages)
        {
            AddConversation(text, once, [.. WithoutAnswer(messages), new ChatMessage("assistant", "")], truncated: true);
        }
        else
        {
            return _tokenizer.Encode(once.Prompt, bos: true, _allowSpecial);
        }

        return text.Ids;
    }

    /// <summary>A conversation without the assistant's turn at its end, if there is one.</summary>
    internal static IEnumerable<ChatMessage> WithoutAnswer(IReadOnlyList<ChatMessage> messages) =>
        messages[^1].Role == "assistant" ? messages.SkipLast(1) : messages;

    private void AddPair(EncodedText text, DataExample example)
    {
        RefuseMore(example, []);
        string joined = example.Prompt + (example.Separator ?? Joint(example.Prompt, example.Completion)) + example.Completion;
        int place = joined.Length - example.Completion.Length;
        AddStretch(text, joined, [Marked(example.Answer, example.Completion, example.Prompt.Length, place)]);
        if (!example.Truncated)
            text.Add([_eos], example.Answer.Mark);
    }

    // An answer from a place on, of which the content as it is written stands at another.
    private static MarkedSpan Marked(ChatMessage answer, string written, int start, int place) =>
        new(start, place + written.Length, answer.Mark) { Inner = SignedSpans.Placed(answer, written, place) };

    /// <summary>
    /// The eos tokens cut the conversation into stretches that are encoded each by itself, since no token crosses a special one.
    /// </summary>
    private void AddConversation(EncodedText text, DataExample example, IReadOnlyList<ChatMessage> messages, bool truncated)
    {
        RefuseMore(example, messages);
        bool marked = _layout == MessageLayout.Tulu;
        string before = "";
        foreach (ChatMessage message in messages)
        {
            if (message.Role is not ("system" or "user" or "assistant" or "tool" or "function" or "developer"))
            {
                throw new UserException(
                    $"{example.Place}: role \"{message.Role}\"; expected system, developer, user, assistant, tool or function");
            }

            string content = marked ? message.Content.Trim() : message.Content;
            before += marked ? $"<|{message.Role}|>\n" : "";
            string joint = marked || before.Length == 0 ? "" : Joint(before, content);
            if (message.Role != "assistant")
            {
                before += joint + content + (marked ? "\n" : "");
                continue;
            }

            bool cut = truncated && ReferenceEquals(message, messages[^1]);

            // An answer that is still to come writes its joint itself.
            string whole = cut && content.Length == 0 ? before : before + joint + content;
            AddStretch(text, whole, [Marked(message, content, before.Length, whole.Length - content.Length)]);
            if (cut)
                return;

            text.Add([_eos], message.Mark);
            before = marked ? "\n" : "";
        }

        // Turns behind the last assistant; the final newline is dropped.
        string rest = marked ? before.TrimEnd() : before;
        if (rest.Length > 0)
            AddStretch(text, rest, []);
    }

    // Only a chat template could write these.
    private void RefuseMore(DataExample example, IReadOnlyList<ChatMessage> messages)
    {
        string? key = example.Variables?.Keys.FirstOrDefault();
        int turn = 0;
        for (; turn < messages.Count && key is null; turn++)
        {
            key = messages[turn].More?.FirstOrDefault(m => ChatMessage.Says(m.Value)).Key;
        }

        if (key != null)
        {
            string found = turn == 0 ? $"'{key}' is" : $"message {turn} has '{key}', which is";
            throw new UserException(
                $"{example.Place}: {found} not written by the template {_layout.Name}; expected none, or a chat template that writes it");
        }
    }

    /// <summary>Special tokens of the rendered text are the template's; those that the data spells are broken by a marker.</summary>
    private void AddRendered(EncodedText text, RenderedText rendered, bool truncated)
    {
        IReadOnlyList<MarkedSpan> spans = rendered.Spans;
        foreach ((int start, int length, int? id) in _tokenizer.SplitAtSpecial(rendered.Text))
        {
            int end = start + length;
            if (id is int special)
            {
                // What would end the answer that was cut off.
                if (truncated && spans.Count > 0 && start >= spans[^1].Start)
                    return;

                MarkedSpan around = spans.FirstOrDefault(s => s.Start <= start && start < s.End);
                text.Add([special], (around.Inner ?? []).Where(s => s.Start <= start && start < s.End).Append(around).First().Mark);
                continue;
            }

            AddStretch(text, rendered.Stretch(start, end), Within(spans), first: start == 0, bos: false);

            MarkedSpan[] Within(IReadOnlyList<MarkedSpan> all) =>
            [
                .. all.Where(s => s.Start < end && s.End > start && s.End > s.Start).Select(s => new MarkedSpan(
                    rendered.Stretch(start, Math.Max(start, s.Start)).Length, rendered.Stretch(start, Math.Min(end, s.End)).Length,
                    s.Mark) { Inner = Within(s.Inner) }),
            ];
        }
    }

    /// <summary>Adds a stretch of text that lies between special tokens.</summary>
    /// <param name="trained">Places between which text is trained on, ascending.</param>
    private void AddStretch(EncodedText text, string stretch, IReadOnlyList<MarkedSpan> trained) =>
        AddStretch(text, stretch, trained, first: text.Count == 0, bos: text.Count == 0);

    private void AddStretch(EncodedText text, string stretch, IReadOnlyList<MarkedSpan> trained, bool first, bool bos)
    {
        if (bos)
            text.Add(_tokenizer.Encode("", bos: true), TokenMark.Given);

        List<int> ids = [];
        int[] places = [.. trained.SelectMany(t => (int[])[t.Start, .. t.Inner.SelectMany(i => (int[])[i.Start, i.End]), t.End])];
        var cuts = new Queue<TokenCut>(_tokenizer.Append(stretch, ids, first, _allowSpecial, places));
        text.Add([.. ids], [.. trained.Select(Cut)]);

        TokenStretch Cut(MarkedSpan span)
        {
            TokenCut from = cuts.Dequeue();
            TokenStretch[] inner = [.. span.Inner.Select(i => new TokenStretch(cuts.Dequeue(), cuts.Dequeue(), i.Mark, []))];
            TokenCut to = cuts.Dequeue();
            if (_paperMask)
                (from, to) = (new(Alone(span.Start), false), new(span.End == stretch.Length ? ids.Count : Alone(span.End), false));

            return new(from, to, span.Mark, inner);
        }

        // As many tokens as the text before a place has by itself.
        int Alone(int place)
        {
            List<int> before = [];
            _tokenizer.Append(stretch[..place], before, first, _allowSpecial);
            return Math.Min(ids.Count, before.Count);
        }
    }

    /// <summary>
    /// The example without what the layout writes itself: a special token that begins the text or ends an answer is there once.
    /// </summary>
    private DataExample Once(DataExample example)
    {
        _spellings.Count(example);
        if (!_allowSpecial || !_spellings.Spelt(example))
            return example;

        bool begins = _template is null ? _spellings.Begins : _probe.Value.Begins;
        return _spellings.Once(
            example, begins, _template is null || TurnEnd is null ? [_eos] : [_eos, TurnEnd.Value], closes: TurnEnd is not null);
    }

    // What the template puts around a short conversation.
    private (int? End, bool Begins) Probe()
    {
        try
        {
            EncodedText text = new();
            var probe = new DataExample { Index = 0, Place = _layout.Name };
            AddRendered(text, _template!.ForTraining(probe, [new("user", "a"), new("assistant", "b")]), truncated: false);
            EncodedExample example = text.Finish(probe, int.MaxValue);
            int last = example.Ids[Array.LastIndexOf(example.Response, true)];
            return (_tokenizer.IsSpecial(last) ? last : null, example.Ids[0] == _tokenizer.BosId);
        }
        catch (UserException)
        {
            return (null, false);
        }
    }
}

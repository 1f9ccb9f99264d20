using System.Text;
using Forgetting.HuggingFace.ChatTemplates;
using Forgetting.HuggingFace.Tokenizers;

namespace Forgetting.Data;

/// <summary>
/// Turns examples into token ids and marks the tokens to train on, as arXiv 2508.04329 does (method B.7, template "tulu"). A conversation becomes
/// <c>&lt;|system|&gt;\n…\n</c>, <c>&lt;|user|&gt;\n…\n</c> and <c>&lt;|assistant|&gt;\n{content}{eos}\n</c>, the final newline dropped; trained on is the assistants' content
/// through its eos. A prompt and its completion are joined with one space, unless there is white space at the joint, and end in eos; trained on is
/// all but the first len(encode(prompt)) tokens.
/// The eos put there is the real token; text in the data that looks like a special token is text, unless <c>allowSpecial</c>.
/// Other layouts of conversations are <see cref="MessageLayout"/>'s.
/// </summary>
public sealed class ExampleEncoder
{
    private readonly Tokenizer _tokenizer;
    private readonly int _maxLength;
    private readonly bool _allowSpecial;
    private readonly MessageLayout _layout;
    private readonly int _eos;

    /// <summary>An encoder.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="maxLength">Longest example in tokens; longer ones lose their end.</param>
    /// <param name="allowSpecial">Let special tokens spelt out in the data become those tokens.</param>
    /// <param name="layout">How conversations become text; null for the paper's layout.</param>
    /// <exception cref="UserException">The tokenizer has no end-of-text token.</exception>
    public ExampleEncoder(Tokenizer tokenizer, int maxLength, bool allowSpecial = false, MessageLayout? layout = null)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        _tokenizer = tokenizer;
        _maxLength = maxLength;
        _allowSpecial = allowSpecial;
        _layout = layout ?? MessageLayout.Tulu;
        _eos = tokenizer.EosIds.Count > 0
            ? tokenizer.EosIds[0]
            : throw new UserException("the tokenizer names no end-of-text token; expected eos_token in tokenizer_config.json or eos_token_id in config.json");
    }

    /// <summary>Encodes all examples, in order.</summary>
    /// <exception cref="UserException">An example has nothing to train on, or its prompt fills <c>maxLength</c>; its line is named.</exception>
    public IReadOnlyList<EncodedExample> EncodeAll(IReadOnlyList<DataExample> examples) => [.. examples.Select(Encode)];

    /// <summary>Encodes one example.</summary>
    /// <exception cref="UserException">It has nothing to train on, or its prompt fills <c>maxLength</c>; its line is named.</exception>
    public EncodedExample Encode(DataExample example)
    {
        ArgumentNullException.ThrowIfNull(example);
        EncodedText text = new();
        if (_layout.Template is { } template)
        {
            AddRendered(text, template, example.Messages ?? [new("user", example.Prompt), new("assistant", example.Completion)], answered: true, example.Truncated);
        }
        else if (example.Messages is { } messages)
        {
            AddConversation(text, messages, example.Place, example.Truncated);
        }
        else
        {
            string joined = example.Prompt + (example.Separator ?? Joint(example.Prompt, example.Completion)) + example.Completion;
            text.Add(_tokenizer.Encode(joined, bos: true, _allowSpecial), _tokenizer.Encode(example.Prompt, bos: true, _allowSpecial).Length);
            if (!example.Truncated)
            {
                text.Add([_eos], 0);
            }
        }

        return text.Finish(example, _maxLength);
    }

    /// <summary>What joins a prompt and its completion where the data does not say: one space, unless there is white space at the joint.</summary>
    public static string Joint(string prompt, string completion) =>
        (prompt?.Length > 0 && char.IsWhiteSpace(prompt[^1])) || (completion?.Length > 0 && char.IsWhiteSpace(completion[0])) ? "" : " ";

    /// <summary>The ids that precede an example's completion, or the answer that its conversation asks for: what a model is given to continue.</summary>
    /// <exception cref="UserException">The conversation has a role that is not known, or the chat template rejects it.</exception>
    public int[] EncodePrompt(DataExample example)
    {
        ArgumentNullException.ThrowIfNull(example);
        EncodedText text = new();
        if (_layout.Template is { } template)
        {
            AddRendered(text, template, example.Messages is { } turns ? [.. WithoutAnswer(turns)] : [new("user", example.Prompt)], answered: false, truncated: false);
            return text.Ids;
        }

        if (example.Messages is not { } messages)
        {
            return _tokenizer.Encode(example.Prompt, bos: true, _allowSpecial);
        }

        AddConversation(text, [.. WithoutAnswer(messages), new ChatMessage("assistant", "")], example.Place, truncated: true);
        return text.Ids;
    }

    /// <summary>A conversation without the assistant's turn at its end, if there is one.</summary>
    internal static IEnumerable<ChatMessage> WithoutAnswer(IReadOnlyList<ChatMessage> messages) =>
        messages[^1].Role == "assistant" ? messages.SkipLast(1) : messages;

    /// <summary>
    /// The eos tokens cut the conversation into stretches that are encoded each by itself, since no token crosses a special one. In a stretch
    /// the response begins after as many tokens as what precedes it encodes to.
    /// </summary>
    private void AddConversation(EncodedText text, IReadOnlyList<ChatMessage> messages, string place, bool truncated)
    {
        bool marked = _layout == MessageLayout.Tulu;
        string before = "";
        foreach (ChatMessage message in messages)
        {
            if (message.Role is not ("system" or "user" or "assistant"))
            {
                throw new UserException($"{place}: role \"{message.Role}\"; expected system, user or assistant");
            }

            string content = marked ? message.Content.Trim() : message.Content;
            before += marked ? $"<|{message.Role}|>\n" : "";
            string joint = marked || before.Length == 0 ? "" : Joint(before, content);
            if (message.Role != "assistant")
            {
                before += joint + content + (marked ? "\n" : "");
                continue;
            }

            bool first = text.Count == 0, cut = truncated && ReferenceEquals(message, messages[^1]);

            // An answer that is still to come writes its joint itself.
            string whole = cut && content.Length == 0 ? before : before + joint + content;
            text.Add(EncodeStretch(whole, first, bos: first), EncodeStretch(before, first, bos: first).Length);
            if (cut)
            {
                return;
            }

            text.Add([_eos], 0);
            before = marked ? "\n" : "";
        }

        // Turns behind the last assistant; the final newline is dropped.
        string rest = marked ? before.TrimEnd() : before;
        if (rest.Length > 0)
        {
            int[] ids = EncodeStretch(rest, first: text.Count == 0, bos: text.Count == 0);
            text.Add(ids, ids.Length);
        }
    }

    /// <summary>
    /// Special tokens of the rendered text are the template's; those that the messages spell are broken by a marker before rendering, which is taken
    /// out of the stretches between special tokens.
    /// </summary>
    private void AddRendered(EncodedText text, ChatTemplate template, IReadOnlyList<ChatMessage> messages, bool answered, bool truncated)
    {
        char marker = UnusedCharacter(messages);
        ChatMessage[] guarded = [.. messages.Select(m => m with { Content = _allowSpecial ? m.Content : BreakSpecial(m.Content, marker) })];
        (string rendered, IReadOnlyList<(int Start, int End)> spans) = answered
            ? template.RenderForTraining(guarded, _tokenizer.SpecialTokens)
            : (template.Render(guarded, addGenerationPrompt: true), []);
        foreach ((int start, int length, int? id) in _tokenizer.SplitAtSpecial(rendered))
        {
            if (id is int special)
            {
                if (truncated && spans.Count > 0 && start >= spans[^1].Start)
                {
                    // What would end the answer that was cut off.
                    return;
                }

                text.Add([special], spans.Any(s => s.Start <= start && start < s.End) ? 0 : 1);
                continue;
            }

            int[] ids = EncodeUpTo(start + length);
            int done = 0;
            foreach ((int from, int to) in spans.Where(s => s.Start < start + length && s.End > start))
            {
                int begin = from <= start ? 0 : EncodeUpTo(from).Length, end = to >= start + length ? ids.Length : EncodeUpTo(to).Length;
                text.Add(ids[done..end], begin - done);
                done = end;
            }

            text.Add(ids[done..], ids.Length);

            int[] EncodeUpTo(int end) => EncodeStretch(
                rendered[start..end].Replace(marker.ToString(), "", StringComparison.Ordinal), first: start == 0, bos: false);
        }
    }

    private string BreakSpecial(string content, char marker)
    {
        StringBuilder broken = new();
        foreach ((int start, int length, int? id) in _tokenizer.SplitAtSpecial(content))
        {
            // Behind the first character of the spelling itself: white space that the token would take comes before it.
            int lead = id is null ? length : content.AsSpan(start, length).IndexOfAnyExcept(' ', '\n', '\t') + 1;
            broken.Append(content, start, lead);
            if (id != null)
            {
                broken.Append(marker).Append(content, start + lead, length - lead);
            }
        }

        return broken.ToString();
    }

    /// <summary>One of the code points that Unicode keeps for a program's own use and that these messages do not have.</summary>
    private static char UnusedCharacter(IReadOnlyList<ChatMessage> messages)
    {
        char marker = '\uFDD0';
        while (messages.Any(m => m.Content.Contains(marker, StringComparison.Ordinal)))
        {
            marker++;
        }

        return marker;
    }

    private int[] EncodeStretch(string stretch, bool first, bool bos)
    {
        if (bos)
        {
            return _tokenizer.Encode(stretch, bos: true, _allowSpecial);
        }

        List<int> ids = [];
        _tokenizer.Append(stretch, ids, first, _allowSpecial);
        return [.. ids];
    }

    /// <summary>Ids and marks as they are put together.</summary>
    private sealed class EncodedText
    {
        private readonly List<int> _ids = [];
        private readonly List<bool> _response = [];

        public int Count => _ids.Count;

        public int[] Ids => [.. _ids];

        /// <summary>Adds ids of which the first few are not trained on.</summary>
        public void Add(int[] added, int untrained)
        {
            _ids.AddRange(added);
            for (int i = 0; i < added.Length; i++)
            {
                // Nothing predicts the first token of an example.
                _response.Add(i >= untrained && _response.Count > 0);
            }
        }

        public EncodedExample Finish(DataExample example, int maxLength)
        {
            int first = _response.IndexOf(true);
            if (first < 0)
            {
                throw new UserException($"{example.Place}: nothing to train on; expected an assistant message");
            }

            if (first >= maxLength)
            {
                throw new UserException($"{example.Place}: the prompt takes {first} tokens; expected fewer than the maximum length of {maxLength}");
            }

            int length = Math.Min(_ids.Count, maxLength);
            return new EncodedExample { Index = example.Index, Ids = [.. _ids[..length]], Response = [.. _response[..length]] };
        }
    }
}

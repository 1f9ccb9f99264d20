using System.Text;
using Forgetting.Models;
using Forgetting.Serving;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Server;

/// <summary>One of the texts of an answer.</summary>
internal sealed class Choice
{
    /// <param name="index">Its place in the answer.</param>
    /// <param name="key">Key of its random numbers.</param>
    /// <param name="show">Called with what came, on the engine's thread, once it is part of this.</param>
    public Choice(
        TextRequest request, int index, int key, PromptText prompt, Action<Choice, string, IReadOnlyList<TokenProbability>> show)
    {
        (Index, Prompt) = (index, prompt);
        Tokenizer tokenizer = request.Model.Served.Loaded.Tokenizer;
        StreamingDecoder decoder = request.Continues ? tokenizer.StartDecodingAfter(prompt.Ids) : tokenizer.StartDecoding();
        Reader = new AnswerReader(
            decoder, request.Options.StopTexts,
            (text, tokens) =>
            {
                Text.Append(text);
                Tokens.AddRange(tokens);
                show(this, text, tokens);
            },
            request.Likeliest is { } likeliest ? new ProbabilityOptions(likeliest, request.Echo ? prompt.Ids : null) : null);
        int most = Math.Min(request.MaxTokens, request.Model.Limits.Context - prompt.Ids.Length);
        Sequence = new TokenSequence(
            request.Model.Served.Loaded.Decoder.Config, prompt.Ids, request.Options with { MaxNewTokens = Math.Max(most, 1) }, key, Reader,
            readOnly: request.MaxTokens == 0);
    }

    /// <summary>Its place in the answer.</summary>
    public int Index { get; }

    /// <summary>What it continues or answers.</summary>
    public PromptText Prompt { get; }

    /// <summary>Its tokens.</summary>
    public TokenSequence Sequence { get; }

    /// <summary>Makes its text.</summary>
    public AnswerReader Reader { get; }

    /// <summary>The text so far.</summary>
    public StringBuilder Text { get; } = new();

    /// <summary>The tokens of the text so far, where they are told.</summary>
    public List<TokenProbability> Tokens { get; } = [];

    /// <summary>Whether the prompt that is part of the answer has been written.</summary>
    public bool Echoed { get; set; }

    /// <summary>Why it ended, in OpenAI's words.</summary>
    public string FinishReason => Sequence.End == SequenceEnd.Length && !Reader.Stopped ? "length" : "stop";
}

using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Text;

namespace Forgetting;

/// <summary>Something to learn: a prompt with its completion, or a conversation, as a line of a data file has it.</summary>
public sealed record TrainingExample
{
    /// <summary>A prompt with its completion.</summary>
    /// <param name="prompt">What is given; nothing of it is learnt.</param>
    /// <param name="completion">What is learnt.</param>
    public TrainingExample(string prompt, string completion)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ArgumentNullException.ThrowIfNull(completion);
        (Prompt, Completion) = (prompt, completion);
    }

    /// <summary>A conversation.</summary>
    /// <param name="messages">Its turns; the assistant's are learnt.</param>
    public TrainingExample(IReadOnlyList<ChatMessage> messages)
    {
        ArgumentNullException.ThrowIfNull(messages);
        Messages = messages;
    }

    /// <summary>What is given; null for a conversation.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Prompt { get; }

    /// <summary>What is learnt; null for a conversation.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Completion { get; }

    /// <summary>The conversation; null for a prompt with its completion.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ChatMessage>? Messages { get; }

    /// <summary>
    /// 1 that its answers are learnt, −1 that they are forgotten; null where their scores say.
    /// <see cref="ChatMessage.Sign"/> goes before it.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? Sign { get; init; }

    /// <summary>
    /// Stretches of <see cref="Completion"/> with a sign of their own, as <see cref="ChatMessage.Spans"/> are of a message; null for none.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [JsonConverter(typeof(SpansConverter))]
    public IReadOnlyList<(int Start, int End, int Sign)>? Spans { get; init; }

    /// <summary>
    /// As how many tokens each of its response tokens counts; null for one. <see cref="ChatMessage.Weight"/> multiplies it.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Weight { get; init; }

    /// <summary>Writes examples as a data file (JSON Lines), for settings that name one, such as a run's trusted examples.</summary>
    /// <exception cref="UserException">The file cannot be written.</exception>
    public static void WriteFile(string path, IEnumerable<TrainingExample> examples) => JsonLines.Write(path, examples);

    /// <summary>The example as a data file's reader makes it.</summary>
    /// <param name="index">Position in the data set, from 0.</param>
    /// <exception cref="UserException">A span does not lie within its text or lies upon another.</exception>
    internal DataExample ToData(int index)
    {
        string place = $"example {index}";
        return new()
        {
            Index = index, Place = place, Prompt = Prompt ?? "", Completion = Completion ?? "", Sign = Sign, Weight = Weight,
            Spans = Ordered(Spans, Completion ?? ""),
            Messages = Messages?.Select(m => m.Spans is null ? m : m with { Spans = Ordered(m.Spans, m.Content) }).ToArray(),
        };

        IReadOnlyList<(int Start, int End, int Sign)>? Ordered(IReadOnlyList<(int Start, int End, int Sign)>? spans, string text) =>
            spans is null ? null
            : SignedSpans.Ordered(spans, text, (found, expected) => new UserException($"{place}: has {found}; expected {expected}"));
    }
}

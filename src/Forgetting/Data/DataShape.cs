namespace Forgetting.Data;

/// <summary>What the fields of a record say.</summary>
public enum DataShape
{
    /// <summary>Whichever of the others a record's fields tell.</summary>
    Auto,

    /// <summary><c>prompt</c> and <c>completion</c>, two texts.</summary>
    Pairs,

    /// <summary><c>messages</c>, a list of <c>{"role", "content"}</c>: OpenAI's.</summary>
    Messages,

    /// <summary><c>prompt</c> and <c>completion</c>, two lists of messages: TRL's. Of the prompt nothing is learnt.</summary>
    Conversational,

    /// <summary>
    /// <c>instruction</c>, <c>input</c> and <c>output</c>, with <c>system</c> and <c>history</c> as LLaMA-Factory has them.
    /// </summary>
    Alpaca,

    /// <summary><c>conversations</c>, a list of <c>{"from", "value"}</c>, with <c>system</c>.</summary>
    ShareGpt,

    /// <summary>
    /// <c>chosen</c> and <c>rejected</c>, two answers to the same prompt, each with its conversation or behind a <c>prompt</c>: two
    /// examples, of which the first is learnt and the second forgotten.
    /// </summary>
    Preference,

    /// <summary><c>text</c>, all of which is learnt.</summary>
    Text,
}

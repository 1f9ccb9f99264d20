namespace Forgetting.Data;

/// <summary>An example as token ids.</summary>
internal sealed record EncodedExample
{
    /// <summary>Position in the data set, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Which of several weighted files it is of, from 0; null where it is of none.</summary>
    public int? Source { get; init; }

    /// <summary>[n] token ids, the beginning-of-text token included where the tokenizer has one.</summary>
    public required int[] Ids { get; init; }

    /// <summary>[n] whether the token is trained on. Never the first: nothing predicts it.</summary>
    public required bool[] Response { get; init; }

    /// <summary>
    /// [n] signs that the data itself gives: 1 learnt, −1 forgotten, 0 none, and none but response tokens
    /// have one; null where no token has.
    /// </summary>
    public sbyte[]? Given { get; init; }

    /// <summary>[n] as how many tokens each response token counts in training; null where each counts as one.</summary>
    public float[]? Weights { get; init; }

    /// <summary>
    /// [n] whether the data gives the token the sign or weight 0, so that it is not trained on even where prompts are; null where no
    /// token has.
    /// </summary>
    public bool[]? Withheld { get; init; }

    /// <summary>
    /// Whether it is the rejected answer of the example of the <see cref="Index"/> before it, from which it must not be parted.
    /// </summary>
    public bool Rejected { get; init; }

    /// <summary>Whether the data has it as a conversation, not as a prompt with its completion.</summary>
    public bool Conversation { get; init; }

    /// <summary>n.</summary>
    public int Length => Ids.Length;

    /// <summary>Tokens that are trained on.</summary>
    public int ResponseCount => Response.Count(r => r);

    /// <summary>Tokens that the data says are to be forgotten.</summary>
    public int NegativeCount => Given?.Count(sign => sign < 0) ?? 0;

    /// <summary>[n] whether the token is trained on and the data leaves its sign to its score.</summary>
    public bool[] Unsigned => Given is null ? Response : [.. Response.Select((r, t) => r && Given[t] == 0)];

    /// <summary>The example without what is to be forgotten; null where nothing is left to learn.</summary>
    public EncodedExample? ToLearn()
    {
        if (NegativeCount == 0)
            return this;

        bool[] learnt = [.. Response.Select((r, t) => r && Given![t] >= 0)];
        return learnt.Contains(true) ? this with { Response = learnt, Given = [.. Given!.Select(sign => Math.Max(sign, (sbyte)0))] } : null;
    }
}

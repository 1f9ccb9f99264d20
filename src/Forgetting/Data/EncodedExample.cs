namespace Forgetting.Data;

/// <summary>An example as token ids.</summary>
internal sealed record EncodedExample
{
    /// <summary>Position in the data set, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>[n] token ids, the beginning-of-text token included where the tokenizer has one.</summary>
    public required int[] Ids { get; init; }

    /// <summary>[n] whether the token is trained on. Never the first: nothing predicts it.</summary>
    public required bool[] Response { get; init; }

    /// <summary>Whether the data has it as a conversation, not as a prompt with its completion.</summary>
    public bool Conversation { get; init; }

    /// <summary>n.</summary>
    public int Length => Ids.Length;

    /// <summary>Tokens that are trained on.</summary>
    public int ResponseCount => Response.Count(r => r);
}

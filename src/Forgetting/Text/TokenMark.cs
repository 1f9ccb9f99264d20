namespace Forgetting.Text;

/// <summary>What training makes of a token.</summary>
/// <param name="Response">Whether it is trained on.</param>
/// <param name="Sign">What the data says becomes of it: 1 it is learnt, −1 it is forgotten, 0 nothing is said.</param>
/// <param name="Weight">As how many tokens it counts.</param>
/// <param name="Withheld">Whether the data says that it is not trained on, whatever else is.</param>
internal readonly record struct TokenMark(bool Response, sbyte Sign = 0, float Weight = 1, bool Withheld = false)
{
    /// <summary>The mark of what is given.</summary>
    public static TokenMark Given { get; } = new(Response: false);

    /// <summary>The mark of a message, or of all of a record.</summary>
    /// <param name="learnt">Whether it is trained on at all.</param>
    /// <param name="sign">Its sign in the data; null where it has none.</param>
    /// <param name="weight">Its weight in the data; null where it has none.</param>
    public static TokenMark From(bool learnt, int? sign, double? weight) =>
        !learnt ? Given
            : sign == 0 || weight == 0 ? new(Response: false, Withheld: true)
            : new(true, (sbyte)(sign ?? 0), (float)(weight ?? 1));
}

/// <summary>A stretch of text with the mark of its tokens.</summary>
/// <param name="Start">First character.</param>
/// <param name="End">The character behind the last.</param>
/// <param name="Mark">The mark.</param>
internal readonly record struct MarkedSpan(int Start, int End, TokenMark Mark)
{
    /// <summary>Stretches of it that have another mark, in order.</summary>
    public IReadOnlyList<MarkedSpan> Inner { get; init; } = [];
}

namespace Forgetting.Data;

/// <summary>What becomes of an example that is longer than the maximum length.</summary>
public enum TooLong
{
    /// <summary>It loses its end.</summary>
    Cut,

    /// <summary>It is left out.</summary>
    Drop,

    /// <summary>It is refused.</summary>
    Error,
}

/// <summary>Which tokens of an example are learnt.</summary>
public enum TrainOn
{
    /// <summary>Every answer.</summary>
    Assistant,

    /// <summary>The last answer of a conversation.</summary>
    Last,

    /// <summary>Every token, what is given among them.</summary>
    Everything,
}

namespace Forgetting.Text.Tokenizers;

/// <summary>Kinds of tokens by the numbers that sentencepiece's and GGUF files have for them.</summary>
internal static class PieceType
{
    /// <summary>A piece of text.</summary>
    public const int Normal = 1;

    /// <summary>The token for what no other spells.</summary>
    public const int Unknown = 2;

    /// <summary>A token that no text spells.</summary>
    public const int Control = 3;

    /// <summary>A token that texts spell and that is cut out of them whole.</summary>
    public const int UserDefined = 4;

    /// <summary>A row of the embedding that is no token.</summary>
    public const int Unused = 5;

    /// <summary>One byte.</summary>
    public const int OneByte = 6;
}


namespace Forgetting.Text.Tokenizers;

/// <summary>Where a place of a text falls among the text's tokens.</summary>
/// <param name="Before">Tokens of which no character lies behind the place.</param>
/// <param name="Inside">Whether the token behind those has characters on both sides.</param>
internal readonly record struct TokenCut(int Before, bool Inside)
{
    /// <summary>Tokens of which some character lies before the place.</summary>
    public int Begun => Inside ? Before + 1 : Before;
}

/// <summary>Finds where places of a text, ascending, fall while its ids are appended to a list.</summary>
internal sealed class CutList(int wanted, List<int> ids)
{
    private readonly int _first = ids.Count;

    /// <summary>The places passed so far.</summary>
    public int Count { get; private set; }

    /// <summary>Where the places fall.</summary>
    public TokenCut[] Found { get; } = new TokenCut[wanted];

    /// <summary>A stretch of text that is one token is about to be appended.</summary>
    /// <param name="start">First unit of the stretch.</param>
    /// <param name="end">Behind its last unit.</param>
    /// <param name="places">All places, or those from the one with number <paramref name="numbered"/> on.</param>
    public void Pass(int start, int end, ReadOnlySpan<int> places, int numbered = 0)
    {
        for (; Count - numbered < places.Length && places[Count - numbered] is var place && (place <= start || place < end); Count++)
        {
            Found[Count] = new TokenCut(ids.Count - _first, Inside: place > start);
        }
    }

    /// <summary>
    /// A piece of text is about to be appended. A space that was put in front of all text belongs to what follows it, so nothing lies
    /// before place 0.
    /// </summary>
    public void Pass(Segment piece, BytePairEncoding model, ReadOnlySpan<int> places, int numbered)
    {
        int start = Math.Max(piece.Place, 0);
        for (; Count - numbered < places.Length && places[Count - numbered] is var place
            && (place <= start || place < piece.Place + piece.Length); Count++)
        {
            TokenCut cut = place <= start ? default : model.Cut(piece.Span, place - piece.Place);
            Found[Count] = cut with { Before = ids.Count - _first + cut.Before };
        }
    }

    /// <summary>No more text comes before the place with this number.</summary>
    public void Finish(int number)
    {
        for (; Count < number; Count++)
        {
            Found[Count] = new TokenCut(ids.Count - _first, Inside: false);
        }
    }
}

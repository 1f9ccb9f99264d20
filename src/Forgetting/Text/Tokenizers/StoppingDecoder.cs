namespace Forgetting.Text.Tokenizers;

/// <summary>
/// Turns ids into text as they come, up to the first of some texts that end it, which is not part of it. Characters that may turn out to
/// begin such a text are held back until that is decided, so what was returned never has to be taken back.
/// </summary>
/// <param name="decoder">Decodes the ids; may have decoded what goes before them.</param>
/// <param name="stops">Texts that end the text, none of them empty.</param>
internal sealed class StoppingDecoder(StreamingDecoder decoder, IReadOnlyList<string> stops)
{
    private string _held = "";

    /// <summary>Characters that are held back.</summary>
    public int Held => _held.Length;

    /// <summary>Whether one of the texts has come.</summary>
    public bool Stopped { get; private set; }

    /// <summary>The characters that are decided with this token; often none.</summary>
    public string Add(int id) => Stopped ? "" : Release(decoder.Add(id), last: false);

    /// <summary>What is left where no stop text came.</summary>
    public string Finish() => Stopped ? "" : Release(decoder.Finish(), last: true);

    private string Release(string added, bool last)
    {
        string text = _held + added;
        int end = stops.Select(stop => text.IndexOf(stop, StringComparison.Ordinal)).Where(at => at >= 0).DefaultIfEmpty(-1).Min();
        if (end >= 0)
        {
            Stopped = true;
            return text[..end];
        }

        int kept = last ? 0 : stops.Select(stop => BegunAtEndOf(text, stop)).DefaultIfEmpty(0).Max();
        _held = text[^kept..];
        return text[..^kept];
    }

    /// <summary>
    /// Length of the longest end of <paramref name="text"/> that is a beginning of <paramref name="stop"/>, but not all of it.
    /// </summary>
    private static int BegunAtEndOf(string text, string stop)
    {
        int length = Math.Min(text.Length, stop.Length - 1);
        while (length > 0 && !text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length)))
        {
            length--;
        }

        return length;
    }
}

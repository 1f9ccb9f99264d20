using System.Globalization;

namespace Forgetting.Reports;

/// <summary>One token of an example as the heat map shows it.</summary>
/// <param name="Text">Its text; may be part of a word, or empty where it only continues a character.</param>
/// <param name="Score">Its score in nats, or NaN outside the response.</param>
/// <param name="Sign">1 learnt, −1 negative, 0 ignored or outside the response.</param>
/// <param name="BaseLoss">Cross-entropy under the base model in nats.</param>
/// <param name="ReferenceLoss">Cross-entropy under the reference model in nats.</param>
/// <param name="Note">Anything else worth a hover, such as "planted"; empty for none.</param>
internal readonly record struct HeatMapToken(
    string Text, double Score, int Sign, double BaseLoss, double ReferenceLoss, string Note = "");

/// <summary>What the colours of a heat map say.</summary>
/// <param name="Name">What the score is called.</param>
/// <param name="Meaning">What it says of a token.</param>
/// <param name="Centre">The score without colour; above it tokens are blue, below it orange.</param>
/// <param name="Full">Distance from it, in nats, at which the colour is full.</param>
internal sealed record HeatMapScale(string Name, string Meaning, double Centre, double Full);

/// <summary>Texts whose tokens are coloured by their scores; underlined is negative, dotted ignored. A key above says so.</summary>
internal static class TokenHeatMap
{
    // A longer example hides the others.
    private const int MaxTokens = 400;

    /// <summary>An HTML fragment with a block for each example, called by its index.</summary>
    /// <param name="scale">What the colours say.</param>
    public static string Scored(IEnumerable<ScoredText> examples, HeatMapScale scale) => Render(
        [.. examples.Select(e => (string.Create(CultureInfo.InvariantCulture, $"example {e.Index}"), e.Tokens))], scale);

    /// <summary>An HTML fragment with a block for each example.</summary>
    /// <param name="examples">Title and tokens of each example.</param>
    /// <param name="scale">What the colours say.</param>
    public static string Render(IReadOnlyList<(string Title, IReadOnlyList<HeatMapToken> Tokens)> examples, HeatMapScale scale)
    {
        var output = new StringWriter(CultureInfo.InvariantCulture);
        output.Write("<div class=\"heat\">");
        WriteKey(output, examples, scale);
        foreach ((string title, IReadOnlyList<HeatMapToken> tokens) in examples)
        {
            output.Write($"<div class=\"example\"><b>{Svg.Text(title)}</b><p>");
            foreach (HeatMapToken token in tokens.Take(MaxTokens))
            {
                Write(output, token, scale);
            }

            if (tokens.Count > MaxTokens)
                output.Write($"<i> … {tokens.Count - MaxTokens} more tokens</i>");

            output.Write("</p></div>");
        }

        output.Write("</div>");
        return output.ToString();
    }

    private static void WriteKey(
        StringWriter output, IReadOnlyList<(string Title, IReadOnlyList<HeatMapToken> Tokens)> examples, HeatMapScale scale)
    {
        string End(int side) => (side > 0 && scale.Centre == 0 ? "+" : "") + Svg.Text(Svg.Value(scale.Centre + side * scale.Full, 2));
        output.Write("<div class=\"scale\"><span "
            + $"class=\"ramp\"><span>{End(-1)}</span><span>{Svg.Text(Svg.Value(scale.Centre, 2))}</span><span>{End(1)}</span></span>"
            + $"<span>{Svg.Text(scale.Name)} in nats: {Svg.Text(scale.Meaning)}</span>");
        output.Write("<span><span class=\"learn\">learnt</span> <span class=\"forget\">negative</span> "
            + (examples.Any(e => e.Tokens.Any(IsIgnored)) ? "<span class=\"ignored\">ignored</span> " : "")
            + "<span class=\"prompt\">prompt</span></span>");
        if (examples.Any(e => e.Tokens.Any(t => t.Note.Length > 0)))
            output.Write("<span><span class=\"noted\">noted</span> more on hover</span>");

        output.Write("</div>");
    }

    private static bool IsIgnored(HeatMapToken token) => token.Sign == 0 && double.IsFinite(token.Score);

    private static void Write(StringWriter output, HeatMapToken token, HeatMapScale scale)
    {
        string text = token.Text.Length == 0 ? "<i>·</i>" : Svg.Text(token.Text).Replace("\n", "<i>⏎</i>\n", StringComparison.Ordinal);
        if (!double.IsFinite(token.Score))
        {
            output.Write($"<span class=\"prompt\">{text}</span>");
            return;
        }

        double strength = Math.Min(1, Math.Abs(token.Score - scale.Centre) / Math.Max(scale.Full, 1e-9));
        string colour = token.Score >= scale.Centre ? "var(--learn-rgb)" : "var(--forget-rgb)";
        (string kind, string becomes) = token.Sign switch
        {
            < 0 => ("forget", "negative"),
            > 0 => ("learn", "learnt"),
            _ => ("ignored", "ignored"),
        };
        string note = token.Note.Length > 0 ? $"\n{token.Note}" : "";
        string hover = $"{scale.Name} {Svg.Value(token.Score)} nats ({becomes})\n"
            + $"base loss {Svg.Value(token.BaseLoss)}, reference loss {Svg.Value(token.ReferenceLoss)}{note}";
        output.Write($"<span class=\"{kind}{(note.Length > 0 ? " noted" : "")}\" style=\"background:rgb({colour} / "
            + $"{Svg.N(strength * 85)}%)\" title=\"{Svg.Text(hover)}\">{text}</span>");
    }
}

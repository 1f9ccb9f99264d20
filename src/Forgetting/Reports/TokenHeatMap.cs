using System.Globalization;

namespace Forgetting.Reports;

/// <summary>One token of an example as the heat map shows it.</summary>
/// <param name="Text">Its text; may be part of a word, or empty where it only continues a character.</param>
/// <param name="Influence">Influence s_t in nats, or NaN outside the response.</param>
/// <param name="Sign">1 learnt, −1 unlearnt, 0 not trained on.</param>
/// <param name="BaseLoss">Cross-entropy under the base model in nats.</param>
/// <param name="ReferenceLoss">Cross-entropy under the reference model in nats.</param>
/// <param name="Note">Anything else worth a hover, such as "planted"; empty for none.</param>
internal readonly record struct HeatMapToken(
    string Text, double Influence, int Sign, double BaseLoss, double ReferenceLoss, string Note = "");

/// <summary>
/// Texts whose tokens are coloured by influence: blue was learnt by the reference, orange was not;
/// underlined is negative. A key above says so.
/// </summary>
internal static class TokenHeatMap
{
    // A longer example hides the others.
    private const int MaxTokens = 400;

    /// <summary>An HTML fragment with a block for each example.</summary>
    /// <param name="examples">Title and tokens of each example.</param>
    /// <param name="scale">Influence, in nats, at which the colour is full.</param>
    public static string Render(IReadOnlyList<(string Title, IReadOnlyList<HeatMapToken> Tokens)> examples, double scale)
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
        StringWriter output, IReadOnlyList<(string Title, IReadOnlyList<HeatMapToken> Tokens)> examples, double scale)
    {
        string end = Svg.Text(Svg.Value(scale, 2));
        output.Write("<div class=\"scale\"><span "
            + $"class=\"ramp\"><span>−{end}</span><span>0</span><span>+{end}</span></span><span>influence in nats: "
            + "how much better the reference model predicts the token than the base model</span>");
        output.Write(
            "<span><span class=\"learn\">learnt</span> <span class=\"forget\">negative</span> <span class=\"prompt\">prompt</span></span>");
        if (examples.Any(e => e.Tokens.Any(t => t.Note.Length > 0)))
            output.Write("<span><span class=\"noted\">noted</span> more on hover</span>");

        output.Write("</div>");
    }

    private static void Write(StringWriter output, HeatMapToken token, double scale)
    {
        string text = token.Text.Length == 0 ? "<i>·</i>" : Svg.Text(token.Text).Replace("\n", "<i>⏎</i>\n", StringComparison.Ordinal);
        if (token.Sign == 0 || !double.IsFinite(token.Influence))
        {
            output.Write($"<span class=\"prompt\">{text}</span>");
            return;
        }

        double strength = Math.Min(1, Math.Abs(token.Influence) / Math.Max(scale, 1e-9));
        string colour = token.Influence >= 0 ? "var(--learn-rgb)" : "var(--forget-rgb)";
        string kind = token.Sign < 0 ? "forget" : "learn";
        string note = token.Note.Length > 0 ? $"\n{token.Note}" : "";
        string hover = $"influence {Svg.Value(token.Influence)} nats ({(token.Sign < 0 ? "negative" : "learnt")})\n"
            + $"base loss {Svg.Value(token.BaseLoss)}, reference loss {Svg.Value(token.ReferenceLoss)}{note}";
        output.Write($"<span class=\"{kind}{(note.Length > 0 ? " noted" : "")}\" style=\"background:rgb({colour} / "
            + $"{Svg.N(strength * 85)}%)\" title=\"{Svg.Text(hover)}\">{text}</span>");
    }
}

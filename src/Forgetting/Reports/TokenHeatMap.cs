using System.Globalization;

namespace Forgetting.Reports;

/// <summary>One token of an example as the heat map shows it.</summary>
/// <param name="Text">Its text; may be part of a word.</param>
/// <param name="Influence">Influence s_t in nats, or NaN outside the response.</param>
/// <param name="Sign">1 learnt, −1 unlearnt, 0 ignored or not trained on.</param>
/// <param name="BaseLoss">Cross-entropy under the base model in nats.</param>
/// <param name="ReferenceLoss">Cross-entropy under the reference model in nats.</param>
/// <param name="Note">Anything else worth a hover, such as "planted"; empty for none.</param>
public readonly record struct HeatMapToken(string Text, double Influence, int Sign, double BaseLoss, double ReferenceLoss, string Note = "");

/// <summary>Texts whose tokens are coloured by influence: blue was learnt by the reference, orange was not; underlined is unlearnt.</summary>
public static class TokenHeatMap
{
    /// <summary>An HTML fragment with one line an example.</summary>
    /// <param name="examples">Title and tokens of each example.</param>
    /// <param name="scale">Influence, in nats, at which the colour is full.</param>
    public static string Render(IReadOnlyList<(string Title, IReadOnlyList<HeatMapToken> Tokens)> examples, double scale)
    {
        var output = new StringWriter(CultureInfo.InvariantCulture);
        output.Write("<div class=\"heat\">");
        foreach ((string title, IReadOnlyList<HeatMapToken> tokens) in examples)
        {
            output.Write($"<p><b>{Svg.Text(title)}</b> ");
            foreach (HeatMapToken token in tokens)
            {
                Write(output, token, scale);
            }

            output.Write("</p>");
        }

        output.Write("</div>");
        return output.ToString();
    }

    private static void Write(StringWriter output, HeatMapToken token, double scale)
    {
        string text = Svg.Text(token.Text).Replace("\n", "<i>⏎</i>", StringComparison.Ordinal);
        if (!double.IsFinite(token.Influence))
        {
            output.Write($"<span>{text}</span>");
            return;
        }

        double strength = Math.Min(1, Math.Abs(token.Influence) / Math.Max(scale, 1e-9));
        string colour = token.Influence >= 0 ? "var(--learn-rgb)" : "var(--forget-rgb)";
        string kind = token.Sign < 0 ? "forget" : token.Sign > 0 ? "learn" : "ignore";
        string note = token.Note.Length > 0 ? $"\n{token.Note}" : "";
        string hover = $"influence {Svg.Value(token.Influence)} nats ({kind})\n"
            + $"base loss {Svg.Value(token.BaseLoss)}, reference loss {Svg.Value(token.ReferenceLoss)}{note}";
        output.Write($"<span class=\"{kind}{(note.Length > 0 ? " noted" : "")}\" style=\"background:rgb({colour} / {Svg.N(strength * 85)}%)\" title=\"{Svg.Text(hover)}\">{text}</span>");
    }
}

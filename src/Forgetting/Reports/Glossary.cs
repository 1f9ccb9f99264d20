using System.Text.RegularExpressions;

namespace Forgetting.Reports;

/// <summary>
/// The terms of the pages, each in one sentence. Where a page uses one, it is a link to its explanation at the page's end.
/// </summary>
internal static class Glossary
{
    // The longer names first, since they hold the shorter ones.
    private static readonly (string Id, string[] Names, string Text)[] s_terms =
    [
        ("cross-entropy", ["Cross-entropy", "cross-entropy"],
            "What a model loses on a token: minus the logarithm of the probability it gave to it. 0 is certainty, ln of the vocabulary's "
            + "size a guess. Of several tokens it is the mean."),
        ("nats", ["nats"], "The unit of logarithms to the base e: one nat less is a probability 2.7 times as high."),
        ("signed-objective", ["Signed objective", "signed objective"],
            "What an optimiser step lowers: the loss of the tokens to learn, minus λ times what the negative ones are to lose."),
        ("negative", ["Negative tokens", "negative tokens"],
            "Response tokens that are not to be learnt: the method ignores or unlearns them."),
        ("to-learn", ["tokens to learn"], "Response tokens that are trained on as usual; positive tokens."),
        ("weight", ["Weight of forgetting", "weight of forgetting"],
            "λ, the factor of the negative tokens' part of the objective; 0 forgets nothing."),
        ("held-out", ["held out", "Held-out", "held-out"],
            "Examples that no step trains on, by which one sees whether what is learnt holds elsewhere."),
        ("influence", ["Influence", "influence"],
            "How much lower a token's loss is under the reference model than under the base model. Above 0 the reference has learnt to "
            + "predict it; below 0 it has become worse at it."),
        ("reference", ["the reference", "reference model"],
            "The model that scores the tokens: one trained on examples that are trusted, or held apart."),
        ("base", ["the base", "base model"], "The model as it was before this training."),
        ("cosine", ["cosine", "Gradient cosine", "gradient cosine"],
            "Cosine of the angle between the gradient of the learnt part and that of the negative part: 1 is the same direction, −1 the "
            + "opposite, 0 neither."),
        ("gradient-norm", ["Gradient norms", "Gradient norm", "gradient norms", "gradient norm"],
            "Length of the vector of all derivatives of the objective, before clipping: how steep it is."),
        ("learning-rate", ["Learning rate", "learning rate"], "How far a step goes; it warms up and then falls by its schedule."),
        ("step", ["optimiser steps", "optimiser step"], "One update of the weights, after the examples of one batch."),
        ("confidence", ["Forgetting confidence", "confidence", "forgetting confidence"],
            "How far learning a sample would lead away from where the learning task ends, by Fisher information and its gradient."),
        ("tokens-per-second", ["tokens/s"], "Tokens of the step's examples, prompts included, over the time of the step."),
    ];

    private static readonly Regex s_names = new(
        $@"(?<![\w-])(?:{string.Join('|', s_terms.SelectMany(t => t.Names).OrderByDescending(n => n.Length).Select(Regex.Escape))})"
            + @"(?![\w-])",
        RegexOptions.CultureInvariant | RegexOptions.Compiled);

    /// <summary>Makes links of the terms in a text, of each the first place.</summary>
    /// <param name="html">Escaped text without tags.</param>
    /// <param name="prefix">What the page's own ids begin with.</param>
    /// <param name="used">Ids of terms; those found are added.</param>
    public static string Link(string html, string prefix, ISet<string> used)
    {
        HashSet<string> here = [];
        return s_names.Replace(html, match =>
        {
            (string id, _, string text) = Array.Find(s_terms, term => term.Names.Contains(match.Value));
            if (!here.Add(id))
                return match.Value;

            used.Add(id);
            return $"<a class=\"term\" href=\"#{prefix}term-{id}\" title=\"{Svg.Text(text)}\">{match.Value}</a>";
        });
    }

    /// <summary>The explanations of terms that a page uses, or nothing where it uses none.</summary>
    public static string Section(string prefix, ISet<string> used)
    {
        string[] entries =
        [
            .. s_terms.Where(t => used.Contains(t.Id)).OrderBy(t => t.Names[^1], StringComparer.OrdinalIgnoreCase).Select(term =>
                $"<dt id=\"{prefix}term-{term.Id}\">{Svg.Text(term.Names[^1])}</dt><dd>{Svg.Text(term.Text)}</dd>"),
        ];
        return entries.Length == 0 ? "" : $"<h2 id=\"{prefix}terms\">Terms</h2><dl class=\"terms\">{string.Concat(entries)}</dl>";
    }
}

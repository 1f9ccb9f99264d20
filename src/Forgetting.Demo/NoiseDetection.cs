using Forgetting.Methods.TokenForgetting;

namespace Forgetting.Demo;

/// <summary>How well influence found the misleading answers that were planted.</summary>
/// <param name="Auc">Probability that a planted value has less influence than a true one, ties half.</param>
/// <param name="Precision">Share of negative tokens that are planted values.</param>
/// <param name="Recall">Share of planted values that are negative.</param>
internal sealed record NoiseDetection(double Auc, double Precision, double Recall)
{
    /// <summary>
    /// Whether token <paramref name="t"/> of a scored example is a planted value: a response token before the final end of text.
    /// </summary>
    public static bool IsPlanted(ExampleScores scores, int t, IReadOnlyList<Question> questions) =>
        questions[scores.Index].Misleading && scores.Response[t] == 1 && t < scores.Ids.Length - 1;

    /// <summary>Measures the partition of a training set.</summary>
    public static NoiseDetection Measure(IReadOnlyList<ExampleScores> scores, IReadOnlyList<Question> questions)
    {
        var planted = new List<double>();
        var honest = new List<double>();
        int negative = 0, found = 0;
        foreach (ExampleScores example in scores)
        {
            for (int t = 0; t < example.Ids.Length; t++)
            {
                if (example.Response[t] == 0)
                    continue;

                bool misleads = IsPlanted(example, t, questions);
                negative += example.Sign[t] < 0 ? 1 : 0;
                found += misleads && example.Sign[t] < 0 ? 1 : 0;
                if (t < example.Ids.Length - 1)
                    (misleads ? planted : honest).Add((example.Score ?? example.Influence)[t]);
            }
        }

        return new NoiseDetection(AreaUnderCurve(planted, honest), (double)found / negative, (double)found / planted.Count);
    }

    private static double AreaUnderCurve(List<double> low, List<double> high)
    {
        double wins = 0;
        foreach (double a in low)
        {
            foreach (double b in high)
            {
                wins += a < b ? 1 : a == b ? 0.5 : 0;
            }
        }

        return wins / ((double)low.Count * high.Count);
    }
}

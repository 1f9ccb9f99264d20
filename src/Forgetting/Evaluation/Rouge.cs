using System.Text.RegularExpressions;

namespace Forgetting.Evaluation;

/// <summary>What an answer and a reference have in common.</summary>
/// <param name="Precision">Over the answer.</param>
/// <param name="Recall">Over the reference.</param>
internal readonly record struct RougeScore(double Precision, double Recall)
{
    /// <summary>Their harmonic mean.</summary>
    public double F1 => Precision + Recall > 0 ? 2 * Precision * Recall / (Precision + Recall) : 0;
}

/// <summary>
/// ROUGE (Lin, 2004) as Google's rouge_score computes it: words are runs of a–z and 0–9 in lower case, those of more than three letters
/// stemmed if asked for. An answer or reference without words scores 0.
/// </summary>
internal static partial class Rouge
{
    /// <summary>ROUGE-N: n-grams in common.</summary>
    public static RougeScore N(string answer, string reference, int n)
    {
        string[] found = Words(answer, stem: false), wanted = Words(reference, stem: false);
        int common = NGrams.Common(NGrams.Count(found, n), NGrams.Count(wanted, n));
        return Score(common, found.Length - n + 1, wanted.Length - n + 1);
    }

    /// <summary>ROUGE-L: the longest common subsequence.</summary>
    public static RougeScore L(string answer, string reference, bool stem)
    {
        string[] found = Words(answer, stem), wanted = Words(reference, stem);
        return Score(Table(wanted, found)[wanted.Length, found.Length], found.Length, wanted.Length);
    }

    /// <summary>
    /// ROUGE-Lsum: sentences are lines. Of each sentence of the reference those words count that are in the longest common subsequence with
    /// any sentence of the answer, each at most as often as it is in answer and reference.
    /// </summary>
    public static RougeScore LSum(string answer, string reference)
    {
        string[][] found = Sentences(answer), wanted = Sentences(reference);
        Dictionary<string, int> inAnswer = NGrams.Count([.. found.SelectMany(words => words)], 1),
            inReference = NGrams.Count([.. wanted.SelectMany(words => words)], 1);
        int common = 0;
        foreach (string[] sentence in wanted)
        {
            foreach (string word
                in found.SelectMany(other => CommonPlaces(sentence, other)).Distinct().Order().Select(place => sentence[place]))
            {
                if (inAnswer.GetValueOrDefault(word) > 0 && inReference[word] > 0)
                {
                    common++;
                    inAnswer[word]--;
                    inReference[word]--;
                }
            }
        }

        return Score(common, found.Sum(words => words.Length), wanted.Sum(words => words.Length));
    }

    private static RougeScore Score(int common, int found, int wanted) =>
        common == 0 ? default : new RougeScore((double)common / found, (double)common / wanted);

    private static string[][] Sentences(string text) => [.. text.Split('\n').Select(line => Words(line, stem: false))];

    private static string[] Words(string text, bool stem) =>
        [.. NotWord().Split(text.ToLowerInvariant()).Where(word => word.Length > 0).Select(
            word => stem && word.Length > 3 ? PorterStemmer.Stem(word) : word)];

    // Lengths of the longest common subsequences of all beginnings.
    private static int[,] Table(string[] one, string[] other)
    {
        var table = new int[one.Length + 1, other.Length + 1];
        for (int i = 1; i <= one.Length; i++)
        {
            for (int j = 1; j <= other.Length; j++)
            {
                table[i, j] = one[i - 1] == other[j - 1] ? table[i - 1, j - 1] + 1 : Math.Max(table[i - 1, j], table[i, j - 1]);
            }
        }

        return table;
    }

    // Places in `one` of a longest common subsequence; of several the one that rouge_score finds.
    private static IEnumerable<int> CommonPlaces(string[] one, string[] other)
    {
        int[,] table = Table(one, other);
        for (int i = one.Length, j = other.Length; i > 0 && j > 0;)
        {
            if (one[i - 1] == other[j - 1])
            {
                yield return --i;
                j--;
            }
            else if (table[i, j - 1] > table[i - 1, j])
            {
                j--;
            }
            else
            {
                i--;
            }
        }
    }

    [GeneratedRegex("[^a-z0-9]+")]
    private static partial Regex NotWord();
}

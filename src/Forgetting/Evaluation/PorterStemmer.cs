namespace Forgetting.Evaluation;

/// <summary>
/// Porter's stemmer ("An algorithm for suffix stripping", Program 14, 1980) with the changes that NLTK makes to it by default, since ROUGE
/// with stemming is defined by that program. Takes lower-case words.
/// </summary>
internal static class PorterStemmer
{
    private static readonly Dictionary<string, string> s_irregular = new(StringComparer.Ordinal)
    {
        ["sky"] = "sky", ["skies"] = "sky", ["dying"] = "die", ["lying"] = "lie", ["tying"] = "tie", ["news"] = "news",
        ["innings"] = "inning", ["inning"] = "inning", ["outings"] = "outing", ["outing"] = "outing", ["cannings"] = "canning",
        ["canning"] = "canning", ["howe"] = "howe", ["proceed"] = "proceed", ["exceed"] = "exceed", ["succeed"] = "succeed",
    };

    // The first suffix that fits is the one that counts, whether or not it is then replaced.
    private static readonly (string Suffix, string Replacement)[] s_double =
    [
        ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"), ("fulli", "ful"),
        ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"),
        ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
    ];

    private static readonly (string Suffix, string Replacement)[] s_single =
        [("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")];

    private static readonly (string Suffix, string Replacement)[] s_last =
    [
        ("al", ""), ("ance", ""), ("ence", ""), ("er", ""), ("ic", ""), ("able", ""), ("ible", ""), ("ant", ""), ("ement", ""),
        ("ment", ""), ("ent", ""), ("ou", ""), ("ism", ""), ("ate", ""), ("iti", ""), ("ous", ""), ("ive", ""), ("ize", ""),
    ];

    /// <summary>The stem of a word.</summary>
    public static string Stem(string word)
    {
        if (s_irregular.TryGetValue(word, out string? stem))
            return stem;

        return word.Length <= 2 ? word : WithoutE(Last(Replace(Double(FinalY(PastOrGerund(Plural(word)))), s_single, 0)));
    }

    // Step 1a.
    private static string Plural(string word) => word switch
    {
        _ when Ends(word, "sses") => word[..^2],
        _ when Ends(word, "ies") => word.Length == 4 ? word[..^1] : word[..^2],
        _ when Ends(word, "ss") || word[^1] != 's' => word,
        _ => word[..^1],
    };

    // Step 1b.
    private static string PastOrGerund(string word)
    {
        if (Ends(word, "ied"))
            return word.Length == 4 ? word[..^1] : word[..^2];

        if (Ends(word, "eed"))
            return Measure(word[..^3]) > 0 ? word[..^1] : word;

        string? stem = Ends(word, "ed") ? word[..^2] : Ends(word, "ing") ? word[..^3] : null;
        if (stem is null || !Enumerable.Range(0, stem.Length).Any(i => !IsConsonant(stem, i)))
            return word;

        if (Ends(stem, "at") || Ends(stem, "bl") || Ends(stem, "iz"))
            return stem + "e";

        if (stem.Length > 1 && stem[^1] == stem[^2] && IsConsonant(stem, stem.Length - 1))
            return stem[^1] is 'l' or 's' or 'z' ? stem : stem[..^1];

        return Measure(stem) == 1 && EndsShort(stem) ? stem + "e" : stem;
    }

    // Step 1c.
    private static string FinalY(string word) =>
        word.Length > 2 && word[^1] == 'y' && IsConsonant(word, word.Length - 2) ? word[..^1] + "i" : word;

    // Step 2.
    private static string Double(string word)
    {
        if (Ends(word, "alli"))
            return Measure(word[..^4]) > 0 ? Double(word[..^2]) : word;

        if (Ends(word, "logi"))
            return Measure(word[..^3]) > 0 ? word[..^1] : word;

        return Replace(word, s_double, 0);
    }

    // Step 4. -ion goes only behind s or t, which belong to the stem.
    private static string Last(string word) =>
        !Ends(word, "sion") && !Ends(word, "tion") ? Replace(word, s_last, 1) : Measure(word[..^3]) > 1 ? word[..^3] : word;

    // Step 5.
    private static string WithoutE(string word)
    {
        if (Ends(word, "e") && (Measure(word[..^1]) > 1 || (Measure(word[..^1]) == 1 && !EndsShort(word[..^1]))))
            word = word[..^1];

        return Ends(word, "ll") && Measure(word[..^1]) > 1 ? word[..^1] : word;
    }

    private static string Replace(string word, (string Suffix, string Replacement)[] rules, int least)
    {
        foreach ((string suffix, string replacement) in rules)
        {
            if (Ends(word, suffix))
                return Measure(word[..^suffix.Length]) > least ? word[..^suffix.Length] + replacement : word;
        }

        return word;
    }

    private static bool Ends(string word, string suffix) => word.EndsWith(suffix, StringComparison.Ordinal);

    // y is a consonant at the beginning and behind a vowel.
    private static bool IsConsonant(string word, int i) => word[i] switch
    {
        'a' or 'e' or 'i' or 'o' or 'u' => false,
        'y' => i == 0 || !IsConsonant(word, i - 1),
        _ => true,
    };

    // m: how often a consonant follows a vowel.
    private static int Measure(string stem) =>
        Enumerable.Range(1, Math.Max(0, stem.Length - 1)).Count(i => IsConsonant(stem, i) && !IsConsonant(stem, i - 1));

    // Consonant, vowel, consonant other than w, x and y; or vowel, consonant alone.
    private static bool EndsShort(string stem) => stem.Length == 2
        ? !IsConsonant(stem, 0) && IsConsonant(stem, 1)
        : stem.Length > 2 && IsConsonant(stem, stem.Length - 3) && !IsConsonant(stem, stem.Length - 2) && IsConsonant(stem, stem.Length - 1)
            && stem[^1] is not ('w' or 'x' or 'y');
}

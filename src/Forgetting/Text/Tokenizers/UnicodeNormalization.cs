using System.Globalization;
using System.Text;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// The four normalization forms (Unicode Standard Annex 15). .NET asks ICU for them, which this program runs without: with invariant
/// globalization <see cref="string.Normalize()"/> returns the text unchanged. The character data is the
/// embedded <c>UnicodeNormalization.txt</c>.
/// </summary>
internal static class UnicodeNormalization
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TrailBase = 0x11A7;
    private const int LeadCount = 19, VowelCount = 21, TrailCount = 28, HangulCount = LeadCount * VowelCount * TrailCount;

    private static readonly Lazy<Tables> s_data = new(Tables.Load);

    /// <summary>The text in a normalization form.</summary>
    public static string Normalize(string text, NormalizationForm form)
    {
        bool compose = form is NormalizationForm.FormC or NormalizationForm.FormKC;
        bool compatible = form is NormalizationForm.FormKC or NormalizationForm.FormKD;

        // Below these nothing decomposes, combines or is composed of anything.
        char firstAffected = compatible ? '\u00A0' : compose ? '\u0300' : '\u00C0';
        if (text.AsSpan().IndexOfAnyExceptInRange('\0', (char)(firstAffected - 1)) < 0)
            return text;

        List<int> runes = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            Decompose(rune.Value, compatible, runes);
        }

        Reorder(runes);
        if (compose)
            Compose(runes);

        StringBuilder result = new(text.Length);
        Span<char> units = stackalloc char[2];
        foreach (int rune in runes)
        {
            result.Append(units[..new Rune(rune).EncodeToUtf16(units)]);
        }

        return result.ToString();
    }

    private static void Decompose(int rune, bool compatible, List<int> output)
    {
        int syllable = rune - HangulBase;
        if ((uint)syllable < HangulCount)
        {
            output.Add(LeadBase + (syllable / (VowelCount * TrailCount)));
            output.Add(VowelBase + (syllable / TrailCount % VowelCount));
            if (syllable % TrailCount > 0)
                output.Add(TrailBase + (syllable % TrailCount));
        }
        else if (s_data.Value.Canonical.TryGetValue(rune, out int[]? parts)
            || (compatible && s_data.Value.Compatible.TryGetValue(rune, out parts)))
        {
            foreach (int part in parts)
            {
                Decompose(part, compatible, output);
            }
        }
        else
        {
            output.Add(rune);
        }
    }

    /// <summary>Stable order by combining class within each run of combining characters.</summary>
    private static void Reorder(List<int> runes)
    {
        for (int start = 0; start < runes.Count; start++)
        {
            int end = start;
            while (end < runes.Count && s_data.Value.ClassOf(runes[end]) != 0)
            {
                end++;
            }

            if (end - start > 1)
            {
                int[] ordered = [.. runes[start..end].OrderBy(s_data.Value.ClassOf)];
                for (int i = 0; i < ordered.Length; i++)
                {
                    runes[start + i] = ordered[i];
                }
            }

            start = end;
        }
    }

    private static void Compose(List<int> runes)
    {
        int kept = 0, starter = -1, classBefore = 0;
        for (int i = 0; i < runes.Count; i++)
        {
            int rune = runes[i], itsClass = s_data.Value.ClassOf(rune);

            // A character is blocked from its starter by one between them of the same or a higher class, or by another starter.
            bool reachable = starter >= 0 && (starter == kept - 1 || (classBefore != 0 && classBefore < itsClass));
            if (reachable && Pair(runes[starter], rune) is int composed)
            {
                runes[starter] = composed;
                continue;
            }

            if (itsClass == 0)
                starter = kept;

            classBefore = itsClass;
            runes[kept++] = rune;
        }

        runes.RemoveRange(kept, runes.Count - kept);
    }

    private static int? Pair(int first, int second)
    {
        int lead = first - LeadBase, vowel = second - VowelBase, trail = second - TrailBase, syllable = first - HangulBase;
        if ((uint)lead < LeadCount && (uint)vowel < VowelCount)
            return HangulBase + (((lead * VowelCount) + vowel) * TrailCount);

        if ((uint)syllable < HangulCount && syllable % TrailCount == 0 && trail is > 0 and < TrailCount)
            return first + trail;

        return s_data.Value.Pairs.TryGetValue((first, second), out int composed) ? composed : null;
    }

    private sealed class Tables
    {
        private readonly Dictionary<int, byte> _classes = [];

        public Dictionary<int, int[]> Canonical { get; } = [];

        public Dictionary<int, int[]> Compatible { get; } = [];

        public Dictionary<(int First, int Second), int> Pairs { get; } = [];

        public static Tables Load()
        {
            Tables tables = new();
            using Stream stream =
                typeof(UnicodeNormalization).Assembly.GetManifestResourceStream(typeof(UnicodeNormalization), "UnicodeNormalization.txt")!;
            using StreamReader reader = new(stream);
            while (reader.ReadLine() is { } line)
            {
                if (line[0] != '#')
                    tables.Add(line);
            }

            return tables;
        }

        public int ClassOf(int rune) => _classes.GetValueOrDefault(rune);

        private void Add(string line)
        {
            int mark = line.AsSpan().IndexOfAny("#=-~");
            string[] range = line[..mark].Split("..");
            int first = Hex(range[0]);
            if (line[mark] == '#')
            {
                for (int rune = first; rune <= Hex(range[^1]); rune++)
                {
                    _classes[rune] = byte.Parse(line.AsSpan(mark + 1), CultureInfo.InvariantCulture);
                }

                return;
            }

            int[] parts = [.. line[(mark + 1)..].Split(' ').Select(Hex)];
            (line[mark] == '~' ? Compatible : Canonical)[first] = parts;
            if (line[mark] == '=')
                Pairs[(parts[0], parts[1])] = first;
        }

        private static int Hex(string digits) => int.Parse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
    }
}

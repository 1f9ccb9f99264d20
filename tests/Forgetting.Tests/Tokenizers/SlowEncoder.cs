using System.Text;

namespace Forgetting.Tests.Tokenizers;

/// <summary>
/// Byte-pair encoding that is slow and plain: patterns matched rune by rune as they read, merges by looking through all pairs for the
/// lowest rank. It shares nothing with the library.
/// </summary>
internal sealed class SlowEncoder(IReadOnlyDictionary<string, int> vocabulary, IReadOnlyList<(string Left, string Right)> merges)
{
    private readonly Dictionary<(string, string), int> _ranks = merges.Select((m, i) => (m, i)).ToDictionary(p => p.m, p => p.i);

    /// <summary>Ids of a byte-level text cut by one of the patterns below.</summary>
    public int[] ByteLevel(string text, Func<Rune[], int, int> match, bool wholeFirst = false)
    {
        Rune[] runes = [.. text.EnumerateRunes()];
        List<int> ids = [];
        for (int at = 0; at < runes.Length;)
        {
            int length = match(runes, at);
            byte[] bytes = Encoding.UTF8.GetBytes(string.Concat(runes.Skip(at).Take(length)));
            List<string> symbols = [.. bytes.Select(b => Printable(b).ToString())];
            string whole = string.Concat(symbols);
            ids.AddRange(wholeFirst && vocabulary.TryGetValue(whole, out int id) ? [id] : Merge(symbols));
            at += length;
        }

        return [.. ids];
    }

    /// <summary>Ids of a sentencepiece text as one piece: ▁ in front and for spaces, bytes for unknown characters.</summary>
    public int[] SentencePiece(string text) => text.Length == 0 ? [] : Merge(
    [
        .. ("▁" + text.Replace(' ', '▁')).EnumerateRunes().SelectMany(r => vocabulary.ContainsKey(r.ToString())
            ? [r.ToString()]
            : Encoding.UTF8.GetBytes(r.ToString()).Select(b => $"<0x{b:X2}>")),
    ]);

    public static int Gpt2(Rune[] r, int at)
    {
        int space = Is(r, at, ' ') ? 1 : 0;
        return First(
            Contraction(r, at, ignoreCase: false),
            Longer(space, Run(r, at + space, Rune.IsLetter)),
            Longer(space, Run(r, at + space, IsNumber)),
            Longer(space, Run(r, at + space, IsOther)),
            Spaces(r, at));
    }

    public static int Llama3(Rune[] r, int at) => Llama3OrQwen2(r, at, 3);

    public static int Qwen2(Rune[] r, int at) => Llama3OrQwen2(r, at, 1);

    private static int Llama3OrQwen2(Rune[] r, int at, int mostDigits)
    {
        int space = Is(r, at, ' ') ? 1 : 0;
        int lead = Is(r, at, '\r') || Is(r, at, '\n') || Rune.IsLetter(r[at]) || IsNumber(r[at]) ? 0 : 1;
        int others = Longer(space, Run(r, at + space, IsOther));
        return First(
            Contraction(r, at, ignoreCase: true),
            Longer(lead, Run(r, at + lead, Rune.IsLetter)),
            Math.Min(mostDigits, Run(r, at, IsNumber)),
            others == 0 ? 0 : others + Run(r, at + others, c => c.Value is '\r' or '\n'),
            ThroughLastNewline(r, at),
            Spaces(r, at));
    }

    private static int First(params int[] lengths) => lengths.First(l => l > 0);

    private static int Longer(int lead, int run) => run > 0 ? lead + run : 0;

    private static bool Is(Rune[] r, int at, char c) => at < r.Length && r[at].Value == c;

    private static bool IsNumber(Rune c) => Rune.IsNumber(c);

    private static bool IsOther(Rune c) => !Rune.IsWhiteSpace(c) && !Rune.IsLetter(c) && !IsNumber(c);

    private static int Run(Rune[] r, int at, Func<Rune, bool> belongs)
    {
        int end = at;
        while (end < r.Length && belongs(r[end]))
        {
            end++;
        }

        return end - at;
    }

    private static int Contraction(Rune[] r, int at, bool ignoreCase)
    {
        foreach (string end in (string[])["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"])
        {
            string here = string.Concat(r.Skip(at).Take(end.Length));
            if (string.Equals(here, end, ignoreCase ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal))
                return end.Length;
        }

        return 0;
    }

    private static int ThroughLastNewline(Rune[] r, int at)
    {
        int run = Run(r, at, Rune.IsWhiteSpace);
        while (run > 0 && !Is(r, at + run - 1, '\r') && !Is(r, at + run - 1, '\n'))
        {
            run--;
        }

        return run;
    }

    /// <summary>White space but for the last one before other text, which goes with that; a single one stands alone.</summary>
    private static int Spaces(Rune[] r, int at)
    {
        int run = Run(r, at, Rune.IsWhiteSpace);
        return at + run < r.Length && run > 1 ? run - 1 : run;
    }

    private static char Printable(byte b)
    {
        static bool Shown(int v) => v is >= 33 and <= 126 or >= 161 and <= 172 or >= 174 and <= 255;
        return (char)(Shown(b) ? b : 256 + Enumerable.Range(0, b).Count(v => !Shown(v)));
    }

    private int[] Merge(List<string> symbols)
    {
        while (true)
        {
            int best = -1, rank = int.MaxValue;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                if (_ranks.TryGetValue((symbols[i], symbols[i + 1]), out int candidate) && candidate < rank)
                    (best, rank) = (i, candidate);
            }

            if (best < 0)
                return [.. symbols.Select(s => vocabulary[s])];

            symbols[best] += symbols[best + 1];
            symbols.RemoveAt(best + 1);
        }
    }
}

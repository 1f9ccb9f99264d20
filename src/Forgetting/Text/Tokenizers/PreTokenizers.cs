using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Text.Tokenizers;

/// <summary>A stretch of normalized text.</summary>
/// <param name="Text">The text it lies in.</param>
/// <param name="Start">First UTF-16 unit.</param>
/// <param name="Length">UTF-16 units.</param>
/// <param name="First">Whether it begins the input.</param>
/// <param name="Shift">Place of the text's first unit in the text that was cut: −1 behind a space put in front.</param>
internal readonly record struct Segment(string Text, int Start, int Length, bool First, int Shift = 0)
{
    /// <summary>The characters.</summary>
    public ReadOnlySpan<char> Span => Text.AsSpan(Start, Length);

    /// <summary>Its first unit in the text that was cut; negative where that is a space put in front.</summary>
    public int Place => Start + Shift;

    /// <summary>A part of it, by place in <see cref="Text"/>.</summary>
    public Segment Part(int start, int length) => new(Text, start, length, First && start == Start, Shift);
}

/// <summary>Cuts a segment into pieces, appended in order; merges never cross a cut.</summary>
internal delegate void PreTokenizer(Segment segment, List<Segment> pieces);

/// <summary>The <c>pre_tokenizer</c> of a <c>tokenizer.json</c>.</summary>
internal static class PreTokenizers
{
    /// <summary>GPT-2's split, which ByteLevel uses.</summary>
    public const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>Llama 3's split: as Qwen2's, with digits in threes.</summary>
    public const string Llama3Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Qwen2's split; Llama 3's has up to three digits in a piece.</summary>
    public const string Qwen2Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Where the delimiters of a split go.</summary>
    private enum Delimiter
    {
        Isolated,
        Removed,
        MergedWithPrevious,
        MergedWithNext,
        Contiguous,
    }

    /// <summary>
    /// Reads a pre-tokenizer; <paramref name="byteLevel"/> tells whether its pieces are then written in <see cref="ByteLevelAlphabet"/>.
    /// </summary>
    /// <exception cref="UserException">The kind is not supported.</exception>
    public static PreTokenizer Read(JsonView view, out bool byteLevel)
    {
        string type = view["type"].AsString();
        byteLevel = type == "ByteLevel";
        switch (type)
        {
            case "Sequence":
                return ReadSequence(view, out byteLevel);
            case "ByteLevel":
                return ByteLevel(view.Flag("add_prefix_space", true), view.Flag("use_regex", true));
            case "Split":
                return ReadSplit(view);
            case "Digits":
                Delimiter digits = view.Flag("individual_digits") ? Delimiter.Isolated : Delimiter.Contiguous;
                return Split(TextPattern.Expression(@"\p{N}", view.Source), digits);
            case "Whitespace":
                return Split(TextPattern.Expression(@"[\w\p{M}\p{Nl}]+|[^\w\p{M}\p{Nl}\s]+", view.Source), Delimiter.Removed, invert: true);
            case "WhitespaceSplit":
                return Split(TextPattern.Expression(@"\s", view.Source), Delimiter.Removed);
            case "Punctuation":
                Delimiter marks = view.Find("behavior") is { } behavior ? ReadDelimiter(behavior) : Delimiter.Isolated;
                return Split(TextPattern.Expression(@"[\p{P}$+<=>^`|~]", view.Source), marks);
            case "Metaspace":
                return ReadMetaspace(view);
            default:
                throw view["type"].Wrong(
                    view["type"].Describe(),
                    "a supported pre-tokenizer (Sequence, ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Punctuation, Metaspace)");
        }
    }

    /// <summary>GPT-2's: an optional leading space, then its split.</summary>
    public static PreTokenizer ByteLevel(bool addPrefixSpace, bool useRegex)
    {
        PreTokenizer? split = useRegex ? Isolating(Gpt2Pattern) : null;
        return (segment, pieces) =>
        {
            Segment prefixed = addPrefixSpace && segment.Span is [not ' ', ..] ? Prefixed(segment, ' ') : segment;
            if (split is null)
            {
                pieces.Add(prefixed);
            }
            else
            {
                split(prefixed, pieces);
            }
        };
    }

    /// <summary>Pieces are the matches and what lies between them.</summary>
    public static PreTokenizer Isolating(string expression) =>
        Split(TextPattern.Expression(expression, "pre-tokenizer"), Delimiter.Isolated);

    /// <summary>Cuts before each run of the marker.</summary>
    public static PreTokenizer BeforeRunsOf(char marker) => (segment, pieces) =>
    {
        ReadOnlySpan<char> span = segment.Span;
        int start = 0;
        for (int i = 1; i <= span.Length; i++)
        {
            if (i == span.Length || (span[i] == marker && span[i - 1] != marker))
            {
                pieces.Add(segment.Part(segment.Start + start, i - start));
                start = i;
            }
        }
    };

    private static PreTokenizer ReadSequence(JsonView view, out bool byteLevel)
    {
        List<PreTokenizer> parts = [];
        byteLevel = false;
        foreach (JsonView item in view["pretokenizers"].Items())
        {
            if (byteLevel)
                throw item.Wrong("a pre-tokenizer behind ByteLevel", "ByteLevel last in the sequence");

            parts.Add(Read(item, out byteLevel));
        }

        return (segment, pieces) =>
        {
            List<Segment> current = [segment];
            foreach (PreTokenizer part in parts)
            {
                List<Segment> next = new(current.Count);
                foreach (Segment piece in current)
                {
                    part(piece, next);
                }

                current = next;
            }

            pieces.AddRange(current);
        };
    }

    private static PreTokenizer ReadSplit(JsonView view) =>
        Split(TextPattern.Read(view["pattern"]), ReadDelimiter(view["behavior"]), view.Flag("invert"));

    private static Delimiter ReadDelimiter(JsonView view) =>
        Enum.TryParse(view.AsString(), out Delimiter delimiter) && Enum.IsDefined(delimiter)
            ? delimiter
            : throw view.Wrong(view.Describe(), "Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous");

    private static PreTokenizer ReadMetaspace(JsonView view)
    {
        JsonView replacement = view["replacement"];
        if (replacement.AsString() is not [char marker])
            throw replacement.Wrong(replacement.Describe(), "one character");

        // Older files have add_prefix_space instead of prepend_scheme.
        string scheme = view.Find("prepend_scheme")?.AsString() ?? (view.Flag("add_prefix_space", true) ? "always" : "never");
        if (scheme is not ("always" or "first" or "never"))
            throw view["prepend_scheme"].Wrong($"\"{scheme}\"", "always, first or never");

        PreTokenizer? split = view.Flag("split", true)
            ? Split(TextPattern.Literal(marker.ToString(), view.Source), Delimiter.MergedWithNext)
            : null;
        return (segment, pieces) =>
        {
            Segment marked = new(segment.Span.ToString().Replace(' ', marker), 0, segment.Length, segment.First, segment.Place);
            if ((scheme == "always" || (scheme == "first" && segment.First)) && marked.Length > 0 && marked.Text[0] != marker)
                marked = Prefixed(marked, marker);

            if (split is null)
            {
                pieces.Add(marked);
            }
            else
            {
                split(marked, pieces);
            }
        };
    }

    private static Segment Prefixed(Segment segment, char prefix)
    {
        string text = string.Concat([prefix], segment.Span);
        return new Segment(text, 0, text.Length, segment.First, segment.Place - 1);
    }

    private static PreTokenizer Split(TextPattern pattern, Delimiter behavior, bool invert = false) => (segment, pieces) =>
    {
        List<(int Start, int Length)> matches = [];
        pattern.Matches(segment.Text, segment.Start, segment.Length, matches);
        int done = segment.Start, end = segment.Start + segment.Length;
        List<(int Start, int Length, bool Delimits)> parts = new((2 * matches.Count) + 1);
        foreach ((int at, int length) in matches)
        {
            Between(done, at);

            // An empty match cuts, too.
            parts.Add((at, length, !invert));
            done = at + length;
        }

        Between(done, end);
        Emit(segment, parts, behavior, pieces);

        void Between(int from, int to)
        {
            if (to > from)
                parts.Add((from, to - from, invert));
        }
    };

    private static void Emit(Segment segment, List<(int Start, int Length, bool Delimits)> parts, Delimiter behavior, List<Segment> pieces)
    {
        for (int i = 0; i < parts.Count; i++)
        {
            (int start, int length, bool delimits) = parts[i];
            switch (behavior)
            {
                case Delimiter.Removed when delimits:
                    continue;
                case Delimiter.MergedWithPrevious when !delimits && i + 1 < parts.Count && parts[i + 1].Delimits:
                case Delimiter.MergedWithNext when delimits && i + 1 < parts.Count && !parts[i + 1].Delimits:
                    length += parts[++i].Length;
                    break;
                case Delimiter.Contiguous:
                    while (i + 1 < parts.Count && parts[i + 1].Delimits == delimits)
                    {
                        length += parts[++i].Length;
                    }

                    break;
            }

            if (length > 0)
                pieces.Add(segment.Part(start, length));
        }
    }
}

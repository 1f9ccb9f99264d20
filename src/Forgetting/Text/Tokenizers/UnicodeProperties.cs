using System.Globalization;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// The code points of Unicode's properties by their names, as Oniguruma spells and means them: general categories from .NET, scripts and
/// the parts of derived properties that .NET lacks from the embedded <c>UnicodeProperties.txt</c>.
/// </summary>
internal static class UnicodeProperties
{
    private static readonly Lazy<CodePointSet[]> s_categories = new(ReadCategories);
    private static readonly Lazy<Dictionary<string, CodePointSet>> s_files = new(ReadFile);

    /// <summary>Decimal digits.</summary>
    public static CodePointSet Digit => General("Nd");

    /// <summary>White space.</summary>
    public static CodePointSet Space => General("Z").Or(CodePointSet.From(9, 13)).Or(CodePointSet.From(0x85));

    /// <summary>Hexadecimal digits, of ASCII only.</summary>
    public static CodePointSet HexDigit { get; } = CodePointSet.From([('0', '9'), ('A', 'F'), ('a', 'f')]);

    /// <summary>Parts of words, as a class has them.</summary>
    public static CodePointSet Word => Alphabetic.Or(General("M")).Or(Digit).Or(General("Pc"));

    private static CodePointSet Alphabetic => General("L").Or(General("Nl")).Or(s_files.Value["otheralphabetic"]);

    /// <summary>A property by name, in whatever case, blanks, hyphens and underscores; null where it is not known.</summary>
    public static CodePointSet? Find(string name)
    {
        name = string.Concat(name.Where(c => c is not (' ' or '-' or '_'))).ToLowerInvariant();
        return name switch
        {
            "any" => CodePointSet.All,
            "assigned" => General("Cn").Not(),
            "punct" => General("P"),
            "whitespace" => Space,
            "alphabetic" => Alphabetic,
            "uppercase" => Bracket("upper"),
            "lowercase" => Bracket("lower"),
            _ => Bracket(name) ?? Category(name) ?? (s_files.Value.TryGetValue(name, out CodePointSet? set) ? set : null),
        };
    }

    /// <summary>A class in POSIX brackets, <c>[:name:]</c>; null where it is not known.</summary>
    public static CodePointSet? Bracket(string name) => name switch
    {
        "alnum" => Alphabetic.Or(Digit),
        "alpha" => Alphabetic,
        "ascii" => CodePointSet.From(0, 127),
        "blank" => General("Zs").Or(CodePointSet.From('\t')),
        "cntrl" => General("Cc"),
        "digit" => Digit,
        "graph" => Space.Or(General("Cc")).Or(General("Cn")).Or(General("Cs")).Not(),
        "lower" => General("Ll").Or(s_files.Value["otherlowercase"]),
        "print" => Bracket("graph")!.Or(General("Zs")),
        "punct" => General("P").Or(General("S")),
        "space" => Space,
        "upper" => General("Lu").Or(s_files.Value["otheruppercase"]),
        "xdigit" => HexDigit,
        "word" => Word,
        _ => null,
    };

    private static CodePointSet General(string name) => Category(name.ToLowerInvariant())!;

    /// <summary>A general category, or a group of them: L, Lu, Letter, Uppercase_Letter, …</summary>
    // Names are asked for in small letters.
    private static bool IsLower(string name, string title) => string.Equals(name, title, StringComparison.OrdinalIgnoreCase);

    private static CodePointSet? Category(string name)
    {
        CodePointSet? found = null;
        for (int category = 0; category < s_categories.Value.Length; category++)
        {
            (string code, string title) = s_names[category];
            bool meant = IsLower(name, code) || IsLower(name, title) || IsLower(name, code[..1]) || name == s_groups[code[0]];
            if (meant)
                found = found is null ? s_categories.Value[category] : found.Or(s_categories.Value[category]);
        }

        return found;
    }

    /// <summary>Unicode's two names of each category, in .NET's order.</summary>
    private static readonly (string Code, string Title)[] s_names =
    [
        ("Lu", "UppercaseLetter"), ("Ll", "LowercaseLetter"), ("Lt", "TitlecaseLetter"), ("Lm", "ModifierLetter"), ("Lo", "OtherLetter"),
        ("Mn", "NonspacingMark"), ("Mc", "SpacingMark"), ("Me", "EnclosingMark"), ("Nd", "DecimalNumber"), ("Nl", "LetterNumber"),
        ("No", "OtherNumber"), ("Zs", "SpaceSeparator"), ("Zl", "LineSeparator"), ("Zp", "ParagraphSeparator"), ("Cc", "Control"),
        ("Cf", "Format"), ("Cs", "Surrogate"), ("Co", "PrivateUse"), ("Pc", "ConnectorPunctuation"), ("Pd", "DashPunctuation"),
        ("Ps", "OpenPunctuation"), ("Pe", "ClosePunctuation"), ("Pi", "InitialPunctuation"), ("Pf", "FinalPunctuation"),
        ("Po", "OtherPunctuation"), ("Sm", "MathSymbol"), ("Sc", "CurrencySymbol"), ("Sk", "ModifierSymbol"), ("So", "OtherSymbol"),
        ("Cn", "Unassigned"),
    ];

    private static readonly Dictionary<char, string> s_groups = new()
    {
        ['L'] = "letter", ['M'] = "mark", ['N'] = "number", ['Z'] = "separator", ['C'] = "other", ['P'] = "punctuation", ['S'] = "symbol",
    };

    private static CodePointSet[] ReadCategories()
    {
        var ranges = new List<(int First, int Last)>[s_names.Length];
        for (int category = 0; category < ranges.Length; category++)
        {
            ranges[category] = [];
        }

        for (int point = 0, next; point <= 0x10FFFF; point = next)
        {
            UnicodeCategory category = CharUnicodeInfo.GetUnicodeCategory(point);
            for (next = point + 1; next <= 0x10FFFF && CharUnicodeInfo.GetUnicodeCategory(next) == category; next++)
            {
            }

            ranges[(int)category].Add((point, next - 1));
        }

        return Array.ConvertAll(ranges, CodePointSet.From);
    }

    private static Dictionary<string, CodePointSet> ReadFile()
    {
        using Stream stream =
            typeof(UnicodeProperties).Assembly.GetManifestResourceStream(typeof(UnicodeProperties), "UnicodeProperties.txt")!;
        using StreamReader reader = new(stream);
        return reader.ReadToEnd().Split('\n').Where(line => line.Length > 0 && line[0] != '#').Select(line => line.Split(' ')).ToDictionary(
            parts => parts[0].Replace("_", "", StringComparison.Ordinal).ToLowerInvariant(),
            parts => CodePointSet.From(parts.Skip(1).Select(ReadRange)));
    }

    private static (int First, int Last) ReadRange(string text)
    {
        string[] ends = text.Split('-');
        return (Convert.ToInt32(ends[0], 16), Convert.ToInt32(ends[^1], 16));
    }
}

namespace Forgetting.Text.Tokenizers;

/// <summary>A set of Unicode code points as ranges in rising order that neither overlap nor touch.</summary>
internal sealed class CodePointSet
{
    private const int Last = 0x10FFFF;

    private CodePointSet(List<(int First, int Last)> ranges) => Ranges = ranges;

    /// <summary>No code point.</summary>
    public static CodePointSet Empty { get; } = new([]);

    /// <summary>Every code point.</summary>
    public static CodePointSet All { get; } = From(0, Last);

    /// <summary>The ranges, both ends included.</summary>
    public IReadOnlyList<(int First, int Last)> Ranges { get; }

    /// <summary>A range, both ends included.</summary>
    public static CodePointSet From(int first, int last) => new([(first, last)]);

    /// <summary>Some code points.</summary>
    public static CodePointSet From(params int[] points) => From(points.Select(p => (p, p)));

    /// <summary>What is in any of some ranges.</summary>
    public static CodePointSet From(IEnumerable<(int First, int Last)> ranges)
    {
        List<(int First, int Last)> merged = [];
        foreach ((int first, int last) in ranges.Order())
        {
            if (merged.Count > 0 && first <= merged[^1].Last + 1)
            {
                merged[^1] = (merged[^1].First, Math.Max(merged[^1].Last, last));
            }
            else
            {
                merged.Add((first, last));
            }
        }

        return new CodePointSet(merged);
    }

    /// <summary>What is in either.</summary>
    public CodePointSet Or(CodePointSet other) => From(Ranges.Concat(other.Ranges));

    /// <summary>What is in both.</summary>
    public CodePointSet And(CodePointSet other) => Not().Or(other.Not()).Not();

    /// <summary>What is here and not there.</summary>
    public CodePointSet Except(CodePointSet other) => And(other.Not());

    /// <summary>What is not in it.</summary>
    public CodePointSet Not()
    {
        List<(int First, int Last)> others = [];
        int next = 0;
        foreach ((int first, int last) in Ranges)
        {
            if (first > next)
                others.Add((next, first - 1));

            next = last + 1;
        }

        if (next <= Last)
            others.Add((next, Last));

        return new CodePointSet(others);
    }

    /// <summary>Whether it has a code point.</summary>
    public bool Contains(int point) => Ranges.Any(r => r.First <= point && point <= r.Last);

    /// <summary>Whether both have the same code points.</summary>
    public bool SetEquals(CodePointSet other) => Ranges.SequenceEqual(other.Ranges);
}

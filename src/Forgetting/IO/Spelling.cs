namespace Forgetting.IO;

/// <summary>What someone who mistyped a name most likely meant.</summary>
internal static class Spelling
{
    // A key of a hostile file can be long, and nobody meant a name of this length.
    private const int Longest = 80;

    /// <summary>The name that the fewest changed, added or left-out letters make of <paramref name="name"/>.</summary>
    /// <param name="names">At least one.</param>
    public static string Nearest(string name, IEnumerable<string> names) =>
        names.MinBy(n => Distance(name.Length <= Longest ? name : name[..Longest], n))!;

    // Levenshtein's distance with one row of the table.
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[b.Length];
    }
}

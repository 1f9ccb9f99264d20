using System.Text.RegularExpressions;

namespace Forgetting.Testing;

/// <summary>Reads a report as its reader does: terms are links, which are no part of what it says.</summary>
public static partial class ReportPage
{
    /// <summary>The page in a file without its links.</summary>
    public static string Read(string path) => WithoutLinks(File.ReadAllText(path));

    /// <summary>A page without its links.</summary>
    public static string WithoutLinks(string page) => Links().Replace(page, "");

    [GeneratedRegex("</?a[^>]*>")]
    private static partial Regex Links();
}

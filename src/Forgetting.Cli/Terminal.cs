using Spectre.Console;
using TableText = Spectre.Console.Text;

namespace Forgetting.Cli;

/// <summary>What commands print on standard output for people.</summary>
internal static class Terminal
{
    // A pipe has no width; a table must not be folded to 80 columns there.
    private const int PipeWidth = 240;

    // Of a column, and of the border of the whole.
    private const int Padding = 2, Edges = 1;

    private static readonly Padding s_padding = new(0, 0, Padding, 0);

    /// <summary>
    /// A table: the first column is text, the others are aligned as numbers. On a terminal that is too narrow heads are folded between
    /// words, and where that is not enough columns are left out, which a line below says; no word is ever broken.
    /// </summary>
    /// <param name="spare">Columns to leave out first, the first of these first; the others go from right to left,
    /// and the first column never.</param>
    public static void PrintTable(IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows, params IReadOnlyList<int> spare)
    {
        IAnsiConsole console = Open();
        (IReadOnlyList<int> shown, int[] widths) = Fit(header, rows, spare, console.Profile.Width);
        var table = new Table().Border(TableBorder.Simple);
        foreach (int c in shown)
        {
            var column = new TableColumn(
                new TableText(header[c]))
            { NoWrap = widths[c] >= header[c].Length, Width = widths[c], Padding = s_padding };
            table.AddColumn(c == 0 ? column : column.RightAligned());
        }

        foreach (IReadOnlyList<string> row in rows)
        {
            table.AddRow([.. shown.Select(c => new TableText(row[c]))]);
        }

        console.Write(table);
        if (shown.Count < header.Count)
        {
            Console.Out.WriteLine(
                $"Left out for want of room: {string.Join(", ", Enumerable.Range(0, header.Count).Except(shown).Select(c => header[c]))}. "
                + "A wider terminal, a pipe or --json has all.");
        }
    }

    /// <summary>Which columns fit, and their widths with heads folded as far as is needed.</summary>
    internal static (IReadOnlyList<int> Shown, int[] Widths) Fit(
        IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows, IReadOnlyList<int> spare, int room)
    {
        int[] cells = [.. header.Select((_, c) => rows.Select(row => row[c].Length).Append(1).Max())];
        int[] narrow = [.. header.Select((head, c) => Math.Max(cells[c], head.Split(' ').Max(word => word.Length)))];
        List<int> shown = [.. Enumerable.Range(0, header.Count)];
        Queue<int> leaving = new([.. spare, .. shown.Except(spare).Where(c => c > 0).Reverse()]);
        int Needed(int[] widths) => Edges + shown.Sum(c => widths[c] + Padding);
        while (Needed(narrow) > room && leaving.TryDequeue(out int last))
        {
            shown.Remove(last);
        }

        // Heads stay on one line where there is room, the leftmost first.
        int[] widths = [.. narrow];
        foreach (int c in shown)
        {
            widths[c] += Math.Min(Math.Max(header[c].Length - narrow[c], 0), Math.Max(room - Needed(widths), 0));
            if (widths[c] < header[c].Length)
                widths[c] = narrow[c];
        }

        return (shown, widths);
    }

    /// <summary>Names and values, a line each.</summary>
    public static void PrintFacts(IEnumerable<(string Name, string Value)> facts)
    {
        var table = new Table().Border(TableBorder.None).HideHeaders().AddColumns("", "");
        foreach ((string name, string value) in facts)
        {
            table.AddRow(new TableText(name, new Style(Color.Grey)), new TableText(value));
        }

        Open().Write(table);
    }

    // Made anew each time: the static console keeps the writer it saw first, and output may have been redirected since.
    private static IAnsiConsole Open()
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(Console.Out),
            Ansi = Console.IsOutputRedirected ? AnsiSupport.No : AnsiSupport.Detect,
        });
        if (Console.IsOutputRedirected)
            console.Profile.Width = PipeWidth;

        return console;
    }
}

using Spectre.Console;

namespace Forgetting.Cli;

/// <summary>What commands print on standard output for people.</summary>
internal static class Terminal
{
    // A pipe has no width; a table must not be folded to 80 columns there.
    private const int PipeWidth = 240;

    /// <summary>A table: the first column is text, the others are aligned as numbers.</summary>
    public static void PrintTable(IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        var table = new Table().Border(TableBorder.Simple);
        for (int c = 0; c < header.Count; c++)
        {
            var column = new TableColumn(new Text(header[c])) { NoWrap = true };
            table.AddColumn(c == 0 ? column : column.RightAligned());
        }

        foreach (IReadOnlyList<string> row in rows)
        {
            table.AddRow([.. row.Select(cell => new Text(cell))]);
        }

        Write(table);
    }

    /// <summary>Names and values, a line each.</summary>
    public static void PrintFacts(IEnumerable<(string Name, string Value)> facts)
    {
        var table = new Table().Border(TableBorder.None).HideHeaders().AddColumns("", "");
        foreach ((string name, string value) in facts)
        {
            table.AddRow(new Text(name, new Style(Color.Grey)), new Text(value));
        }

        Write(table);
    }

    // Made anew each time: the static console keeps the writer it saw first, and output may have been redirected since.
    private static void Write(Table table)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(Console.Out),
            Ansi = Console.IsOutputRedirected ? AnsiSupport.No : AnsiSupport.Detect,
        });
        if (Console.IsOutputRedirected)
            console.Profile.Width = PipeWidth;

        console.Write(table);
    }
}

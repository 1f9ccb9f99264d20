using Spectre.Console;

namespace Forgetting.Cli;

/// <summary>Tables on standard output: the first column is text, the others are aligned as numbers.</summary>
internal static class ResultTable
{
    // A pipe has no width; a table must not be folded to 80 columns there.
    private const int PipeWidth = 240;

    public static void Print(IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows)
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

        if (Console.IsOutputRedirected)
            AnsiConsole.Profile.Width = PipeWidth;

        AnsiConsole.Write(table);
    }
}

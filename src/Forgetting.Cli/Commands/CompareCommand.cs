using System.CommandLine;
using Forgetting.IO;
using Forgetting.Reports;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting compare</c>: several runs side by side.</summary>
internal static class CompareCommand
{
    public static Command Create()
    {
        var folders = new Argument<string[]>("runs") { Description = "folders of finished runs", Arity = ArgumentArity.OneOrMore };
        Option<string> output = CommonOptions.Out("HTML report to write");
        var command = new Command("compare", "Put finished runs side by side.") { folders, output };
        command.SetAction(parsed =>
        {
            ComparedRun[] runs = [.. parsed.GetValue(folders)!.Select(ComparedRun.Read)];
            AtomicFile.WriteText(parsed.GetValue(output)!, CompareReport.Build(runs).ToString());
            (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = CompareReport.Table(runs);
            Terminal.PrintTable(header, rows);
            if (CompareReport.DataNote(runs) is { } note)
                Console.Out.WriteLine(note);

            Console.Out.WriteLine($"report: {parsed.GetValue(output)}");
        });
        return command;
    }
}

using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Cli.Demo;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting demo</c>: the whole story in miniature on this machine.</summary>
internal static class DemoCommand
{
    public static Command Create()
    {
        var quick = new Option<bool>("--quick") { Description = "a smaller world, within a minute" };
        var seeds = new Option<int?>("--seeds") { Description = "runs of every method [default: 3, with --quick 2]", HelpName = "N" };
        var output = new Option<string>("--out") { Description = "folder for everything the demo leaves", HelpName = "DIR", DefaultValueFactory = _ => Path.Combine("runs", "demo") };
        Option<string> device = CommonOptions.Device();
        var command = new Command("demo", "Pretrain a small model, plant misleading answers, and see what each method makes of them.") { quick, seeds, output, device };
        command.SetAction(parsed =>
        {
            DemoSettings settings = parsed.GetValue(quick) ? DemoSettings.Quick : DemoSettings.Full;
            settings = settings with { Seeds = parsed.GetValue(seeds) ?? settings.Seeds };
            if (settings.Seeds < 1)
                throw new UserException($"--seeds: found {settings.Seeds}, expected at least 1");

            string folder = parsed.GetValue(output)!;
            using var interruption = new Interruption();
            using IBackend backend = BackendFactory.Create(parsed.GetValue(device)!);
            var progress = new TerminalProgress();
            var run = new DemoRun(settings, folder, backend, progress, interruption.Token);
            IReadOnlyList<DemoResult> results = run.Execute();
            progress.EndBar();
            var table = new DemoTable(results, settings);
            string report = DemoReport.Write(folder, settings, table, results, run.QuestionsOf(0));
            Print(table, settings, report);
        });
        return command;
    }

    private static void Print(DemoTable table, DemoSettings settings, string report)
    {
        Terminal.PrintTable(DemoTable.Header, table.Rows);
        foreach (string line in DemoReport.Findings(table, settings))
        {
            Console.Out.WriteLine(line);
        }

        Console.Out.WriteLine($"report: {report}");
    }
}

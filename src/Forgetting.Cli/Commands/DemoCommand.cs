using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Cli.Demo;
using Forgetting.Cli.Demo.Conflict;
using Forgetting.IO;
using Forgetting.Reports;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting demo</c>: the whole story in miniature on this machine.</summary>
internal static class DemoCommand
{
    public static Command Create()
    {
        var quick = new Option<bool>("--quick") { Description = "smaller worlds and fewer seeds" };
        var seeds = new Option<int?>("--seeds") { Description = "runs of every method [default: 3, with --quick 2]", HelpName = "N" };
        var first = new Option<int>("--seed") { Description = "seed of the first run of every method, of its base and its data; the next run's is one higher", HelpName = "N" };
        var output = new Option<string>("--out") { Description = "folder for everything the demo leaves", HelpName = "DIR", DefaultValueFactory = _ => Path.Combine("runs", "demo") };
        Option<string> device = CommonOptions.Device();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<string> products = CommonOptions.Products();
        var command = new Command("demo", "Pretrain small models; plant misleading answers, or an answer that stands in a new task's way; see what each method makes of it.") { quick, seeds, first, output, device, dtype, products };
        command.SetAction(parsed =>
        {
            bool small = parsed.GetValue(quick);
            DemoSettings settings = small ? DemoSettings.Quick : DemoSettings.Full;
            settings = settings with { Seeds = parsed.GetValue(seeds) ?? settings.Seeds, FirstSeed = parsed.GetValue(first) };
            ConflictSettings conflict = (small ? ConflictSettings.Quick : ConflictSettings.Full) with { Seeds = settings.Seeds, FirstSeed = settings.FirstSeed };
            if (settings.FirstSeed < 0)
                throw new UserException($"--seed: found {settings.FirstSeed}, expected at least 0");
            if (settings.Seeds < 1)
                throw new UserException($"--seeds: found {settings.Seeds}, expected at least 1");

            string folder = parsed.GetValue(output)!;
            using Runs.RunFolder held = Runs.RunFolder.Open(folder);
            held.Hold();
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!);
            var progress = new TerminalProgress();
            var run = new DemoRun(settings, folder, backend, progress, interruption.Token);
            IReadOnlyList<DemoResult> results = run.Execute();
            IReadOnlyList<ConflictResult> conflictResults = new ConflictRun(conflict, folder, backend, progress, interruption.Token).Execute();
            progress.EndBar();
            var table = new DemoTable(results, settings);
            var conflictTable = new ConflictTable(conflictResults);
            var report = new HtmlReport(
                "Learning and forgetting at once",
                "Two small models, two ways of forgetting while learning: tokens that mislead (arXiv 2508.04329), and knowledge of other tasks that stands in the way (arXiv 2505.19715).");
            DemoReport.Add(report, settings, table, results, run.QuestionsOf(settings.FirstSeed));
            ConflictReport.Add(report, conflict, conflictTable, conflictResults);
            string path = Path.Combine(folder, "report.html");
            AtomicFile.WriteText(path, report.ToString());
            Print("First act: token forgetting", DemoTable.Header, table.Rows, DemoReport.Findings(table, settings));
            Print("Second act: learning with forgetting", ConflictTable.Header, conflictTable.Rows, conflictTable.Findings);
            Console.Out.WriteLine($"report: {path}");
        });
        return command;
    }

    private static void Print(string title, IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows, IReadOnlyList<string> findings)
    {
        Console.Out.WriteLine(title);
        Terminal.PrintTable(header, rows);
        foreach (string line in findings)
        {
            Console.Out.WriteLine(line);
        }

        Console.Out.WriteLine();
    }
}

using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Demo;
using Forgetting.IO;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting demo</c>: the whole story in miniature on this machine.</summary>
internal static class DemoCommand
{
    public static Subcommand Entry { get; } = new(
        "demo",
        "Pretrain small models; mislead them in three ways; see what ignoring and forgetting make of it.",
        Fill);

    private static void Fill(Command command)
    {
        var quick = new Option<bool>("--quick") { Description = "smaller worlds, and one of them" };
        var seeds = new Option<int?>(
            "--seeds")
        { Description = "worlds, each with a model of its own [default: 5, with --quick 1]", HelpName = "N" };
        var first = new Option<int>("--seed") { Description = "seed of the first world; the next one's is one higher", HelpName = "N" };
        var output = new Option<string>("--out")
        {
            Description = "folder for everything the demo leaves",
            HelpName = "DIR",
            DefaultValueFactory = _ => Path.Combine("runs", "demo"),
        };
        var dataOnly = new Option<bool>(
            "--data-only")
        { Description = "prepare models, data and references of the worlds for recipes, and compare nothing" };
        var width = new Option<int>("--width")
        {
            Description = "width of the models, a multiple of 8",
            HelpName = "N",
            DefaultValueFactory = _ => DemoSettings.Full.Width,
        };
        Option<string> device = CommonOptions.Device();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<string> products = CommonOptions.Products();
        command.Fill(quick, seeds, first, dataOnly, width, output, device, dtype, products);
        command.SetAction(parsed =>
        {
            bool small = parsed.GetValue(quick);
            DemoSettings settings = small ? DemoSettings.Quick : DemoSettings.Full;
            settings = settings with
            {
                Seeds = parsed.GetValue(seeds) ?? settings.Seeds,
                FirstSeed = parsed.GetValue(first),
                Width = parsed.GetValue(width),
            };
            if (settings.FirstSeed < 0)
                throw new UserException($"--seed: found {settings.FirstSeed}, expected at least 0");
            if (settings.Seeds < 1)
                throw new UserException($"--seeds: found {settings.Seeds}, expected at least 1");

            if (settings.Width < 8 || settings.Width % 8 != 0)
                throw new UserException($"--width: found {settings.Width}, expected a multiple of 8");

            string folder = parsed.GetValue(output)!;
            using Runs.RunFolder held = Runs.RunFolder.Open(folder);
            held.Hold();
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!);
            var progress = new TerminalProgress();
            var run = new DemoRun(settings, folder, backend, progress, interruption.Token);
            if (parsed.GetValue(dataOnly))
            {
                run.Prepare();
                progress.EndBar();
                Console.Out.WriteLine($"worlds: {folder}");
                return;
            }

            IReadOnlyList<DemoResult> results = run.Execute();
            progress.EndBar();
            JsonLines.Write(Path.Combine(folder, "results.jsonl"), results);
            string path = Path.Combine(folder, "report.html");
            AtomicFile.WriteText(path, DemoReport.Build(settings, run, results).ToString());
            foreach (Scenario scenario in DemoSettings.Scenarios)
            {
                var table = new DemoTable(scenario, results);
                Print($"{scenario.Title}: {scenario.Story}", table.Header, table.Rows, table.Findings);
            }

            foreach (string line in DemoReport.Summary(settings, results))
            {
                Console.Out.WriteLine(line);
            }

            Console.Out.WriteLine($"report: {path}");
        });
    }

    private static void Print(
        string title, IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows, IReadOnlyList<string> findings)
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

using System.CommandLine;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Evaluation;
using Spectre.Console;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting eval</c>: benchmark tasks on a checkpoint, with results as lm-evaluation-harness writes them.</summary>
internal static class EvalCommand
{
    public static Command Create()
    {
        Option<string> model = CommonOptions.Model();
        Option<string?> adapter = CommonOptions.Adapter();
        var tasks = new Option<string>("--tasks") { Description = $"what to run, split by commas: {string.Join(", ", new TaskLibrary().Names)}, or one of --include", HelpName = "NAMES", Required = true };
        var dataFolder = new Option<string>("--data-dir") { Description = "folder with the benchmarks' files as their authors publish them; or the one file that the tasks are to read", HelpName = "DIR", Required = true };
        Option<string> output = CommonOptions.Out("folder for results and samples", "DIR");
        var include = new Option<string?>("--include") { Description = "folder with .yaml files of further tasks", HelpName = "DIR" };
        var shots = new Option<int?>("--num-fewshot") { Description = "examples before each question; the task's own number where not given", HelpName = "N" };
        var limit = new Option<double?>("--limit") { Description = "first so many items of each task, or that fraction of them if below 1", HelpName = "N" };
        var batchTokens = new Option<int>("--batch-tokens") { Description = "tokens computed at once; bounds memory, not results", HelpName = "N", DefaultValueFactory = _ => 4096 };
        var logSamples = new Option<bool>("--log-samples") { Description = "write every item with its prompt, answer and scores" };
        var noBos = new Option<bool>("--no-bos") { Description = "leave out what the tokenizer puts in front of a text" };
        Option<ulong> seed = CommonOptions.Seed(1234);
        Option<string> device = CommonOptions.Device();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<bool> json = CommonOptions.Json();
        var command = new Command("eval", "Run benchmark tasks on a checkpoint.")
        {
            model, adapter, tasks, dataFolder, output, include, shots, limit, batchTokens, logSamples, noBos, seed, device, dtype, json,
        };
        command.SetAction(parsed =>
        {
            using var interruption = new Interruption();
            var library = new TaskLibrary(parsed.GetValue(include));
            string[] names = parsed.GetValue(tasks)!.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            var options = new EvaluationOptions
            {
                DataFolder = parsed.GetValue(dataFolder)!,
                Shots = parsed.GetValue(shots),
                Limit = parsed.GetValue(limit),
                BatchTokens = parsed.GetValue(batchTokens),
                Bos = !parsed.GetValue(noBos),
                Seed = parsed.GetValue(seed),
                LogSamples = parsed.GetValue(logSamples),
            };
            library.Check(names, options.DataFolder);
            using IBackend backend = BackendFactory.Create(parsed.GetValue(device)!, dtype: parsed.GetValue(dtype));
            using LoadedModel loaded = LoadedModel.Load(parsed.GetValue(model)!, backend, adapter: parsed.GetValue(adapter));
            string folder = parsed.GetValue(output)!;
            var saved = new EvaluationProgress(folder, parsed.GetValue(model)!, parsed.GetValue(adapter), options, DateTimeOffset.UtcNow);
            var evaluator = new Evaluator(loaded, options);
            var progress = new TerminalProgress();
            List<TaskResult> results = [];
            foreach (string name in names.Distinct())
            {
                if (saved.Find(library, name) is { } done)
                {
                    progress.StageBegan($"{name}: done before");
                    results.Add(done);
                    continue;
                }

                results.Add(evaluator.Run(library, name, progress, interruption.Token));
                if (options.LogSamples)
                    ResultsWriter.WriteSamples(folder, results[^1], saved.Began);

                saved.Save(results[^1]);
            }

            string path = ResultsWriter.Write(folder, parsed.GetValue(model)!, results, options, saved.Began);
            saved.Delete();
            if (parsed.GetValue(json))
            {
                Console.Out.WriteLine(ResultsWriter.Json(parsed.GetValue(model)!, results, options, saved.Began).ToJsonString(Json.Compact));
                return;
            }

            AnsiConsole.Write(Table(results));
            Console.Out.WriteLine(path);
        });
        return command;
    }

    private static Table Table(IEnumerable<TaskResult> results)
    {
        Table table = new Table().Border(TableBorder.Simple);
        foreach (string title in new[] { "task", "shots", "metric", "value", "stderr", "items", "items/s" })
        {
            table.AddColumn(new TableColumn(title).NoWrap());
        }

        foreach (TaskResult result in results)
        {
            foreach (MetricValue metric in result.Metrics)
            {
                table.AddRow(
                    new Text(result.Task), Number(result.Shots, "0"), new Text(metric.Filter == "none" ? metric.Name : $"{metric.Name}, {metric.Filter}"), Number(metric.Value, metric.Value < 1e5 ? "0.0000" : "0.000e+0"),
                    metric.StandardError is { } error ? Number(error, "0.0000") : new Text(""), Number(result.Evaluated, "0"), Number(result.Evaluated / result.Elapsed.TotalSeconds, "0.0"));
            }
        }

        return table;

        static Text Number(double value, string format) => new(value.ToString(format, CultureInfo.InvariantCulture));
    }
}

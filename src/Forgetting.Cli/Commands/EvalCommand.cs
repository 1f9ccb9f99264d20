using System.CommandLine;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Evaluation;
using Forgetting.IO;
using Forgetting.Runs;
using Forgetting.Tensors;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting eval</c>: benchmark tasks on a checkpoint, with results as lm-evaluation-harness writes them.</summary>
internal static class EvalCommand
{
    public static Subcommand Entry { get; } = new(
        "eval",
        "Run benchmark tasks on a checkpoint. docs/evaluation.md says which files each task reads, and how to write one.",
        Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model();
        Option<string?> adapter = CommonOptions.Adapter();
        Option<string?> baseDtype = CommonOptions.BaseDtype();
        var tasks = new Option<string>("--tasks")
        {
            Description = $"what to run, split by commas: {string.Join(", ", new TaskLibrary().Names)}, or one of --include",
            HelpName = "NAMES",
            Required = true,
        };
        var dataFolder = new Option<string>("--data-dir")
        {
            Description = "folder with the benchmarks' files as their authors publish them; or the one file that the tasks are to read",
            HelpName = "DIR",
            Required = true,
        };
        Option<string> output = CommonOptions.Out("folder for results and samples", "DIR");
        var include = new Option<string?>("--include") { Description = "folder with .yaml files of further tasks", HelpName = "DIR" };
        var shots = new Option<int?>("--num-fewshot")
        {
            Description = "examples before each question, drawn as lm-evaluation-harness draws them; the task's own number where not given",
            HelpName = "N",
        };
        var limit = new Option<double?>(
            "--limit")
        { Description = "first so many items of each task, or that fraction of them if below 1", HelpName = "N" };
        var batchTokens = new Option<int>("--micro-batch-tokens")
        {
            Description = "tokens computed at once; bounds memory, not results",
            HelpName = "N",
            DefaultValueFactory = _ => 4096,
        };
        var retain = new Option<string?>("--retain-results")
        {
            Description = $"results of a model that never learnt what {TofuSummary.ForgetTask} asks, with samples: "
                + "forget quality is measured against it",
            HelpName = "DIR",
        };
        var logSamples = new Option<bool>("--log-samples") { Description = "write every item with its prompt, answer and scores" };
        var noBos = new Option<bool>("--no-bos")
        {
            Description = "leave out what the tokenizer puts in front of a text, as lm-evaluation-harness did until October 2025",
        };
        Option<string?> template = CommonOptions.Template(
            "layout of contexts as users' messages: chat (the model's own template), tulu, plain (contexts as they are) or a file; "
            + "chat where the model has one, else plain");
        Option<ulong> seed = CommonOptions.Seed(1234);
        Option<string> device = CommonOptions.Device();
        Option<string> products = CommonOptions.Products();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<bool> json = CommonOptions.Json();
        command.Fill(
            model, adapter, baseDtype, tasks, dataFolder, output, include, shots, limit, batchTokens, logSamples, retain, noBos, template,
            seed, device, dtype, products);
        (BoundedOption ranks, BoundedOption deadline) = Ranks.AddOptions(
            command, "processes of this machine that share the items, by mpirun where it is found (docs/scaling.md)");
        command.Options.Add(json);
        command.SetAction(parsed => Ranks.Run(ranks, deadline, parsed, (communicator, cancellation) =>
        {
            string path = parsed.GetValue(model)!, folder = parsed.GetValue(output)!;
            string? peft = parsed.GetValue(adapter),
                retainSamples = parsed.GetValue(retain) is { } retained ? TofuSummary.FindSamples(retained) : null;
            string[] names = parsed.GetValue(tasks)!.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            var options = new EvaluationOptions
            {
                DataFolder = parsed.GetValue(dataFolder)!,
                Shots = parsed.GetValue(shots),
                Limit = parsed.GetValue(limit),
                BatchTokens = parsed.GetValue(batchTokens),
                Bos = !parsed.GetValue(noBos),
                Layout = Layout(parsed.GetValue(template), path, peft),
                Seed = parsed.GetValue(seed),
                LogSamples = parsed.GetValue(logSamples) || retainSamples is not null,
            };
            IReadOnlyList<PreparedTask> prepared = Prepare(new TaskLibrary(parsed.GetValue(include)), names, options, path);
            if (retainSamples is not null && !prepared.Any(task => task.Name == TofuSummary.ForgetTask))
            {
                throw new UserException(
                    $"--retain-results: no task {TofuSummary.ForgetTask} among {string.Join(", ", prepared.Select(task => task.Name))}; "
                    + "expected it for forget quality");
            }

            using RankDevice own =
                Devices.Open(parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!, communicator);
            IBackend backend = own.Backend;
            DType? baseType = CommonOptions.BaseType(parsed, baseDtype);
            Fingerprint computed = EvaluationProgress.ModelOf(path, peft, baseType);
            RankAgreement.CheckSame(communicator, Inputs(computed, options, prepared), backend);
            using RunFolder? held = communicator.IsFirst() ? RunFolder.Open(folder) : null;
            held?.Hold();
            EvaluationProgress? saved = held is null ? null : new EvaluationProgress(
                folder, computed, $"{backend.Name} {backend.StorageType}", options, DateTimeOffset.UtcNow);
            using LoadedModel loaded = LoadedModel.Load(path, backend, adapter: peft, baseType: baseType);
            loaded.TurnEnd = options.Layout is null ? null : ChatLayout.TurnEnd(loaded.Tokenizer, options.Layout);
            List<TaskResult> results = Run(
                new Evaluator(loaded, options, communicator), prepared, saved, options.LogSamples ? folder : null, communicator,
                cancellation);
            if (saved is null)
                return 0;

            GroupResult[] groups =
                [.. Tofu(results, retainSamples, ResultsWriter.SamplesPath(folder, TofuSummary.ForgetTask, saved.Began))];
            string written = ResultsWriter.Write(folder, path, results, options, saved.Began, groups);
            saved.Delete();
            if (parsed.GetValue(json))
            {
                Console.Out.WriteLine(ResultsWriter.Json(path, results, options, saved.Began, groups).ToJsonString(Json.Compact));
                return 0;
            }

            Print(results, groups);
            Console.Out.WriteLine($"results: {written}");
            return 0;
        }, stopping: "stopping; the same command continues"));
    }

    // What answers depend on.
    private static Fingerprint Inputs(Fingerprint model, EvaluationOptions options, IReadOnlyList<PreparedTask> tasks)
    {
        Fingerprint inputs = new Fingerprint().Add(model).Add("micro-batch-tokens", options.BatchTokens);
        foreach (PreparedTask task in tasks)
        {
            inputs.Add($"task {task.Name}", task.Fingerprint);
        }

        return inputs;
    }

    // Null for contexts as they are.
    private static MessageLayout? Layout(string? name, string model, string? adapter)
    {
        if (name is not (null or "auto"))
            return ChatLayout.Named(name, model, adapter) is var named && named == MessageLayout.Plain ? null : named;

        MessageLayout? own = ChatLayout.ForEvaluation(ChatLayout.Own(model, adapter));
        if (own is not null)
            new TerminalProgress().Noticed($"contexts are laid out by {own.Name}; with --template plain they are scored as they are");

        return own;
    }

    private static IReadOnlyList<PreparedTask> Prepare(TaskLibrary library, string[] names, EvaluationOptions options, string model)
    {
        using Checkpoint source = Checkpoint.Open(model);
        return library.Prepare(names, options, Tokenizer.Load(source.TokenizerPath ?? model), source.Config);
    }

    // The first rank alone has what was saved, and saves.
    private static List<TaskResult> Run(
        Evaluator evaluator, IReadOnlyList<PreparedTask> tasks, EvaluationProgress? saved, string? samplesFolder, ICommunicator ranks,
        CancellationToken cancellation)
    {
        var progress = new TerminalProgress();
        List<TaskResult> results = [];
        foreach (PreparedTask task in tasks)
        {
            TaskResult? done = saved?.Find(task);
            if (ranks.FromFirst(() => done is not null))
            {
                progress.StageBegan($"{task.Name}: done before");
                if (done is not null)
                    results.Add(done);

                continue;
            }

            results.Add(evaluator.Run(task, saved, progress, cancellation));
            if (saved is null)
                continue;

            if (samplesFolder != null)
                ResultsWriter.WriteSamples(samplesFolder, results[^1], saved.Began);

            saved.Save(results[^1]);
        }

        return results;
    }

    private static IEnumerable<GroupResult> Tofu(List<TaskResult> results, string? retainSamples, string samples)
    {
        List<MetricValue> metrics = [];
        if (TofuSummary.ModelUtility(results.ToDictionary(result => result.Task, result => result.Metrics)) is { } utility)
            metrics.Add(new MetricValue("model_utility", "none", utility, StandardError: null));

        if (retainSamples is not null)
            metrics.Add(new MetricValue("forget_quality", "none", TofuSummary.ForgetQuality(samples, retainSamples), StandardError: null));

        if (metrics.Count > 0)
        {
            yield return new GroupResult(
                TofuSummary.Name,
                [.. results.Select(result => result.Task).Where(task => task.StartsWith("tofu_", StringComparison.Ordinal))], metrics);
        }
    }

    private static void Print(List<TaskResult> results, IReadOnlyList<GroupResult> groups)
    {
        var rows = new List<IReadOnlyList<string>>();
        foreach (TaskResult result in results)
        {
            rows.AddRange(result.Metrics.Select(metric => (IReadOnlyList<string>)
            [
                result.Task,
                Number(result.Shots, "0"),
                metric.Filter == "none" ? metric.Name : $"{metric.Name}, {metric.Filter}",
                Number(metric.Value, metric.Value < 1e5 ? "0.0000" : "0.000e+0"),
                metric.StandardError is { } error ? Number(error, "0.0000") : "",
                Number(result.Evaluated, "0"),
                Number(result.Evaluated / result.Elapsed.TotalSeconds, "0.0"),
            ]));
        }

        rows.AddRange(groups.SelectMany(group => group.Metrics.Select(metric =>
            (IReadOnlyList<string>)[group.Name, "", metric.Name, metric.Value.ToString("G4", CultureInfo.InvariantCulture), "", "", ""])));
        Terminal.PrintTable(["task", "shots", "metric", "value", "stderr", "items", "items/s"], rows);
        foreach (TaskResult result in results.Where(result => result.Truncated > 0))
        {
            Console.Out.WriteLine(
                $"{result.Task}: {result.Truncated} of {result.Evaluated} items were longer than the model's context "
                + "and lost their beginning");
        }
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}

using System.Diagnostics;
using System.Text;
using Forgetting.Training;

namespace Forgetting.Evaluation;

/// <summary>Runs benchmark tasks on a model, by the definitions of lm-evaluation-harness.</summary>
/// <param name="model">The model.</param>
/// <param name="options">How to run.</param>
public sealed class Evaluator(LoadedModel model, EvaluationOptions options)
{
    private readonly RequestEncoder _encoder = new(model.Tokenizer, model.Decoder.Config, options.Bos);

    /// <summary>Runs one task.</summary>
    /// <param name="observer">Is told of tokens done.</param>
    /// <param name="cancellation">Ends the task after the batch in progress.</param>
    /// <exception cref="UserException">No such task, its file is missing or malformed, or an item does not fit the model.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public TaskResult Run(TaskLibrary library, string task, ITrainingObserver? observer = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(library);
        options.Validate();
        EvaluationTask definition = library.Find(task);
        var clock = Stopwatch.StartNew();
        IReadOnlyList<TaskDocument> documents = definition.Load(options.DataFolder);
        int shots = options.Shots ?? definition.Shots;
        IReadOnlyList<TaskDocument>? pool = shots > 0 ? definition.LoadFewShot(options.DataFolder) : null;
        int count = options.Count(documents.Count);
        var prompts = new PromptBuilder(definition, documents, pool, shots, options.Seed);
        observer?.StageBegan($"{task}: {count} of {documents.Count} items, {shots} examples each");
        TaskSample[] samples = definition.OutputType switch
        {
            OutputType.MultipleChoice => MultipleChoice(definition, documents, prompts, count, observer, cancellation),
            OutputType.LogLikelihood => Targets(documents, definition, prompts, count, observer, cancellation),
            OutputType.LogLikelihoodRolling => Texts(documents, prompts, count, observer, cancellation),
            _ => Generations(definition, documents, prompts, count, observer, cancellation),
        };
        return new TaskResult(definition, samples)
        {
            Task = task,
            Items = documents.Count,
            Evaluated = count,
            Shots = shots,
            Metrics = Aggregate(definition, samples),
            Elapsed = clock.Elapsed,
        };
    }

    private TaskSample[] MultipleChoice(
        EvaluationTask task, IReadOnlyList<TaskDocument> documents, PromptBuilder prompts, int count, ITrainingObserver? observer, CancellationToken cancellation)
    {
        string[][] choices = [.. documents.Take(count).Select(document => prompts.Choices(document).ToArray())];
        int[] gold = [.. choices.Select((of, i) => prompts.Gold(documents[i], of.Length))];
        (string Context, string Continuation)[][] arguments = [.. choices.Select((of, i) =>
        {
            string prompt = prompts.Prompt(i);
            return of.Select(choice => (prompt, task.TargetDelimiter + choice)).ToArray();
        })];
        LogLikelihood[][] answers = Score(arguments, observer, cancellation);
        return [.. answers.Select((answer, i) =>
        {
            double[] sums = [.. answer.Select(a => a.Sum)];
            (string, string, double)[] scores = [.. task.Metrics.Select(metric => metric switch
            {
                "acc_norm" => (metric, "none", Metrics.NormalizedAccuracy(sums, choices[i], gold[i])),
                "mc2" => ("acc", "none", Metrics.TrueShare(sums, gold[i])),
                "probability" => (metric, "none", answer[gold[i]].TokenProbability / answer.Sum(a => a.TokenProbability)),
                "truth_ratio" => (metric, "none", Metrics.TruthRatio([.. answer.Select(a => a.TokenProbability)])),
                _ => (metric, "none", Metrics.Accuracy(sums, gold[i])),
            })];
            return Sample(i, documents[i], prompts, arguments[i], answer, scores);
        })];
    }

    private TaskSample[] Targets(
        IReadOnlyList<TaskDocument> documents, EvaluationTask task, PromptBuilder prompts, int count, ITrainingObserver? observer, CancellationToken cancellation)
    {
        (string, string)[][] arguments = [.. documents.Take(count).Select((document, i) => new[] { (prompts.Prompt(i), task.TargetDelimiter + prompts.Target(document)) })];
        LogLikelihood[][] answers = Score(arguments, observer, cancellation);
        return [.. answers.Select((answer, i) => Sample(
            i, documents[i], prompts, arguments[i], answer,
            [.. task.Metrics.Select(metric => (metric, "none", metric == "probability" ? answer[0].TokenProbability : answer[0].IsGreedy ? 1 : 0))]))];
    }

    private TaskSample[] Texts(
        IReadOnlyList<TaskDocument> documents, PromptBuilder prompts, int count, ITrainingObserver? observer, CancellationToken cancellation)
    {
        string[] texts = [.. documents.Take(count).Select(prompts.Target)];
        LogLikelihood[][] answers = ScoreIds([.. texts.Select(text => _encoder.EncodeRolling(text).ToArray())], observer, cancellation);

        // The scores are the parts that the aggregates are made of.
        return [.. answers.Select((answer, i) => Sample(i, documents[i], prompts, [("", texts[i])], answer,
            [
                ("loglikelihood", "none", answer.Sum(a => a.Sum)),
                ("words", "none", Metrics.Words(texts[i])),
                ("bytes", "none", Encoding.UTF8.GetByteCount(texts[i])),
            ]))];
    }

    private TaskSample[] Generations(
        EvaluationTask task, IReadOnlyList<TaskDocument> documents, PromptBuilder prompts, int count, ITrainingObserver? observer, CancellationToken cancellation)
    {
        string[] questions = [.. Enumerable.Range(0, count).Select(prompts.Prompt)];
        IReadOnlyList<string> answers = new TextCompleter(model, _encoder, options.BatchTokens).Complete(questions, task.Until, task.MaxNewTokens, observer, cancellation);
        return [.. answers.Select((answer, i) =>
        {
            string target = prompts.Target(documents[i]);
            Dictionary<string, string> filtered = task.Filters.Count == 0
                ? new() { ["none"] = answer }
                : task.Filters.ToDictionary(filter => filter.Name, filter => Metrics.Extract(answer, filter));
            return new TaskSample(
                i, documents[i], target, [(questions[i], string.Join(" | ", task.Until))], [answer],
                [.. filtered.SelectMany(pair => task.Metrics.Select(metric => (metric, pair.Key, metric == "rougeL_recall"
                    ? Metrics.RougeLRecall(pair.Value, target)
                    : Metrics.ExactMatch(pair.Value, target, task.Ignored))))], filtered);
        })];
    }

    private LogLikelihood[][] Score((string Context, string Continuation)[][] arguments, ITrainingObserver? observer, CancellationToken cancellation) =>
        ScoreIds([.. arguments.Select(of => of.Select(pair => _encoder.Encode(pair.Context, pair.Continuation)).ToArray())], observer, cancellation);

    private LogLikelihood[][] ScoreIds(LogLikelihoodRequest[][] requests, ITrainingObserver? observer, CancellationToken cancellation)
    {
        var scorer = new LogLikelihoodScorer(model.Decoder, options.BatchTokens);
        IReadOnlyList<LogLikelihood> answers = scorer.Score([.. requests.SelectMany(of => of)], observer, cancellation);
        int next = 0;
        return [.. requests.Select(of => of.Select(_ => answers[next++]).ToArray())];
    }

    private static TaskSample Sample(
        int index, TaskDocument document, PromptBuilder prompts, IReadOnlyList<(string, string)> arguments, LogLikelihood[] answers, IReadOnlyList<(string, string, double)> scores) =>
        new(index, document, prompts.Target(document), arguments, [.. answers.Select(object (a) => a)], scores, new Dictionary<string, string>());

    private static MetricValue[] Aggregate(EvaluationTask task, TaskSample[] samples)
    {
        if (task.OutputType != OutputType.LogLikelihoodRolling)
        {
            return [.. samples.SelectMany(sample => sample.Scores).GroupBy(score => (score.Metric, score.Filter), score => score.Score).Select(group =>
            {
                double[] values = [.. group];
                return new MetricValue(group.Key.Metric, group.Key.Filter, values.Average(), values.Length > 1 ? Metrics.StandardError(values) : null);
            })];
        }

        double sum = Total("loglikelihood");
        return [.. task.Metrics.Select(metric => new MetricValue(metric, "none", metric switch
        {
            "word_perplexity" => Math.Exp(-sum / Total("words")),
            "byte_perplexity" => Math.Exp(-sum / Total("bytes")),
            _ => -sum / Total("bytes") / Math.Log(2),
        }, StandardError: null))];

        double Total(string part) => samples.Sum(sample => sample.Scores.First(score => score.Metric == part).Score);
    }
}

using System.Diagnostics;
using System.Text;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Evaluation;

/// <summary>Runs benchmark tasks on a model, by the definitions of lm-evaluation-harness.</summary>
/// <param name="model">The model; used as it is, with its adapter beside its weights.</param>
/// <param name="options">How to run.</param>
/// <param name="ranks">Share the items; null for this process alone.</param>
internal sealed class Evaluator(LoadedModel model, EvaluationOptions options, ICommunicator? ranks = null)
{
    /// <summary>Runs one task.</summary>
    /// <param name="observer">Is told of tokens done.</param>
    /// <param name="cancellation">Ends the task after the batch in progress.</param>
    /// <exception cref="UserException">See <see cref="PreparedTask.Read"/>.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public TaskResult Run(TaskLibrary library, string task, ITrainingObserver? observer = null, CancellationToken cancellation = default) =>
        Run(PreparedTask.Read(library, task, options, model.Tokenizer, model.Decoder.Config), progress: null, observer, cancellation);

    /// <summary>Runs a task.</summary>
    /// <param name="task">The task, prepared for this model.</param>
    /// <param name="progress">Keeps answers as they are computed, and knows those of an earlier run; or null. The first rank alone has
    /// it.</param>
    /// <param name="observer">Is told of tokens done.</param>
    /// <param name="cancellation">Ends the task after the batch in progress.</param>
    /// <exception cref="UserException">A log-probability is not finite, or the disk is full.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public TaskResult Run(
        PreparedTask task, EvaluationProgress? progress = null, ITrainingObserver? observer = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(task);
        var clock = Stopwatch.StartNew();
        string truncated = task.Truncated == 0
            ? ""
            : $"; {task.Truncated} are longer than the model's context of {model.Decoder.Config.ContextLength} tokens "
                + "and lose their beginning";
        observer?.StageBegan($"{task.Name}: {task.Evaluated} of {task.Items} items, {task.Shots} examples each{truncated}");
        TaskSample[] samples = task.Definition.OutputType switch
        {
            OutputType.MultipleChoice => MultipleChoice(task, Score(task, progress, observer, cancellation)),
            OutputType.LogLikelihood => Targets(task, Score(task, progress, observer, cancellation)),
            OutputType.LogLikelihoodRolling => Texts(task, Score(task, progress, observer, cancellation)),
            _ => Generations(task, Complete(task, progress, observer, cancellation)),
        };
        return new TaskResult(task, samples) { Metrics = Aggregation.Of(task.Definition, samples), Elapsed = clock.Elapsed };
    }

    /// <summary>What a task will measure, found with made-up answers: its metrics in order, with values that mean nothing.</summary>
    internal static IReadOnlyList<MetricValue> Measured(PreparedTask task)
    {
        LogLikelihood[][] answers =
            [.. task.Requests.Select(of => of.Select(_ => new LogLikelihood(Sum: -1, Tokens: 1, GreedySuffix: 0, Greedy: 0)).ToArray())];
        return Aggregation.Of(task.Definition, task.Definition.OutputType switch
        {
            OutputType.MultipleChoice => MultipleChoice(task, answers),
            OutputType.LogLikelihood => Targets(task, answers),
            OutputType.LogLikelihoodRolling => Texts(task, answers),
            _ => Generations(task, [.. task.Prompts.Select(_ => Enumerable.Repeat("", task.Definition.Repeats).ToArray())]),
        });
    }

    /// <summary>
    /// Puts a task to a decoder on a backend that only counts memory: the same passes, but a text ends with its first token.
    /// </summary>
    internal static void Rehearse(PreparedTask task, Models.Decoder decoder, Tokenizer tokenizer, EvaluationOptions options)
    {
        if (task.Requests.Length > 0)
            new LogLikelihoodScorer(decoder, options.BatchTokens).Score([.. task.Requests.SelectMany(of => of)]);

        if (task.Prompts.Length > 0)
        {
            // What such a backend draws is token 0.
            var drawing = new GenerationOptions { MaxNewTokens = task.Definition.MaxNewTokens, StopIds = [0] };
            new TextCompleter(decoder, tokenizer, options.BatchTokens)
                .Complete([.. task.Prompts.SelectMany(prompt => Enumerable.Repeat(prompt, task.Definition.Repeats))], [], drawing);
        }
    }

    private static TaskSample[] MultipleChoice(PreparedTask task, LogLikelihood[][] answers) =>
        [.. answers.Select((answer, i) =>
        {
            double[] sums = [.. answer.Select(a => a.Sum)];
            (string, string, double)[] scores = [.. task.Definition.Metrics.Select(metric => metric switch
            {
                "acc_norm" => (metric, "none", Metrics.NormalizedAccuracy(sums, task.Choices[i], task.Gold[i])),
                "mc2" => ("acc", "none", Metrics.TrueShare(sums, task.Gold[i])),
                "probability" => (metric, "none", answer[task.Gold[i]].TokenProbability / answer.Sum(a => a.TokenProbability)),
                "truth_ratio" => (metric, "none", Metrics.TruthRatio(answer)),
                "truth_ratio_true_better" => (metric, "none", Math.Max(0, 1 - Metrics.TruthRatio(answer))),
                "truth_ratio_closer_to_1" => (metric, "none", Math.Min(Metrics.TruthRatio(answer), 1 / Metrics.TruthRatio(answer))),
                _ => (metric, "none", Metrics.Accuracy(sums, task.Gold[i])),
            })];
            return Sample(i, task, answer, scores);
        })];

    private static TaskSample[] Targets(PreparedTask task, LogLikelihood[][] answers) =>
        [.. answers.Select((answer, i) => Sample(
            i, task, answer,
            [.. task.Definition.Metrics.Select(metric => (metric, "none", metric switch
            {
                "probability" => answer[0].TokenProbability,
                "extraction_strength" => answer[0].ExtractionStrength,
                "exact_memorization" => answer[0].ExactMemorization,
                _ => answer[0].IsGreedy ? 1 : 0,
            }))]))];

    // The scores are the parts that the aggregates are made of.
    private static TaskSample[] Texts(PreparedTask task, LogLikelihood[][] answers) =>
        [.. answers.Select((answer, i) => Sample(
            i, task, answer,
            [
                ("loglikelihood", "none", answer.Sum(a => a.Sum)),
                ("words", "none", Metrics.Words(task.Targets[i])),
                ("bytes", "none", Encoding.UTF8.GetByteCount(task.Targets[i])),
            ]))];

    private static TaskSample[] Generations(PreparedTask prepared, string[][] answers)
    {
        EvaluationTask task = prepared.Definition;
        return [.. answers.Select((of, i) =>
        {
            Dictionary<string, string[]> filtered = task.Filters.Count == 0
                ? new() { ["none"] = of }
                : task.Filters.ToDictionary(
                    filter => filter.Name, filter => of.Select(answer => Metrics.Extract(answer, filter)).ToArray());
            return new TaskSample(
                i, prepared.Documents[i], prepared.Targets[i], prepared.Arguments[i], of,
                [.. filtered.SelectMany(pair => GenerationMetrics.Score(task.Metrics, pair.Value, prepared.References[i], task.Ignored)
                    .Select(score => (score.Name, pair.Key, score.Score)))],
                filtered.ToDictionary(pair => pair.Key, pair => pair.Value[0]));
        })];
    }

    private string[][] Complete(
        PreparedTask task, EvaluationProgress? progress, ITrainingObserver? observer, CancellationToken cancellation)
    {
        EvaluationTask definition = task.Definition;
        var drawing = new GenerationOptions
        {
            MaxNewTokens = definition.MaxNewTokens,
            StopIds = model.EndIds,
            Temperature = definition.Temperature,
            Seed = options.Seed,
        };
        using AnswerLog<string>? log = progress?.Answers<string>(task);
        return [.. new TextCompleter(model.Decoder, model.Tokenizer, options.BatchTokens, ranks)
            .Complete(
                [.. task.Prompts.SelectMany(prompt => Enumerable.Repeat(prompt, definition.Repeats))], definition.Until, drawing, log,
                observer, cancellation)
            .Chunk(definition.Repeats)];
    }

    private LogLikelihood[][] Score(
        PreparedTask task, EvaluationProgress? progress, ITrainingObserver? observer, CancellationToken cancellation)
    {
        using AnswerLog<LogLikelihood>? log = progress?.Answers<LogLikelihood>(task);
        IReadOnlyList<LogLikelihood> answers = new LogLikelihoodScorer(model.Decoder, options.BatchTokens, ranks)
            .Score([.. task.Requests.SelectMany(of => of)], log, observer, cancellation);
        int next = 0;
        return [.. task.Requests.Select(of => of.Select(_ => answers[next++]).ToArray())];
    }

    private static TaskSample Sample(
        int index, PreparedTask task, LogLikelihood[] answers, IReadOnlyList<(string, string, double)> scores) =>
            new(
                index, task.Documents[index], task.Targets[index], task.Arguments[index], [.. answers.Select(object (a) => a)], scores,
                new Dictionary<string, string>());
}

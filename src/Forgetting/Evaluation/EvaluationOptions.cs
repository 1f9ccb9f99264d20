using Forgetting.Core;
using Forgetting.Data;

namespace Forgetting.Evaluation;

/// <summary>How an evaluation runs.</summary>
internal sealed record EvaluationOptions
{
    /// <summary>
    /// Folder with the benchmarks' files, each in a folder of its name or all in this one; or the one file that the tasks are to read.
    /// </summary>
    public required string DataFolder { get; init; }

    /// <summary>Examples before each question; null for the task's own number.</summary>
    public int? Shots { get; init; }

    /// <summary>First so many items of each task; below 1 that fraction of them, rounded up; null for all.</summary>
    public double? Limit { get; init; }

    /// <summary>Tokens computed at once; bounds memory, not results.</summary>
    public int BatchTokens { get; init; } = 4096;

    /// <summary>
    /// Begin contexts with what the tokenizer puts in front of a text, lm-evaluation-harness' default since its pull request
    /// 3347; false for its default before.
    /// </summary>
    public bool Bos { get; init; } = true;

    /// <summary>
    /// Lays out every context as a user's message, and what is scored behind it as the assistant's answer (the harness'
    /// <c>--apply_chat_template</c>); null for contexts as they are.
    /// </summary>
    public MessageLayout? Layout { get; init; }

    /// <summary>Seed of the choice of examples, and of what is drawn where a task has a temperature.</summary>
    public ulong Seed { get; init; } = 1234;

    /// <summary>Write every item with its prompt, answer and scores.</summary>
    public bool LogSamples { get; init; }

    /// <summary>Items of a task that count.</summary>
    internal int Count(int documents) => Limit is not { } limit ? documents
        : (int)Math.Min(documents, limit < 1 ? Math.Ceiling(documents * limit) : limit);

    /// <exception cref="UserException">A setting is out of range.</exception>
    internal void Validate()
    {
        if (Shots < 0)
            throw new UserException($"num-fewshot {Shots}: expected 0 or more");

        if (Limit is <= 0 or double.NaN)
            throw new UserException($"limit {Limit}: expected a number of items, or a fraction below 1");

        if (BatchTokens < 1)
            throw new UserException($"batch-tokens {BatchTokens}: expected 1 or more");
    }
}

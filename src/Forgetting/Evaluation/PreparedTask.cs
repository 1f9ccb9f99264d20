using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.Evaluation.Readers;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Evaluation;

/// <summary>
/// A task's items as they are put to a model: read, laid out and encoded. Whatever is wrong with a task, its file or an item is found here,
/// before anything is computed; the same preparation serves any number of evaluations.
/// </summary>
internal sealed class PreparedTask
{
    private PreparedTask(
        EvaluationTask definition, IReadOnlyList<TaskDocument> documents, PromptBuilder prompts, EvaluationOptions options,
        RequestEncoder encoder)
    {
        (Definition, Documents, Items) = (definition, [.. documents.Take(options.Count(documents.Count))], documents.Count);
        Shots = options.Shots ?? definition.Shots;
        Targets = [.. Documents.Select(prompts.Target)];
        switch (definition.OutputType)
        {
            case OutputType.MultipleChoice:
                Choices = [.. Documents.Select(document => prompts.Choices(document).ToArray())];
                Gold = [.. Choices.Select((of, i) => prompts.Gold(Documents[i], of.Length))];
                Arguments =
                    [.. Choices.Select((of, i) => Pairs(prompts.Prompt(i), of.Select(choice => definition.TargetDelimiter + choice)))];
                break;
            case OutputType.LogLikelihood:
                Arguments = [.. Targets.Select((target, i) => Pairs(prompts.Prompt(i), [target]))];
                break;
            case OutputType.LogLikelihoodRolling:
                Arguments = [.. Targets.Select(target => Pairs("", [target]))];
                break;
            default:
                References = [.. Documents.Select(prompts.References)];
                Arguments =
                    [.. Enumerable.Range(0, Documents.Count).Select(i => Pairs(prompts.Prompt(i), [string.Join(" | ", definition.Until)]))];
                break;
        }

        Encode(encoder, options.Seed);
    }

    /// <summary>Name of the task.</summary>
    public string Name => Definition.Name;

    /// <summary>Items that the benchmark has.</summary>
    public int Items { get; }

    /// <summary>Items that are evaluated.</summary>
    public int Evaluated => Documents.Count;

    /// <summary>Examples before each question.</summary>
    public int Shots { get; }

    /// <summary>
    /// Evaluated items of which an input is longer than the model's context and loses its beginning, as in lm-evaluation-harness.
    /// </summary>
    public int Truncated { get; private set; }

    /// <summary>The task's definition.</summary>
    internal EvaluationTask Definition { get; }

    /// <summary>The evaluated items.</summary>
    internal IReadOnlyList<TaskDocument> Documents { get; }

    /// <summary>Target of each item.</summary>
    internal string[] Targets { get; }

    /// <summary>Choices of each item of a multiple choice, without the delimiter.</summary>
    internal string[][] Choices { get; } = [];

    /// <summary>Which choice is right, or how many are.</summary>
    internal int[] Gold { get; } = [];

    /// <summary>What the answers of a generation are compared with.</summary>
    internal AnswerReferences[] References { get; } = [];

    /// <summary>Context and continuation of each request of each item; of a generation prompt and stop strings.</summary>
    internal (string Context, string Continuation)[][] Arguments { get; }

    /// <summary>Requests of each item; empty for generations.</summary>
    internal LogLikelihoodRequest[][] Requests { get; private set; } = [];

    /// <summary>Prompts of generations.</summary>
    internal int[][] Prompts { get; private set; } = [];

    /// <summary>Hash of everything about the task that its answers and scores depend on.</summary>
    internal string Fingerprint { get; private set; } = "";

    /// <summary>Prepares a task.</summary>
    /// <param name="library">Where the task is.</param>
    /// <param name="task">Its name.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="config">The model.</param>
    /// <exception cref="UserException">No such task, its file is missing or malformed, an option is out of range, or an item
    /// does not fit the model.</exception>
    public static PreparedTask Read(TaskLibrary library, string task, EvaluationOptions options, Tokenizer tokenizer, ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(library);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        EvaluationTask definition = library.Find(task);
        IReadOnlyList<TaskDocument> documents = definition.Load(options.DataFolder);
        int shots = options.Shots ?? definition.Shots;
        IReadOnlyList<TaskDocument>? pool = shots > 0 ? definition.LoadFewShot(options.DataFolder) : null;
        var prompts = new PromptBuilder(definition, documents, pool, shots, options.Seed);
        return new PreparedTask(
            definition, documents, prompts, options, new RequestEncoder(tokenizer, config, options.Bos, options.Layout));
    }

    private static (string, string)[] Pairs(string context, IEnumerable<string> continuations) =>
        [.. continuations.Select(continuation => (context, continuation))];

    private T[] EncodeEach<T>(Func<(string Context, string Continuation)[], T> encode) => [.. Arguments.Select((of, i) =>
    {
        try
        {
            return encode(of);
        }
        catch (UserException e)
        {
            throw new UserException($"task {Name}, {Documents[i].Place}: {e.Message}");
        }
    })];

    private void Encode(RequestEncoder encoder, ulong seed)
    {
        if (Definition.OutputType == OutputType.GenerateUntil)
        {
            (int[] Ids, bool Truncated)[] prompts = EncodeEach(of => encoder.EncodePrompt(of[0].Context, Definition.MaxNewTokens));
            (Prompts, Truncated) = ([.. prompts.Select(prompt => prompt.Ids)], prompts.Count(prompt => prompt.Truncated));
        }
        else
        {
            bool rolling = Definition.OutputType == OutputType.LogLikelihoodRolling;
            Requests = EncodeEach(of => rolling
                ? encoder.EncodeRolling(of[0].Continuation).ToArray()
                : [.. of.Select(pair => encoder.Encode(pair.Context, pair.Continuation, Definition.AppendEos))]);
            for (int i = 0; i < Requests.Length; i++)
            {
                if (Requests[i].FirstOrDefault(request => request.Continuation.Length > encoder.ContextLength)
                    is { Continuation.Length: > 0 and var longest })
                {
                    throw new UserException(
                        $"{Documents[i].Place}: a continuation of {longest} tokens, "
                        + $"expected at most the context length {encoder.ContextLength}");
                }
            }

            // The last token is only predicted. Windows of a rolling text are made to fit.
            Truncated = rolling
                ? 0
                : Requests.Count(of => of.Any(request => request.Context.Length + request.Continuation.Length - 1 > encoder.ContextLength));
        }

        Fingerprint = Hash(Definition.Temperature > 0 ? seed : 0);
    }

    private string Hash(ulong drawingSeed)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(JsonSerializer.SerializeToUtf8Bytes(Definition.Source));
        hash.AppendData(BitConverter.GetBytes(drawingSeed));
        foreach (string target in Targets.Concat(References.SelectMany(of => of.True.Concat(of.False))))
        {
            hash.AppendData(Encoding.UTF8.GetBytes(target + "\n"));
        }

        foreach (int[] ids in Prompts.Concat(
            Requests.SelectMany(of => of).SelectMany(request => new[] { request.Context, request.Continuation })))
        {
            hash.AppendData(BitConverter.GetBytes(ids.Length));
            hash.AppendData(MemoryMarshal.AsBytes<int>(ids));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}

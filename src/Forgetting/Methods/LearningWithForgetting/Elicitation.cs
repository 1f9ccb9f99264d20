using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>How self-knowledge is elicited.</summary>
internal sealed record ElicitationOptions
{
    /// <summary>Most tokens to generate for a prompt.</summary>
    public int MaxNewTokens { get; init; } = 128;

    /// <summary>Tokens of one batch, prompts and what may be generated; bounds memory.</summary>
    public int BatchTokens { get; init; } = 8192;

    /// <summary>Worked examples put before every prompt, blank lines between; a continuation then ends at a blank line.</summary>
    public IReadOnlyList<DataExample> FewShot { get; init; } = [];

    /// <summary>Text of special tokens inside prompts becomes those tokens.</summary>
    public bool AllowSpecial { get; init; }

    /// <summary>How conversations become text.</summary>
    public MessageLayout Layout { get; init; } = MessageLayout.Tulu;

    /// <exception cref="UserException">A setting is out of range.</exception>
    internal void Validate()
    {
        if (MaxNewTokens < 1)
            throw new UserException($"max-new-tokens is {MaxNewTokens}, expected at least 1");

        if (BatchTokens < 1)
            throw new UserException($"batch-tokens is {BatchTokens}, expected at least 1");
    }
}

/// <summary>The prompts of one forgetting task.</summary>
/// <param name="Name">Name of the task: its file's, without folder and extension.</param>
/// <param name="Examples">Prompts; completions, where the file has some, are not used.</param>
internal sealed record PromptTask(string Name, IReadOnlyList<DataExample> Examples)
{
    /// <summary>Reads the tasks of some files.</summary>
    /// <exception cref="UserException">A file is bad, or two have the same name.</exception>
    public static IReadOnlyList<PromptTask> Read(IReadOnlyList<string> files, DataFields fields)
    {
        ArgumentNullException.ThrowIfNull(files);
        PromptTask[] tasks = [.. files.Select(
            f => new PromptTask(Path.GetFileNameWithoutExtension(f), DataSet.Read(f, fields with { PromptsOnly = true })))];
        string? twice = tasks.GroupBy(t => t.Name).FirstOrDefault(g => g.Count() > 1)?.Key;
        return twice is null
            ? tasks
            : throw new UserException($"two prompt files are named {twice}: a task's name is its file's, expected different ones");
    }
}

/// <summary>A self-generated sample: a line of training data that also says where it comes from.</summary>
internal sealed record ElicitedSample
{
    /// <summary>The prompt; null for a conversation.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Prompt { get; init; }

    /// <summary>What the model wrote; null for a conversation.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Completion { get; init; }

    /// <summary>The conversation, which ends in what the model wrote.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<ChatMessage>? Messages { get; init; }

    /// <summary>What the conversation's line has for a chat template besides, such as <c>tools</c>; null where it has nothing.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Variables { get; init; }

    /// <summary>Empty where the completion follows its prompt without a space; else null.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Separator { get; init; }

    /// <summary>True where the model did not end by itself, so that no eos belongs to the sample; else null.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public bool? Truncated { get; init; }

    /// <summary>Name of the forgetting task.</summary>
    public required string Task { get; init; }

    /// <summary>Place of the prompt in its task's file.</summary>
    public required int Index { get; init; }

    /// <summary>Whether the text encodes to just the tokens that were generated.</summary>
    public bool Exact { get; init; }

    /// <summary>Reads what <see cref="Elicitation.Run"/> wrote.</summary>
    /// <exception cref="UserException">The file cannot be read or a line is no sample.</exception>
    public static IReadOnlyList<ElicitedSample> Read(string path) => JsonLines.Read<ElicitedSample>(path);

    internal DataExample ToExample(string place) => new()
    {
        Index = Index,
        Place = place,
        Prompt = Prompt ?? "",
        Completion = Completion ?? "",
        Messages = Messages,
        Variables = Variables,
        Separator = Separator,
        Truncated = Truncated == true,
    };
}

/// <summary>What became of an elicitation.</summary>
/// <param name="Samples">Samples in the file.</param>
/// <param name="Truncated">Those that did not end by themselves.</param>
/// <param name="Exact">Those whose text encodes to just the tokens that were generated.</param>
internal sealed record ElicitationSummary(int Samples, int Truncated, int Exact);

/// <summary>
/// A model's own knowledge of other tasks (arXiv 2505.19715, "self-knowledge"): its greedy continuations of their prompts, as
/// training data. Batches are a function of the prompts alone and each is written when it is done, so an interrupted elicitation
/// continues where it was, to the same file.
/// </summary>
internal static class Elicitation
{
    // One that ends a generation at once: what a backend that counts draws.
    private const int Drawn = 0;

    /// <summary>Takes the memory that the batches of prompts take.</summary>
    /// <param name="prompts">Tokens of each prompt and of what may be written to it; null for any, of which a batch is full.</param>
    public static void Rehearse(Rehearsal rehearsal, ElicitationOptions options, IReadOnlyList<(int Prompt, int Room)>? prompts)
    {
        using Decoder decoder = rehearsal.NewDecoder();
        int count = Math.Min(options.MaxNewTokens, rehearsal.Config.ContextLength - 1), length = Math.Max(1, rehearsal.Length - count);
        prompts ??= [.. Enumerable.Repeat((length, count), Math.Max(1, options.BatchTokens / (length + count)))];
        var generator = new Generator(decoder);
        foreach ((int Prompt, int Room)[] batch in Batches(prompts, prompt => prompt.Prompt + prompt.Room, options.BatchTokens))
        {
            generator.Generate(
                [.. batch.Select(prompt => new int[prompt.Prompt])], new() { MaxNewTokens = options.MaxNewTokens, StopIds = [Drawn] });
        }
    }

    /// <summary>Tokens of each prompt, and of what a run's base model may write to it.</summary>
    /// <exception cref="UserException">A prompt does not fit the model.</exception>
    public static IReadOnlyList<(int Prompt, int Room)> Lengths(
        TrainingOptions settings, IReadOnlyList<PromptTask> tasks, ElicitationOptions options)
    {
        using Checkpoint source = Checkpoint.Open(settings.Model);
        var encoder = new ExampleEncoder(
            Tokenizer.Load(source.TokenizerPath ?? settings.Model), int.MaxValue, options.AllowSpecial, options.Layout);
        return [.. Prompts(tasks, source.Config, encoder, options).Select(prompt => (prompt.Ids.Length, prompt.Room))];
    }

    private const string BlankLine = "\n\n";

    /// <summary>Elicits into a file.</summary>
    /// <param name="model">The model before fine-tuning.</param>
    /// <param name="tasks">Whose prompts.</param>
    /// <param name="path">The file to appear when all is done; until then what there is lies beside it, under the
    /// name with <c>.partial</c>.</param>
    /// <param name="observer">Told of tokens done, those counted that might have been generated; or null.</param>
    /// <param name="cancellation">Ends the elicitation; it can be continued.</param>
    /// <param name="ranks">Share the batches, of which the first writes what all wrote; null for this process alone.</param>
    /// <exception cref="UserException">A prompt does not fit the model, or the file cannot be written.</exception>
    public static ElicitationSummary Run(
        LoadedModel model, IReadOnlyList<PromptTask> tasks, ElicitationOptions options, string path,
        ITrainingObserver? observer = null, ICommunicator? ranks = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(tasks);
        ArgumentNullException.ThrowIfNull(options);
        ranks ??= SingleProcess.Instance;
        options.Validate();
        var encoder = new ExampleEncoder(model.Tokenizer, int.MaxValue, options.AllowSpecial, options.Layout);
        IReadOnlyList<Prompt> prompts = Prompts(tasks, model.Decoder.Config, encoder, options);
        using PartialFile<ElicitedSample>? partial =
            ranks.IsFirst() ? PartialFile<ElicitedSample>.Open(path, Inputs(model, prompts, options)) : null;
        var generator = new Generator(model.Decoder);
        Prompt[][] batches = [.. Batches(prompts, prompt => prompt.Tokens, options.BatchTokens)];
        long tokens = 0, total = prompts.Sum(p => (long)p.Tokens);

        // A batch that was half written is done again as a whole: other company could round a tie to another token.
        int known = ranks.FromFirst(() => Whole(batches, partial!.Records.Count));
        partial?.Truncate(batches.Take(known).Sum(batch => batch.Length));
        foreach (Prompt[] batch in batches.Take(known))
        {
            Progress(batch);
        }

        SharedWork.Run(
            ranks, batches.Skip(known), batch => Continue(model, encoder, generator, batch, options, cancellation), (batch, samples) =>
            {
                partial?.Append(samples);
                Progress(batch);
            }, cancellation);
        var summary = ranks.FromFirst(() => new ElicitationSummary(
            prompts.Count, partial!.Records.Count(s => s.Truncated == true), partial.Records.Count(s => s.Exact)));
        if (partial != null)
        {
            JsonLines.Write(path, partial.Records);
            partial.Delete();
        }

        return summary;

        void Progress(Prompt[] batch) => observer?.Progressed(tokens += batch.Sum(p => (long)p.Tokens), total);
    }

    // How many batches so many samples fill.
    private static int Whole(Prompt[][] batches, int samples) =>
        batches.TakeWhile(batch => (samples -= batch.Length) >= 0).Count();

    private static Prompt[] Prompts(
        IReadOnlyList<PromptTask> tasks, ModelConfig config, ExampleEncoder encoder, ElicitationOptions options) =>
        [.. tasks.SelectMany(task => task.Examples.Select(e => Prepare(task.Name, e, config, encoder, options)))];

    private static Prompt Prepare(string task, DataExample example, ModelConfig config, ExampleEncoder encoder, ElicitationOptions options)
    {
        if (example.Messages != null && options.FewShot.Count > 0)
            throw new UserException($"{example.Place}: is a conversation, expected a prompt: worked examples go before prompts only");

        DataExample shown =
            options.FewShot.Count == 0 ? example : example with { Prompt = FewShotPrefix(options.FewShot) + example.Prompt };
        int[] ids = encoder.EncodePrompt(shown);
        int room = config.ContextLength - ids.Length;
        return ids.Length > 0 && room > 0
            ? new Prompt(task, example, ids, Math.Min(room, options.MaxNewTokens))
            : throw new UserException(
                $"{example.Place}: the prompt has {ids.Length} tokens, expected 1 to {config.ContextLength - 1} (the context "
                + $"length is {config.ContextLength})");
    }

    private static string FewShotPrefix(IReadOnlyList<DataExample> examples) => string.Concat(examples.Select(e => e.Messages is null
        ? e.Prompt + ExampleEncoder.Joint(e.Prompt, e.Completion) + e.Completion + BlankLine
        : throw new UserException($"{e.Place}: is a conversation, expected a prompt with its completion as a worked example")));

    private static string Inputs(LoadedModel model, IReadOnlyList<Prompt> prompts, ElicitationOptions options)
    {
        Fingerprint inputs = new Fingerprint().AddFiles("model", model.Source.Path).Add("max-new-tokens", options.MaxNewTokens).Add(
            "batch-tokens", options.BatchTokens);
        if (model.Adapter is { } adapter)
            inputs.AddFiles("adapter", adapter);

        foreach (Prompt prompt in prompts)
        {
            inputs.Add(prompt.Task, string.Join(' ', prompt.Ids));
        }

        return inputs.ToString();
    }

    private static IEnumerable<T[]> Batches<T>(IReadOnlyList<T> prompts, Func<T, int> tokensOf, int most)
    {
        int first = 0;
        long tokens = 0;
        for (int i = 0; i < prompts.Count; i++)
        {
            if (i > first && tokens + tokensOf(prompts[i]) > most)
            {
                yield return [.. prompts.Skip(first).Take(i - first)];
                (first, tokens) = (i, 0);
            }

            tokens += tokensOf(prompts[i]);
        }

        if (first < prompts.Count)
            yield return [.. prompts.Skip(first)];
    }

    private static ElicitedSample[] Continue(
        LoadedModel model, ExampleEncoder encoder, Generator generator, Prompt[] batch, ElicitationOptions options,
        CancellationToken cancellation)
    {
        IReadOnlyList<int> ends = encoder.TurnEnd is int end ? [.. model.EndIds.Union([end])] : model.EndIds;
        var generation = new GenerationOptions { MaxNewTokens = options.MaxNewTokens, StopIds = ends };

        // With blank lines between worked examples, the next one is where a model that has answered goes on.
        string[] stops = options.FewShot.Count > 0 ? [BlankLine] : [];
        StoppingDecoder[] decoders = [.. batch.Select(_ => new StoppingDecoder(model.Tokenizer.StartDecoding(startOfText: false), stops))];
        var texts = new string[batch.Length];
        bool OnToken(int i, int id)
        {
            texts[i] += decoders[i].Add(id);
            return !decoders[i].Stopped;
        }

        IReadOnlyList<int[]> generated = generator.Generate([.. batch.Select(p => p.Ids)], generation, OnToken, cancellation: cancellation);
        return [.. batch.Select(
            (prompt, i) => Sample(encoder, prompt, generated[i], texts[i] + decoders[i].Finish(), decoders[i].Stopped, ends))];
    }

    private static ElicitedSample Sample(
        ExampleEncoder encoder, Prompt prompt, int[] generated, string text, bool stopped, IReadOnlyList<int> ends)
    {
        DataExample source = prompt.Example;
        bool conversation = source.Messages != null;
        var sample = new ElicitedSample
        {
            Prompt = conversation ? null : source.Prompt,
            Completion = conversation ? null : text,
            Messages = conversation ? [.. ExampleEncoder.WithoutAnswer(source.Messages!), new ChatMessage("assistant", text)] : null,
            Variables = source.Variables,

            // The usual joint is a space; where the model wrote on without one (or nothing), the line says so.
            Separator = !conversation && ExampleEncoder.Joint(source.Prompt, text).Length > 0 ? "" : null,
            Task = prompt.Task,
            Index = source.Index,
        };

        // What training will see of it, up to the eos. A continuation that ends in the middle of a character, or that no text is
        // encoded to, does not come back as it was.
        int[] before = encoder.EncodePrompt(source), ids = encoder.Encode(sample.ToExample(source.Place)).Ids;
        bool kept = ids.AsSpan().StartsWith(before);
        int[] written = [.. ids.Skip(before.Length).TakeWhile(id => !ends.Contains(id))];
        return sample with
        {
            Truncated = written.Length > 0 && !stopped && generated.Length == prompt.Room ? true : null,
            Exact = kept && (stopped ? generated.AsSpan().StartsWith(written) : written.SequenceEqual(generated)),
        };
    }

    private sealed record Prompt(string Task, DataExample Example, int[] Ids, int Room)
    {
        /// <summary>Tokens of the prompt and of what may follow it.</summary>
        public int Tokens => Ids.Length + Room;
    }
}

using System.Text.Json;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>Lengths of the examples of a data set, in tokens.</summary>
/// <param name="Shortest">The shortest.</param>
/// <param name="Median">The median.</param>
/// <param name="Mean">The mean.</param>
/// <param name="P95">The length that 95 % of the examples do not pass.</param>
/// <param name="Longest">The longest.</param>
internal sealed record LengthSummary(int Shortest, int Median, double Mean, int P95, int Longest)
{
    internal static LengthSummary From(List<int> lengths)
    {
        lengths.Sort();
        return new(
            lengths[0], lengths[(lengths.Count - 1) / 2], lengths.Average(), lengths[(int)Math.Ceiling(0.95 * lengths.Count) - 1],
            lengths[^1]);
    }
}

/// <summary>What is seen of one of several files.</summary>
/// <param name="File">Its path.</param>
/// <param name="Records">Its records.</param>
/// <param name="Examples">What these become to train on.</param>
/// <param name="PerEpoch">How many of these an epoch sees by the weights of the files; null without any.</param>
internal sealed record DataFileSummary(string File, int Records, int Examples, int? PerEpoch);

/// <summary>What is seen of a data set.</summary>
internal sealed record DataSummary
{
    /// <summary>Records.</summary>
    public required int Records { get; init; }

    /// <summary>The files, where they are several.</summary>
    public IReadOnlyList<DataFileSummary> Files { get; init; } = [];

    /// <summary>Records of each shape.</summary>
    public required IReadOnlyDictionary<string, int> Shapes { get; init; }

    /// <summary>Records with the same prompt and answer as an earlier one.</summary>
    public required int Repeated { get; init; }

    /// <summary>Records with the same prompt as an earlier one, and another answer.</summary>
    public required int Contradicting { get; init; }

    /// <summary>Records with answers of another weight than 1.</summary>
    public int Weighted { get; init; }

    /// <summary>Keys that nothing reads, with the records that have them.</summary>
    public required IReadOnlyDictionary<string, int> Unread { get; init; }

    /// <summary>Lengths of the encoded examples; null without a model, or where all were dropped.</summary>
    public LengthSummary? Lengths { get; init; }

    /// <summary>Tokens of all encoded examples.</summary>
    public long Tokens { get; init; }

    /// <summary>Of these, those that are learnt, or that a method may find to be negative.</summary>
    public long Learnt { get; init; }

    /// <summary>Of these, those that the data says are to be forgotten.</summary>
    public long Negative { get; init; }

    /// <summary>Examples longer than the maximum length.</summary>
    public int TooLong { get; init; }

    /// <summary>Records that cannot be trained on, such as those whose prompt alone is too long; a run would refuse the data.</summary>
    public int Refused { get; init; }

    /// <summary>What a run would say of the first of these; null without any.</summary>
    public string? Refusal { get; init; }

    /// <summary>What the encoder found worth knowing, a sentence each.</summary>
    public IReadOnlyList<string> Notices { get; init; } = [];

    /// <summary>Reads a data set, one record at a time.</summary>
    /// <param name="options">Where the data is, and how it becomes tokens.</param>
    /// <param name="model">Tokenizer and configuration of the model whose tokens are counted; or null.</param>
    /// <param name="shown">Is given the first examples as tokens, or as text where there is no model.</param>
    /// <param name="show">How many.</param>
    /// <exception cref="UserException">The data cannot be read or encoded; see <see cref="ExampleLoader.Load"/>.</exception>
    internal static DataSummary From(
        TrainingOptions options, (Tokenizer Tokenizer, ModelConfig Config)? model, Action<DataExample, IReadOnlyList<EncodedExample>> shown,
        int show)
    {
        ExampleEncoder? encoder = model is { } found ? ExampleLoader.Encoder(found.Tokenizer, found.Config, options) : null;
        int records = 0, refused = 0, weighted = 0;
        string? refusal = null;
        long tokens = 0, learnt = 0, negative = 0;
        Dictionary<string, int> shapes = [], unread = [];
        DistinctHashes texts = new(), answers = new(), prompts = new();
        List<int> lengths = [];
        var ofFile = new (int Records, int Examples)[options.Data.Files.Count];
        IEnumerable<(int Source, DataExample Example)> all =
            options.Data.Files.SelectMany(
                (file, source) => DataSet.Stream(file, ExampleLoader.Fields(options)).Select(example => (source, example)));
        foreach ((int source, DataExample read) in all)
        {
            DataExample example = ExampleLoader.Asked(read, options);
            if (!example.Rejected)
            {
                records++;
                ofFile[source].Records++;
                weighted += (example.Turns?.Any(m => m.Weight is not (null or 0 or 1)) ?? false)
                    || (example.Messages is null && example.Weight is not (null or 0 or 1)) ? 1 : 0;
                string shape = Recipe.Text(example.Shape);
                shapes[shape] = shapes.GetValueOrDefault(shape) + 1;
                foreach (string key in example.Unread)
                {
                    unread[key] = unread.GetValueOrDefault(key) + 1;
                }
            }

            // That an answer to be forgotten is another one is what it is there for.
            if (example.Sign is not < 0)
            {
                string prompt = Given(example);
                (example.Shape == DataShape.Text ? texts : answers).Add($"{prompt.Length} {prompt}{Whole(example)}");
                if (example.Shape != DataShape.Text)
                    prompts.Add(prompt);
            }

            EncodedExample[] encoded = [];
            try
            {
                encoded = encoder is null ? [] : [.. encoder.EncodeEach(example).Select(e => ExampleLoader.Learnt(e, options))];
            }
            catch (UserException error)
            {
                refused++;
                refusal ??= error.Message;
            }

            ofFile[source].Examples += encoder is null ? example.IsLeftOut ? 0 : 1 : encoded.Length;
            foreach (EncodedExample one in encoded)
            {
                lengths.Add(one.Length);
                tokens += one.Length;
                learnt += one.ResponseCount - one.NegativeCount;
                negative += one.NegativeCount;
            }

            if (records <= show)
                shown(example, encoded);
        }

        if (records == 0)
            throw new UserException($"{options.Data.Path}: no examples; expected a record a line or row");

        // Of the different answers to a prompt the first contradicts none.
        int differing = answers.Distinct();
        int[]? perEpoch = options.Data.Weights.Count > 1 ? Mixture.Divide(ofFile.Sum(f => f.Examples), options.Data.Weights) : null;
        return new DataSummary
        {
            Records = records,
            Files = ofFile.Length < 2 ? []
                : [.. ofFile.Select((f, i) => new DataFileSummary(options.Data.Files[i], f.Records, f.Examples, perEpoch?[i]))],
            Shapes = shapes,
            Repeated = texts.Count + answers.Count - texts.Distinct() - differing, Contradicting = differing - prompts.Distinct(),
            Unread = unread, Weighted = weighted,
            Lengths = lengths.Count == 0 ? null : LengthSummary.From(lengths), Tokens = tokens, Learnt = learnt, Negative = negative,
            Refused = refused, Refusal = refusal, TooLong = encoder?.TooLongExamples ?? 0, Notices = encoder?.Notices ?? [],
        };
    }

    private static string Given(DataExample example) =>
        example.Messages is { } messages ? JsonSerializer.Serialize(ExampleEncoder.WithoutAnswer(messages)) : example.Prompt;

    private static string Whole(DataExample example) =>
        example.Messages is { } messages ? JsonSerializer.Serialize(messages) : $"{example.Separator} {example.Completion}";
}

using System.Globalization;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Training;

/// <summary>Reads and encodes data as a run's settings say.</summary>
internal static class ExampleLoader
{
    /// <summary>The examples of a file as token ids, in order.</summary>
    /// <param name="path">A file of any format, or a folder.</param>
    /// <param name="options">Template, field names, longest example and special tokens.</param>
    /// <param name="observer">Told what is worth knowing of the file; or null.</param>
    /// <exception cref="UserException">The file or the template is missing or malformed, or an example has nothing to train on; names the
    /// line.</exception>
    public static IReadOnlyList<EncodedExample> Load(
        string path, Tokenizer tokenizer, ModelConfig config, TrainingOptions options, ITrainingObserver? observer = null)
    {
        return ExampleLists.Collect(Encoded(path, tokenizer, config, options, observer), options.Out);
    }

    /// <summary>The examples of a file as the tokenizer of a run's model has them.</summary>
    /// <param name="path">A file of any format, or a folder; null for the run's data.</param>
    /// <exception cref="UserException">See <see cref="Load"/>; or the model is missing or bad.</exception>
    public static IReadOnlyList<EncodedExample> LoadForRun(string? path, TrainingOptions options, ITrainingObserver? observer)
    {
        using Checkpoint source = Checkpoint.Open(options.Model);
        var tokenizer = Tokenizer.Load(source.TokenizerPath ?? options.Model);
        return path is null
            ? LoadData(tokenizer, source.Config, options, observer)
            : Load(path, tokenizer, source.Config, options, observer);
    }

    /// <summary>The examples of <see cref="DataSettings.Files"/>, one file behind the other.</summary>
    /// <exception cref="UserException">See <see cref="Load"/>.</exception>
    public static IReadOnlyList<EncodedExample> LoadData(
        Tokenizer tokenizer, ModelConfig config, TrainingOptions options, ITrainingObserver? observer = null)
    {
        return ExampleLists.Collect(All(), options.Out);

        IEnumerable<EncodedExample> All()
        {
            int first = 0, last = -1;
            foreach ((int source, string file) in options.Data.Files.Index())
            {
                foreach (EncodedExample example in Encoded(file, tokenizer, config, options, observer))
                {
                    last = first + example.Index;
                    yield return options.Data.Files.Count == 1 ? example
                        : example with { Index = last, Source = options.Data.Weights.Count > 0 ? source : null };
                }

                first = last + 1;
            }
        }
    }

    /// <summary>Examples as token ids, in order.</summary>
    /// <param name="name">What notices call the examples.</param>
    /// <exception cref="UserException">See <see cref="Load"/>.</exception>
    internal static IReadOnlyList<EncodedExample> Encode(
        IEnumerable<DataExample> examples, string name, Tokenizer tokenizer, ModelConfig config, TrainingOptions options,
        ITrainingObserver? observer = null) => [.. Encoded(examples, name, tokenizer, config, options, observer)];

    private static IEnumerable<EncodedExample> Encoded(
        string path, Tokenizer tokenizer, ModelConfig config, TrainingOptions options, ITrainingObserver? observer)
    {
        if (DataFolder.LeftOut(path) is > 0 and var others)
            observer?.Noticed($"{path}: {others:N0} files of other splits than train are not read");

        return Encoded(DataSet.StreamSome(path, Fields(options)), path, tokenizer, config, options, observer);
    }

    // One at a time; what is worth knowing of all of them is said at their end.
    private static IEnumerable<EncodedExample> Encoded(
        IEnumerable<DataExample> examples, string name, Tokenizer tokenizer, ModelConfig config, TrainingOptions options,
        ITrainingObserver? observer)
    {
        ExampleEncoder encoder = Encoder(tokenizer, config, options);
        int count = 0, unread = 0;
        Dictionary<DataShape, int> shapes = [];
        List<string> keys = [];
        foreach (EncodedExample encoded in encoder.EncodeStream(examples.Select(Seen)))
        {
            yield return Learnt(encoded, options);
        }

        // Pairs and messages speak for themselves. Keys such as id and source say nothing of what is learnt, and a misspelt one should not
        // go unnoticed.
        string named = string.Join(", ", keys.Take(8)) + (keys.Count > 8 ? ", …" : "");
        string[] notices =
        [
            .. shapes.Where(s => s.Key is not (DataShape.Pairs or DataShape.Messages))
                .Select(s => $"{s.Value:N0} of {count:N0} examples are of shape {Recipe.Text(s.Key)}"),
            .. unread > 0 ? [$"{unread:N0} of {count:N0} examples have keys that are not read: {named}"] : Array.Empty<string>(),
            .. encoder.Notices,
        ];
        foreach (string notice in notices)
        {
            observer?.Noticed($"{name}: {notice}");
        }

        DataExample Seen(DataExample example)
        {
            count++;
            shapes[example.Shape] = shapes.GetValueOrDefault(example.Shape) + 1;
            unread += example.Unread.Count > 0 ? 1 : 0;
            keys.AddRange(example.Unread.Where(key => !keys.Contains(key)));
            return Asked(example, options);
        }
    }

    /// <summary>The encoder that the settings ask for.</summary>
    internal static ExampleEncoder Encoder(Tokenizer tokenizer, ModelConfig config, TrainingOptions options) => new(
        tokenizer, LongestExample(config, options), options.Data.AllowSpecial, Layout(options), options.Compat == Compatibility.Paper,
        options.Data.TooLong);

    /// <summary>An example of which only the answers are to be learnt that the settings say.</summary>
    internal static DataExample Asked(DataExample example, TrainingOptions options)
    {
        if (options.Data.TrainOn != TrainOn.Last || example.Messages is not { } messages)
            return example;

        int last = messages.Select((m, i) => m.Role == "assistant" ? i : -1).Max();
        return example with { Messages = [.. messages.Select((m, i) => m.IsTrained && i != last ? m with { Weight = 0 } : m)] };
    }

    /// <summary>An encoded example with the marks of what is learnt that the settings say.</summary>
    internal static EncodedExample Learnt(EncodedExample example, TrainingOptions options)
    {
        EncodedExample learnt = options.Data.TrainOn == TrainOn.Everything ? Everything(example) : example;
        return learnt.Withheld is null ? learnt : learnt with { Withheld = null }; // nothing else asks for it
    }

    // What is given has the sign and the weight of the answers where these have one and the same; of an answer to be
    // forgotten it is not forgotten too.
    private static EncodedExample Everything(EncodedExample example)
    {
        bool signed = !example.Unsigned.Contains(true);
        if (signed && example.NegativeCount == example.ResponseCount)
            return example;

        float[] weights = example.Weights is null ? [] : [.. example.Weights.Where((_, i) => example.Response[i]).Distinct()];
        if (weights.Length > 1)
            weights = [1];

        sbyte given = (sbyte)(signed && example.NegativeCount == 0 ? 1 : 0);
        return example with
        {
            Response = [.. Enumerable.Range(0, example.Length).Select(i => example.Response[i] || Adds(i))],
            Given = example.Given is null ? null : [.. example.Given.Select((sign, i) => Adds(i) ? given : sign)],
            Weights = example.Weights is null ? null : [.. example.Weights.Select((weight, i) => Adds(i) ? weights[^1] : weight)],
        };

        bool Adds(int i) => i > 0 && !example.Response[i] && example.Withheld?[i] != true;
    }

    /// <summary>The examples without what the data says is to be forgotten, which is nothing to learn whatever the method.</summary>
    public static IReadOnlyList<EncodedExample> ToLearn(IReadOnlyList<EncodedExample> examples) =>
        !ExampleLists.Any(examples, ExampleTraits.Signs) ? examples : ExampleLists.Changed(examples, e => e.ToLearn());

    /// <summary>Examples of which every answer must go.</summary>
    /// <param name="path">Their file, for errors.</param>
    /// <exception cref="UserException">The data says of some of them that they are to be learnt.</exception>
    public static IReadOnlyList<EncodedExample> ToForget(string path, IReadOnlyList<EncodedExample> examples)
    {
        int learnt = examples.Sum(e => e.Given?.Count(sign => sign > 0) ?? 0);
        return learnt == 0
            ? [.. examples.Select(e => e with { Given = Array.ConvertAll(e.Response, r => (sbyte)(r ? -1 : 0)) })]
            : throw new UserException(
                $"{path}: gives {learnt} response tokens the sign 1, expected examples of which every answer must go; "
                    + "what must stay belongs into retain-data");
    }

    /// <summary>Whether the data leaves the sign of some token to its score.</summary>
    public static bool HasUnsigned(IReadOnlyList<EncodedExample> examples) =>
        examples.Any(e => e.Given is null || e.Unsigned.Contains(true));

    /// <summary>Names of the fields that the settings give.</summary>
    public static DataFields Fields(TrainingOptions options)
    {
        var standard = new DataFields();
        return standard with
        {
            Prompt = options.Data.PromptField ?? standard.Prompt,
            Completion = options.Data.CompletionField ?? standard.Completion,
            Shape = options.Data.Shape,
        };
    }

    /// <summary>The layout of conversations that a run's settings name.</summary>
    /// <exception cref="UserException">There is none, it is malformed, or the time that it is to tell is no time.</exception>
    public static MessageLayout Layout(TrainingOptions options) =>
        ChatLayout.Named(Name(options), options.Model, options.Adapter, Clock(options));

    /// <summary>What the folder of a model that was trained says of conversations.</summary>
    /// <param name="examples">What it was trained on; where no conversation is among them, prompts and completions were put together
    /// without markers.</param>
    internal static ChatFiles Trained(TrainingOptions options, Tokenizer tokenizer, IReadOnlyList<EncodedExample> examples)
    {
        MessageLayout layout = Layout(options);
        bool ofModel = Name(options) == "chat" && ChatLayout.AdapterTemplate(options.Adapter) is null;
        bool pairs = layout == MessageLayout.Tulu && !ExampleLists.Any(examples, ExampleTraits.Conversation);
        string? template = ofModel || (pairs && ChatLayout.Own(options.Model) is null) ? null : (pairs ? MessageLayout.Plain : layout)
            .ToTemplate(tokenizer);
        return new ChatFiles(template, ChatLayout.TurnEnd(tokenizer, layout) is int end ? [end] : []);
    }

    /// <summary>
    /// The settings with the layout's name in place of <c>auto</c> and, where the layout tells the time, with the time at which the run
    /// began.
    /// </summary>
    /// <param name="began">The time that the run which is resumed tells; null for a new one.</param>
    internal static TrainingOptions Resolve(TrainingOptions options, string? began)
    {
        TrainingOptions named = options with { Data = options.Data with { Template = Name(options) } };
        if (named.Data.TemplateDate != null || Layout(named).Template is not { TellsTime: true })
            return named;

        return named with { Data = named.Data with { TemplateDate = began ?? DateTime.Now.ToString("s", CultureInfo.InvariantCulture) } };
    }

    private static string Name(TrainingOptions options) => options.Data.Template != "auto" ? options.Data.Template
        : options.Compat != Compatibility.Paper && ChatLayout.Own(options.Model, options.Adapter) != null ? "chat" : "tulu";

    private static Func<DateTime>? Clock(TrainingOptions options)
    {
        if (options.Data.TemplateDate is not { } date)
            return null;

        return DateTime.TryParse(date, CultureInfo.InvariantCulture, DateTimeStyles.None, out DateTime time)
            ? () => time
            : throw new UserException($"template-date is \"{date}\"; expected a time such as 2025-03-09T08:05:07");
    }

    /// <summary>Tokens kept of a sequence: no more than asked for and no more than the model has positions.</summary>
    public static int LongestExample(ModelConfig config, TrainingOptions options) => Math.Min(options.Data.MaxLength, config.ContextLength);
}

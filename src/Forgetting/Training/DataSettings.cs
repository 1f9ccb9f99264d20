using Forgetting.Data;

namespace Forgetting.Training;

/// <summary>What is learnt from, and how it becomes tokens.</summary>
public sealed record DataSettings
{
    /// <summary>Files or folders of training examples.</summary>
    [Setting(
        "training examples: JSON Lines or array, Parquet, CSV, TSV or text, also packed by gzip or zstd, or a folder of them; "
        + "several with weights as a.jsonl=0.7 b.jsonl=0.3",
        Name = "data", Group = "run", Common = true, Value = "FILE", UsedBy = SettingUse.Learning, MayChange = true,
        Weights = "data-weights")]
    public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>Shares of the files in what an epoch sees, in proportion; empty where their examples are one set.</summary>
    [Setting(
        "shares of the files in what an epoch sees, in proportion, as the numbers behind their names; none: all examples once",
        Name = "data-weights", Range = "(0, ∞)", UsedBy = SettingUse.Learning)]
    public IReadOnlyList<double> Weights { get; init; } = [];

    /// <summary>The only one of <see cref="Files"/>; of several, what messages call them.</summary>
    public string Path
    {
        get => string.Join(", ", Files.Select((file, i) => i < Weights.Count ? $"{file}={Recipe.Text(Weights[i])}" : file));
        init => Files = value.Length == 0 ? [] : [value];
    }

    /// <summary>Tokens kept of a sequence; longer ones are cut at the right.</summary>
    [Setting("tokens kept of a sequence, cut at the right", Range = "[2, ∞)", Resolved = true)]
    public int MaxLength { get; init; } = 2048;

    /// <summary>What becomes of longer ones.</summary>
    [Setting("what becomes of examples longer than max-length: cut, drop or error")]
    public TooLong TooLong { get; init; } = TooLong.Cut;

    /// <summary>Which tokens are learnt.</summary>
    [Setting("what is learnt: assistant (every answer), last (the last answer of a conversation) or everything (prompts too)")]
    public TrainOn TrainOn { get; init; } = TrainOn.Assistant;

    /// <summary>
    /// How messages become text (<see cref="Data.ExampleEncoder"/>): <c>tulu</c>, <c>plain</c>, <c>chat</c>, the path of a Jinja
    /// file, or <c>auto</c>: <c>chat</c> where the model has a template and <see cref="TrainingOptions.Compat"/> does not ask
    /// for the paper's, else <c>tulu</c>.
    /// </summary>
    [Setting(
        "how messages become text: tulu (the paper's), plain (no markers), chat (the model's own), a file with a chat template, "
        + "or auto (chat where the model has one, else tulu)",
        Value = "NAME|FILE", Resolved = true)]
    public string Template { get; init; } = "auto";

    /// <summary>
    /// Time that a template's <c>strftime_now</c> tells, so that a run goes on as it began; null for the time at which it began.
    /// </summary>
    [Setting(
        "time that a template's strftime_now tells; when the run began unless given",
        Value = "TIME", Identity = false, Resolved = true)]
    public string? TemplateDate { get; init; }

    /// <summary>Shape of the records.</summary>
    [Setting("shape of the records: auto (each by its fields), pairs, messages, conversational (TRL's), alpaca, sharegpt, "
        + "preference (chosen and rejected) or text")]
    public DataShape Shape { get; init; } = DataShape.Auto;

    /// <summary>Field of the prompt in the data, when it is not named <c>prompt</c>.</summary>
    [Setting("field of the prompt in the data")]
    public string? PromptField { get; init; }

    /// <summary>Field of the completion in the data, when it is not named <c>completion</c>.</summary>
    [Setting("field of the completion in the data")]
    public string? CompletionField { get; init; }

    /// <summary>Text of special tokens inside data becomes those tokens.</summary>
    [Setting("read special tokens' text in the data as those tokens")]
    public bool AllowSpecial { get; init; }

    /// <summary>Examples keep the order of the file.</summary>
    [Setting("keep the order of the file")]
    public bool NoShuffle { get; init; }
}

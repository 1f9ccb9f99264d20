
namespace Forgetting.Training;

/// <summary>What of the model's own knowledge of other tasks is unlearnt, and when (arXiv 2505.19715).</summary>
public sealed record UnlearningSettings
{
    /// <summary>Files with the prompts of the tasks to forget; the model's own continuations of them are what is unlearnt.</summary>
    [Setting(
        "files with prompts of tasks to forget, for lwf, or beside negative tokens for forget",
        Formerly = "forget", Common = true, Value = "FILES", UsedBy = SettingUse.Samples, MayChange = true)]
    public IReadOnlyList<string> Prompts { get; init; } = [];

    /// <summary>Self-generated samples made before, instead of <see cref="Prompts"/>.</summary>
    [Setting(
        "self-generated samples made before by elicit",
        Name = "elicited", Value = "FILE", UsedBy = SettingUse.Samples, MayChange = true)]
    public string? Elicited { get; init; }

    /// <summary>Most tokens of a self-generated sample.</summary>
    [Setting(
        "most tokens of a self-generated sample",
        Name = "max-new-tokens", Range = "[1, ∞)", UsedBy = SettingUse.Samples, Needs = "forget-prompts")]
    public int MaxNewTokens { get; init; } = 128;

    /// <summary>Checkpoint after ordinary fine-tuning on the data, θ_L; null: one is trained.</summary>
    [Setting(
        "checkpoint after ordinary fine-tuning on the data; else one is trained",
        Name = "learned", Value = "PATH", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited", MayChange = true)]
    public string? Learned { get; init; }

    /// <summary>Fisher information made before.</summary>
    [Setting(
        "Fisher information made before by fisher",
        Name = "fisher", Value = "FILE", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited", MayChange = true)]
    public string? Fisher { get; init; }

    /// <summary>Where the targets of the Fisher information come from.</summary>
    [Setting(
        "targets of the Fisher information: empirical (the data's) or true (the model's)",
        Name = "fisher-kind", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public FisherKind FisherKind { get; init; } = FisherKind.Empirical;

    /// <summary>Examples for the Fisher information, drawn at random; null: all.</summary>
    [Setting(
        "examples for the Fisher information, drawn at random; all unless given",
        Name = "fisher-examples", Range = "[1, ∞)", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public int? FisherExamples { get; init; }

    /// <summary>Forgetting confidences made before.</summary>
    [Setting(
        "forgetting confidences made before by confidence",
        Formerly = "confidence", Value = "FILE", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited", MayChange = true)]
    public string? Confidence { get; init; }

    /// <summary>α of the forgetting confidence; null: <see cref="OptimizerSettings.LearningRate"/> (this project's choice).</summary>
    [Setting(
        "step size alpha of the forgetting confidence; the learning rate unless given",
        Formerly = "alpha", Range = "(0, ∞)", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public double? Alpha { get; init; }

    /// <summary>
    /// Share of the samples that is unlearnt; null: 0.1, with <see cref="Compatibility.Paper"/> 0.25 (this project's choices).
    /// </summary>
    [Setting(
        "share of the self-generated samples that is unlearnt; 0.1 unless given",
        Range = "(0, 1]", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public double? Fraction { get; init; }

    /// <summary>Rank from which samples are unlearnt, instead of <see cref="Fraction"/>.</summary>
    [Setting(
        "increase in nats (or confidence) from which samples are unlearnt, instead of a share",
        UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public double? Threshold { get; init; }

    /// <summary>What samples are ranked by.</summary>
    [Setting(
        "what samples are ranked by: increase (of the loss by ordinary fine-tuning, measured) "
        + "or confidence (the paper's, by the Fisher information)",
        UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public SelectionMeasure SelectBy { get; init; } = SelectionMeasure.Increase;

    /// <summary>Which samples are unlearnt.</summary>
    [Setting(
        "samples that are unlearnt, by their rank: high, low or random",
        Formerly = "select", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public SelectionKind Select { get; init; } = SelectionKind.High;

    /// <summary>When unlearning steps are taken.</summary>
    [Setting(
        "when unlearning steps are taken: periodic, upfront or random",
        Formerly = "schedule", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public UnlearningScheduleKind Schedule { get; init; } = UnlearningScheduleKind.Periodic;

    /// <summary>Learning steps between unlearning steps (this project's choice).</summary>
    [Setting(
        "learning steps between unlearning steps",
        Formerly = "interval", Range = "[1, ∞)", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public int Interval { get; init; } = 10;

    /// <summary>
    /// AdamW's moments in unlearning steps; null: their own, with <see cref="Compatibility.Paper"/> those of the learning steps.
    /// </summary>
    [Setting(
        "AdamW's moments in unlearning steps: own, where a step is forget-weight times a learning step, or shared with learning, "
        + "where the clip may undo the weight",
        UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public UnlearningMoments? Moments { get; init; }

    /// <summary>
    /// Weight w of an unlearning step: of its length with moments of its own, else of its gradient; null:
    /// 2 and 0.05 (this project's choice).
    /// </summary>
    [Setting(
        "weight of an unlearning step against a learning step; 2 unless given, and of its gradient 0.05 with shared moments",
        Range = "(0, ∞)", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public double? Weight { get; init; }

    /// <summary>Largest gradient norm of an unlearning step; 0: no clipping (this project's choice).</summary>
    [Setting(
        "largest gradient norm of an unlearning step, 0 for no clipping",
        Range = "[0, ∞)", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public double Clip { get; init; } = 1;

    /// <summary>Samples per unlearning step; null: <see cref="ScheduleSettings.BatchSize"/>.</summary>
    [Setting(
        "samples per unlearning step; as many as a learning step's sequences unless given",
        Range = "[1, ∞)", UsedBy = SettingUse.Samples, Needs = "forget-prompts|elicited")]
    public int? BatchSize { get; init; }
}

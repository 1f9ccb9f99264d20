using Forgetting.Backends;

namespace Forgetting.Training;

/// <summary>
/// Every setting of a tuning run, in groups. Defaults are the recipe of arXiv 2508.04329 where it states one. A setting's name in recipes
/// and on the command line is its property's in kebab case behind its group's prefix (<see cref="Recipe"/>); <see cref="SettingAttribute"/>
/// holds the rest of what is known of it.
/// </summary>
public sealed partial record TrainingOptions
{
    /// <summary>Folder of the pretrained checkpoint.</summary>
    [Setting("pretrained model: a Hugging Face folder, a GGUF file or a llama2.c .bin", Common = true, Value = "PATH", MayChange = true)]
    public string Model { get; init; } = "";

    /// <summary>Folder of a PEFT adapter of the model; its ranks, scales and targets replace the settings of new ones.</summary>
    [Setting("PEFT adapter of the model to continue, instead of a new one", Value = "DIR", MayChange = true)]
    public string? Adapter { get; init; }

    /// <summary>Folder that receives everything the run leaves.</summary>
    [Setting("folder for the tuned model and the run's records", Common = true, Value = "DIR", MayChange = true, Identity = false)]
    public string Out { get; init; } = "";

    /// <summary>Which tokens are learnt, ignored or forgotten.</summary>
    [Setting("what is learnt and unlearnt", Common = true)]
    public TrainingMethod Method { get; init; } = TrainingMethod.Forget;

    /// <summary>Deviations from the method as written.</summary>
    [Setting("reproduce the paper's program: none or paper", Group = "advanced", UsedBy = SettingUse.Learning)]
    public Compatibility Compat { get; init; } = Compatibility.None;

    /// <summary>Seed of initialisation, order and dropout.</summary>
    [Setting("seed of initialisation, order and dropout", Identity = false)]
    public ulong Seed { get; init; } = 42;

    /// <summary>
    /// Element type of the tuned model's weights in its files. Models that a run makes for itself stay exact whatever it says.
    /// </summary>
    [Setting("type of the written weights: source (the base's), fp32, bf16 or fp16", MayChange = true, Identity = false)]
    public SaveDtype SaveDtype { get; init; } = SaveDtype.Source;

    /// <summary>What is learnt from, and how it becomes tokens.</summary>
    [SettingGroup("data")]
    public DataSettings Data { get; init; } = new();

    /// <summary>How long is trained, in what steps, at what rates.</summary>
    [SettingGroup("schedule")]
    public ScheduleSettings Schedule { get; init; } = new();

    /// <summary>What is minimised, and how weights follow the gradient.</summary>
    [SettingGroup("optimizer")]
    public OptimizerSettings Optimizer { get; init; } = new();

    /// <summary>The low-rank adapter that is trained instead of the weights.</summary>
    [SettingGroup("lora", Prefix = "lora")]
    public LoraSettings Lora { get; init; } = new();

    /// <summary>Which tokens are forgotten, and how (arXiv 2508.04329).</summary>
    [SettingGroup("token-forgetting")]
    public TokenForgettingSettings TokenForgetting { get; init; } = new();

    /// <summary>What of the model's own knowledge of other tasks is unlearnt, and when (arXiv 2505.19715).</summary>
    [SettingGroup("learning-with-forgetting", Prefix = "forget")]
    public UnlearningSettings Unlearning { get; init; } = new();

    /// <summary>What must go and what must stay, where both are known.</summary>
    [SettingGroup("unlearning")]
    public ForgetSetSettings ForgetSet { get; init; } = new();

    /// <summary>Benchmark tasks on the model in training.</summary>
    [SettingGroup("evaluation", Prefix = "eval")]
    public EvaluationSettings Evaluation { get; init; } = new();

    /// <summary>When the state of training is written.</summary>
    [SettingGroup("checkpoints")]
    public CheckpointsSettings Checkpoints { get; init; } = new();

    /// <summary>Where and how is computed; none of it changes the method.</summary>
    [SettingGroup("device")]
    public ComputeSettings Compute { get; init; } = new();

    /// <summary>Whether self-generated samples of other tasks are unlearnt.</summary>
    internal bool Unlearns => Unlearning.Prompts.Count > 0 || Unlearning.Elicited != null;

    /// <summary>Whether every response token is learnt, whatever its sign.</summary>
    internal bool LearnsAll => Method.Negatives == NegativeTokens.Learnt;

    /// <summary>Whether tokens get their sign from a score.</summary>
    internal bool ScoresTokens => Method.Uses(SettingUse.Scores);

    /// <summary>Whether training needs the base model's log-probabilities of what is forgotten.</summary>
    internal bool NeedsBase => ForgetsTokens
        ? ResolveAscent().NeedsBase
        : ForgetsAnswers && ForgetSet.Objective is ForgetObjective.Npo or ForgetObjective.IdkDpo;

    /// <summary>Whether the run's examples are a set that must go.</summary>
    internal bool HasForgetSet => Method.Negatives == NegativeTokens.ForgetSet;

    /// <summary>Whether what must go goes token by token, as <see cref="TokenForgettingSettings.Ascent"/> says.</summary>
    internal bool ForgetsTokens =>
        Method.Negatives == NegativeTokens.Forgotten || (HasForgetSet && ForgetSet.Objective == ForgetObjective.Token);

    /// <summary>Whether what must go goes by an objective of whole answers.</summary>
    internal bool ForgetsAnswers => HasForgetSet && !ForgetsTokens && !Steers;

    /// <summary>Whether what must go has its hidden states steered.</summary>
    internal bool Steers => HasForgetSet && ForgetSet.Objective == ForgetObjective.Rmu;

    /// <summary>Whether what must stay is kept by the divergence from the base model.</summary>
    internal bool KeepsBase => HasForgetSet && ForgetSet is { RetainData: not null, RetainKl: true };

    /// <summary>Whether training holds the base model beside the one that it trains.</summary>
    internal bool HoldsBase => KeepsBase || (Steers && ForgetSet.RetainData != null);

    /// <summary>File of the examples that a run is about.</summary>
    internal string MainData => HasForgetSet ? ForgetSet.ForgetData ?? "" : Data.Path;

    /// <summary>Most tokens of the examples that go through the model at once in training; srs takes each of them twice.</summary>
    internal int PassTokens =>
        Optimizer.Regularizer == RegularizerKind.Srs ? Math.Max(1, Compute.MicroBatchTokens / 2) : Compute.MicroBatchTokens;

    /// <summary><see cref="TokenForgettingSettings.Score"/>, with the paper's where its program is followed.</summary>
    public ScoreKind ResolveScore() =>
        Compat == Compatibility.Paper && TokenForgetting.Score == ScoreKind.Auto ? ScoreKind.Influence : TokenForgetting.Score;

    /// <summary><see cref="UnlearningSettings.Moments"/>, or what the method has unless they are given.</summary>
    internal UnlearningMoments ResolveMoments() =>
        Unlearning.Moments ?? (Compat == Compatibility.Paper ? UnlearningMoments.Shared : UnlearningMoments.Own);

    /// <summary><see cref="UnlearningSettings.Weight"/>, or what goes with the moments unless it is given.</summary>
    internal double ResolveUnlearningWeight() => Unlearning.Weight ?? (ResolveMoments() == UnlearningMoments.Own ? 2 : 0.05);

    /// <summary><see cref="UnlearningSettings.Fraction"/>, or what the method has unless it is given.</summary>
    internal double ResolveUnlearningFraction() => Unlearning.Fraction ?? (Compat == Compatibility.Paper ? 0.25 : 0.1);

    /// <summary><see cref="TokenForgettingSettings.Ascent"/> with its exponents.</summary>
    internal Ascent ResolveAscent()
    {
        AscentKind standard =
            Method.Negatives == NegativeTokens.Forgotten && Compat != Compatibility.Paper ? AscentKind.Belief : AscentKind.Ascent;
        Ascent source = Backends.Ascent.From(TokenForgetting.Ascent ?? standard);
        return source with
        {
            Beta = (float?)TokenForgetting.AscentBeta ?? source.Beta,
            Beta2 = (float?)TokenForgetting.AscentBeta2 ?? source.Beta2,
            LearningPower = (float)Optimizer.GceQ,
        };
    }
}

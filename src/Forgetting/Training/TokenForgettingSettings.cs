using Forgetting.Backends;

namespace Forgetting.Training;

/// <summary>Which tokens are forgotten, and how (arXiv 2508.04329).</summary>
public sealed record TokenForgettingSettings
{
    /// <summary>What response tokens are ranked by.</summary>
    [Setting(
        "what tokens are ranked by: influence (base loss - reference loss, the paper's), reference (loss), "
        + "blend (0.9 base loss - reference loss), or auto, which chooses between the first two",
        UsedBy = SettingUse.Scores, AlsoWith = "scores")]
    public ScoreKind Score { get; init; } = ScoreKind.Auto;

    /// <summary>
    /// Share of positive tokens ρ, or auto for Otsu's cut; null: 0.7, or the signs of <see cref="Scores"/> as they stand.
    /// </summary>
    [Setting(
        "share of response tokens that are learnt, or auto to find it from the scores (Otsu's cut); 0.7, or as in the score file",
        UsedBy = SettingUse.Scores, AlsoWith = "scores")]
    public Share? Rho { get; init; }

    /// <summary>
    /// Share of the response tokens, next in the ranking after those of <see cref="Rho"/>, that is neither learnt nor forgotten.
    /// </summary>
    [Setting(
        "share of response tokens, next in the ranking after rho's, that is neither learnt nor forgotten",
        Range = "[0, 1)", UsedBy = SettingUse.Scores, AlsoWith = "scores")]
    public double IgnoreRho { get; init; }

    /// <summary>Score from which tokens are learnt, in nats, instead of <see cref="Rho"/>.</summary>
    [Setting(
        "score in nats from which tokens are learnt, instead of rho; needs forget-below",
        UsedBy = SettingUse.Scores, AlsoWith = "scores")]
    public double? LearnAbove { get; init; }

    /// <summary>Score below which tokens are forgotten, in nats; what lies between is ignored.</summary>
    [Setting(
        "score in nats below which tokens are forgotten; those between are ignored",
        UsedBy = SettingUse.Scores, AlsoWith = "scores")]
    public double? ForgetBelow { get; init; }

    /// <summary>What the negative term is divided by.</summary>
    [Setting(
        "what the negative term is divided by: candidates (all tokens not learnt) or forgotten (those forgotten)",
        UsedBy = SettingUse.Lambda)]
    public NegativeNormKind NegativeNorm { get; init; } = NegativeNormKind.Candidates;

    /// <summary>Whether tokens or whole sequences are ranked.</summary>
    [Setting("what is ranked: token or sequence", UsedBy = SettingUse.Scores, AlsoWith = "scores")]
    public PartitionLevel Level { get; init; } = PartitionLevel.Token;

    /// <summary>How λ moves over the run.</summary>
    [Setting("how lambda moves: linear, constant or adaptive", UsedBy = SettingUse.Lambda)]
    public LambdaKind Lambda { get; init; } = LambdaKind.Linear;

    /// <summary>λ at the first step.</summary>
    [Setting("lambda at the first step", Range = "[0, ∞)", UsedBy = SettingUse.Lambda, Needs = "lambda=linear|lambda=adaptive")]
    public double LambdaMin { get; init; } = 1e-5;

    /// <summary>λ that the last step approaches.</summary>
    [Setting("lambda that the last step approaches", Range = "[0, ∞)", UsedBy = SettingUse.Lambda)]
    public double LambdaMax { get; init; } = 0.25;

    /// <summary>
    /// With adaptive λ: the negative gradient's norm as a share of the positive one's that may not be passed (this project's choice).
    /// </summary>
    [Setting(
        "adaptive lambda: largest negative gradient norm over the positive one",
        Range = "(0, ∞)", UsedBy = SettingUse.Lambda, Needs = "lambda=adaptive")]
    public double LambdaFraction { get; init; } = 0.5;

    /// <summary>With adaptive λ: steps between measurements of the two norms.</summary>
    [Setting("adaptive lambda: steps between measurements", Range = "[1, ∞)", UsedBy = SettingUse.Lambda, Needs = "lambda=adaptive")]
    public int LambdaEvery { get; init; } = 10;

    /// <summary>
    /// What unlearning a negative token means at the logits; null: belief for negative tokens of the data (this project's), plain ascent
    /// with lwf, unlearn and compat paper.
    /// </summary>
    [Setting(
        "how a negative token is unlearnt: ascent, weighted, satimp, npo, hinge, unlikelihood, "
        + "entropy or belief (as much as the base believed it); belief for forget, ascent for lwf, "
        + "unlearn and with compat paper unless given",
        Group = "unlearning", UsedBy = SettingUse.Ascent)]
    public AscentKind? Ascent { get; init; }

    /// <summary>β of weighted, npo and belief, β₁ of satimp; null: the source's.</summary>
    [Setting(
        "first exponent of a bounded ascent",
        Group = "unlearning", Range = "[0, ∞)", UsedBy = SettingUse.Ascent,
        Needs = "ascent=weighted|ascent=satimp|ascent=npo|ascent=belief")]
    public double? AscentBeta { get; init; }

    /// <summary>β₂ of satimp, γ of belief; null: the source's.</summary>
    [Setting(
        "second exponent of satimp and belief",
        Group = "unlearning", Range = "[0, ∞)", UsedBy = SettingUse.Ascent, Needs = "ascent=satimp|ascent=belief")]
    public double? AscentBeta2 { get; init; }

    /// <summary>
    /// Whether the signs of the partition are dealt out to other tokens at random, as a control: as many are negative, but any.
    /// </summary>
    [Setting(
        "deal the signs of the partition out to other tokens at random: a control, whose negative tokens are any",
        UsedBy = SettingUse.Scores)]
    public bool ShuffleSigns { get; init; }

    /// <summary>Whether the quality of the reference's examples is measured, by two further references of half of them each.</summary>
    [Setting(
        "measure how well the reference's examples agree, by training on either half of them; takes as long as the reference again",
        UsedBy = SettingUse.Scores)]
    public bool ReferenceQuality { get; init; }

    /// <summary>Folder of a reference checkpoint.</summary>
    [Setting("reference checkpoint; else one is trained", Value = "PATH", UsedBy = SettingUse.Scores, MayChange = true, Identity = false)]
    public string? Reference { get; init; }

    /// <summary>Examples to train the reference on.</summary>
    [Setting(
        "examples to train the reference on, in any format of data",
        Common = true, Value = "FILE", UsedBy = SettingUse.Scores, MayChange = true)]
    public string? ReferenceData { get; init; }

    /// <summary>Share of the data held out to train the reference on; the rest is the training set.</summary>
    [Setting(
        "share of the data held out to train the reference on; a sixth where no other source of influence is given; "
        + "full and lwf leave it out, to learn from the same data as others",
        Range = "(0, 1)")]
    public double? ReferenceFraction { get; init; }

    /// <summary><see cref="ReferenceFraction"/> where no source of influence is given: 10k of 60k examples.</summary>
    internal const double DefaultReferenceFraction = 1.0 / 6;

    /// <summary>The examples that the reference is trained on are learnt too, all their tokens positive.</summary>
    [Setting("learn the reference's examples too", UsedBy = SettingUse.Scores)]
    public bool LearnReference { get; init; }

    /// <summary>A score file made before.</summary>
    [Setting("score file made before", Value = "FILE", MayChange = true, Identity = false)]
    public string? Scores { get; init; }

    /// <summary>
    /// Steps between measurements of the two gradients' norms and cosine; 0: never. Each costs a second forward and backward pass.
    /// </summary>
    [Setting(
        "steps between measurements of the two gradients, 0 for never",
        Group = "advanced", Range = "[0, ∞)", UsedBy = SettingUse.Parts, AlsoWith = "scores", MayChange = true)]
    public int PartsEvery { get; init; }
}

using Forgetting.Core;

namespace Forgetting.Training;

/// <summary>Explicit unlearning: what must go, what must stay, and the objectives of both.</summary>
public sealed record ForgetSetSettings
{
    // Objectives of whole answers that have a β.
    private const string Preference = "objective=npo|objective=simnpo|objective=idkdpo";

    /// <summary>Examples that must go.</summary>
    [Setting("examples that must go, in any format of data", Value = "FILE", UsedBy = SettingUse.ForgetSet, MayChange = true)]
    public string? ForgetData { get; init; }

    /// <summary>Examples that must stay; null for none.</summary>
    [Setting(
        "examples that must stay: a step has as many of them as of those that must go",
        Value = "FILE", UsedBy = SettingUse.ForgetSet, MayChange = true)]
    public string? RetainData { get; init; }

    /// <summary>What is done to what must go.</summary>
    [Setting(
        "what is done to what must go: npo, simnpo, idkdpo (a refusal is preferred), rmu (hidden states are misdirected), "
        + "or token (each token as ascent says)",
        UsedBy = SettingUse.ForgetSet)]
    public ForgetObjective Objective { get; init; } = ForgetObjective.Npo;

    /// <summary>β of npo, simnpo and idkdpo; null: 0.1, and 4.5 for simnpo (this project's choice).</summary>
    [Setting(
        "beta of npo, simnpo and idkdpo; 0.1, for simnpo 4.5 unless given",
        Range = "(0, ∞)", UsedBy = SettingUse.ForgetSet, Needs = Preference)]
    public double? ObjectiveBeta { get; init; }

    /// <summary>γ of simnpo.</summary>
    [Setting("margin gamma of simnpo", Range = "[0, ∞)", UsedBy = SettingUse.ForgetSet, Needs = "objective=simnpo")]
    public double ObjectiveMargin { get; init; }

    /// <summary>The answer that idkdpo prefers.</summary>
    [Setting("answer that idkdpo prefers", Value = "TEXT", UsedBy = SettingUse.ForgetSet, Needs = "objective=idkdpo")]
    public string Refusal { get; init; } = "I don't know.";

    /// <summary>Weight of the retain set's objective beside the forget set's.</summary>
    [Setting("weight of what must stay beside what must go", Range = "(0, ∞)", UsedBy = SettingUse.ForgetSet, Needs = "retain-data")]
    public double RetainWeight { get; init; } = 1;

    /// <summary>
    /// Whether KL(base‖model) over the whole vocabulary, mean over response tokens, is minimised on the retain set instead of their
    /// cross-entropy (as in "KL minimisation" of TOFU, arXiv 2401.06121).
    /// </summary>
    [Setting(
        "keep what must stay by its divergence from the base model, which is held in memory beside, instead of its cross-entropy",
        UsedBy = SettingUse.ForgetSet, Needs = "retain-data")]
    public bool RetainKl { get; init; }

    /// <summary>Block, from 0, whose output rmu steers; null: the one after a quarter of those before the last.</summary>
    [Setting(
        "block, from 0, whose output rmu steers; after a quarter of them unless given",
        Range = "[0, ∞)", UsedBy = SettingUse.ForgetSet, Needs = "objective=rmu")]
    public int? SteeringBlock { get; init; }

    /// <summary>c of rmu: the norm of what hidden states are steered to.</summary>
    [Setting("norm of what rmu steers hidden states to", Range = "(0, ∞)", UsedBy = SettingUse.ForgetSet, Needs = "objective=rmu")]
    public double SteeringNorm { get; init; } = 6.5;

    /// <summary><see cref="ObjectiveBeta"/>, or the objective's own.</summary>
    internal double ResolveBeta() => ObjectiveBeta ?? (Objective == ForgetObjective.SimNpo ? 4.5 : 0.1);

    /// <summary><see cref="SteeringBlock"/>, or the paper's place: block 7 of 32.</summary>
    /// <param name="blocks">Blocks of the model.</param>
    /// <exception cref="UserException">The model has fewer.</exception>
    internal int ResolveSteeringBlock(int blocks) => SteeringBlock is not { } given ? (blocks - 1) / 4
        : given < blocks ? given : throw new UserException($"steering-block is {given}, expected at most {blocks - 1}, the model's last");
}

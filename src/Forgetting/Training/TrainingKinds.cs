using Forgetting.IO;

namespace Forgetting.Training;

/// <summary>
/// What explicit unlearning does to the forget set. ℓ is the cross-entropy of an answer, summed over its n
/// tokens, and ℓ₀ that under the base model.
/// </summary>
public enum ForgetObjective
{
    /// <summary>
    /// Each token as <see cref="TokenForgettingSettings.Ascent"/> says, divided by the tokens of the step's forget examples; with plain
    /// ascent and a retain set it is GradDiff.
    /// </summary>
    Token,

    /// <summary>(2/β) log(1 + e^(β(ℓ₀ − ℓ))), mean over answers: NPO (arXiv 2404.05868).</summary>
    Npo,

    /// <summary>(2/β) log(1 + e^(γ − βℓ/n)), mean over answers: SimNPO (arXiv 2410.07163).</summary>
    SimNpo,

    /// <summary>
    /// (2/β) log(1 + e^(β((ℓ₀ − ℓ) − (r₀ − r)))), mean over answers, with r and r₀ of a refusal in the answer's place: DPO (arXiv
    /// 2305.18290) as unlearning uses it.
    /// </summary>
    IdkDpo,

    /// <summary>
    /// ‖h − c·u‖² / C, mean over tokens, with h the [C] output of one block at a token and u a random direction, and on the retain set
    /// ‖h − h₀‖² / C with the base model's h₀; only the MLPs' last layers of that block and the two before it are trained: RMU (arXiv
    /// 2403.03218).
    /// </summary>
    Rmu,
}

/// <summary>What self-generated samples are ranked by.</summary>
public enum SelectionMeasure
{
    /// <summary>Loss(θ_L) − loss(θ_base), measured (this project's).</summary>
    Increase,

    /// <summary>Forgetting confidence, from the Fisher information (arXiv 2505.19715).</summary>
    Confidence,
}

/// <summary>Which self-generated samples are unlearned, by <see cref="SelectionMeasure"/>.</summary>
public enum SelectionKind
{
    /// <summary>The highest, as the method has it.</summary>
    High,

    /// <summary>The lowest (ablation).</summary>
    Low,

    /// <summary>As many at random (ablation).</summary>
    Random,
}

/// <summary>When unlearning steps are taken.</summary>
public enum UnlearningScheduleKind
{
    /// <summary>One after every so many learning steps.</summary>
    Periodic,

    /// <summary>As many, all before the first learning step (ablation).</summary>
    Upfront,

    /// <summary>As many, before learning steps drawn at random (ablation).</summary>
    Random,
}

/// <summary>AdamW's moments in unlearning steps.</summary>
public enum UnlearningMoments
{
    /// <summary>Moments of their own: a step is w times as large as a learning step, whatever the gradients (this project's).</summary>
    Own,

    /// <summary>
    /// Those of the learning steps: w scales the gradient, which the clip and the learning gradients in the moments may undo.
    /// </summary>
    Shared,
}

/// <summary>Where the targets of a Fisher information come from.</summary>
public enum FisherKind
{
    /// <summary>The data's own targets.</summary>
    Empirical,

    /// <summary>Targets drawn from the model, as the definition asks.</summary>
    True,
}

/// <summary>A further term of the objective.</summary>
public enum RegularizerKind
{
    /// <summary>None.</summary>
    None,

    /// <summary>Batch spectral shrinkage (Chen et al., NeurIPS 2019).</summary>
    Bss,

    /// <summary>What arXiv 2505.19715 calls SRS, most likely Tuning Stable Rank Shrinkage (CVPR 2024).</summary>
    Srs,
}

/// <summary>What the ranking by influence ranks.</summary>
public enum PartitionLevel
{
    /// <summary>Response tokens of the whole training set.</summary>
    Token,

    /// <summary>Examples, by the mean influence of their response tokens, which then share a sign.</summary>
    Sequence,
}

/// <summary>What response tokens are ranked by, from the cross-entropies b under the base and r under the reference model.</summary>
public enum ScoreKind
{
    /// <summary>
    /// Reference where nearly all that the reference finds unlikely was never plausible to the base (independent errors), else influence;
    /// with <see cref="Compatibility.Paper"/> influence (this project's).
    /// </summary>
    Auto,

    /// <summary>
    /// b − r, the paper's: what the reference learnt comes first. Finds misconceptions, which the base
    /// believes and a good reference does not.
    /// </summary>
    Influence,

    /// <summary>
    /// −r: what the reference finds likely comes first. Finds independent errors, even with a reference that learnt from the
    /// same kind of data (this project's).
    /// </summary>
    Reference,

    /// <summary>0.9·b − r: between the two (this project's).</summary>
    Blend,
}

/// <summary>What the objective's negative term is divided by.</summary>
public enum NegativeNormKind
{
    /// <summary>
    /// All tokens of the step that are not learnt, forgotten or ignored: forgetting fewer of them weighs less, not each of them more.
    /// </summary>
    Candidates,

    /// <summary>The forgotten tokens alone.</summary>
    Forgotten,
}

/// <summary>How λ, the weight of forgetting, moves over a run.</summary>
public enum LambdaKind
{
    /// <summary>From lambda-min to lambda-max in equal steps.</summary>
    Linear,

    /// <summary>lambda-max throughout.</summary>
    Constant,

    /// <summary>Linear, but never so high that the negative gradient's norm passes a fraction of the positive one's.</summary>
    Adaptive,
}

/// <summary>How the learning rate falls after warm-up.</summary>
public enum LrScheduleKind
{
    /// <summary>To 0 in a straight line.</summary>
    Linear,

    /// <summary>To 0 along half a cosine.</summary>
    Cosine,

    /// <summary>Not at all.</summary>
    Constant,
}

/// <summary>Which value of the metric that judges evaluations is the best.</summary>
public enum BestKind
{
    /// <summary>As the metric's nature is: high for accuracy, low for perplexity.</summary>
    Auto,

    /// <summary>The highest.</summary>
    High,

    /// <summary>The lowest, as for what is to be forgotten.</summary>
    Low,
}

/// <summary>Deviations from the method as written, for comparing with published numbers.</summary>
public enum Compatibility
{
    /// <summary>None.</summary>
    None,

    /// <summary>
    /// λ = lambda-max·k/K, restarting every epoch, the objective as a mean over micro-batches of their means, and the steps of the warm-up
    /// rounded down, as the paper's own program computes them; learnt is all but the first len(encode(prompt)) tokens, also where one holds
    /// the prompt's end and the answer's beginning.
    /// </summary>
    Paper,
}

/// <summary>Element type of written weights.</summary>
public enum SaveDtype
{
    /// <summary>Each tensor's own in the base checkpoint.</summary>
    Source,

    /// <summary>binary32.</summary>
    Fp32,

    /// <summary>bfloat16.</summary>
    Bf16,

    /// <summary>binary16.</summary>
    Fp16,
}

/// <summary><see cref="SaveDtype"/> as files name it.</summary>
internal static class SaveDtypes
{
    /// <summary>The type in files; null for each tensor's own.</summary>
    public static StoredType? ToStoredType(this SaveDtype dtype) => dtype switch
    {
        SaveDtype.Fp32 => StoredType.F32,
        SaveDtype.Bf16 => StoredType.BF16,
        SaveDtype.Fp16 => StoredType.F16,
        _ => null,
    };
}

using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>What is minimised, and how weights follow the gradient.</summary>
public sealed record OptimizerSettings
{
    /// <summary>
    /// <c>adamw</c> (arXiv 1711.05101), or <c>adamw8bit</c> with moments in 8 bits, block by block (arXiv 2110.02861). In Float32 stay
    /// those of embeddings, as the paper has it, of gains and biases, and of matrices with fewer than 4,096 weights, as in bitsandbytes.
    /// </summary>
    [Setting("adamw, or adamw8bit: moments of matrices in 8 bits, 2 bytes a weight instead of 8", Name = "optimizer", Value = "NAME")]
    public string Kind { get; init; } = "adamw";

    /// <summary>
    /// fp32 or bf16: what gradients of matrices and tables are added up in; bf16 is rounded stochastically (arXiv 1502.02551), so that what
    /// is small beside a sum is not lost on average.
    /// </summary>
    [Setting("fp32 or bf16: type of the gradients of matrices and tables, bf16 rounded stochastically", Value = "NAME")]
    public string GradientDtype { get; init; } = "fp32";

    /// <summary>
    /// Where all weights are trained, matrices and tables are in bf16 and updated there with stochastic rounding, without Float32 masters
    /// beside them.
    /// </summary>
    [Setting("all weights: matrices and tables in bf16 alone, updated with stochastic rounding, without fp32 masters")]
    public bool NoMasters { get; init; }

    /// <summary>Peak learning rate.</summary>
    [Setting("peak learning rate", Common = true, Range = "(0, ∞)")]
    public double LearningRate { get; init; } = 1e-4;

    /// <summary>Decay of AdamW's first moment.</summary>
    [Setting("decay of AdamW's first moment", Group = "advanced", Range = "[0, 1)")]
    public double AdamBeta1 { get; init; } = 0.9;

    /// <summary>Decay of AdamW's second moment.</summary>
    [Setting("decay of AdamW's second moment", Group = "advanced", Range = "[0, 1)")]
    public double AdamBeta2 { get; init; } = 0.999;

    /// <summary>Added to the root of AdamW's second moment.</summary>
    [Setting("added to the root of AdamW's second moment", Group = "advanced", Range = "(0, ∞)")]
    public double AdamEpsilon { get; init; } = 1e-8;

    /// <summary>Decoupled weight decay of matrices; norms and biases have none.</summary>
    [Setting("AdamW's weight decay, on matrices only", Range = "[0, ∞)")]
    public double WeightDecay { get; init; }

    /// <summary>Largest norm of the whole gradient; 0: no clipping.</summary>
    [Setting("largest gradient norm, 0 for no clipping", Range = "[0, ∞)")]
    public double Clip { get; init; }

    /// <summary>q of generalised cross-entropy on what is learnt (arXiv 1805.07836); 0: cross-entropy.</summary>
    [Setting(
        "exponent q of generalised cross-entropy on what is learnt, 0 for cross-entropy", Group = "advanced", Range = "[0, 1]",
        UsedBy = SettingUse.Learning)]
    public double GceQ { get; init; }

    /// <summary>A further term of the objective of learning steps.</summary>
    [Setting(
        "further term of the objective: none, bss (batch spectral shrinkage) or srs (stable rank shrinkage)", UsedBy = SettingUse.Learning)]
    public RegularizerKind Regularizer { get; init; } = RegularizerKind.None;

    /// <summary>η of the regularizer; null: 0.001 for bss, 1 for srs (this project's choice).</summary>
    [Setting(
        "weight of the regularizer; 0.001 for bss and 1 for srs unless given", Range = "[0, ∞)", Needs = "regularizer=bss|regularizer=srs")]
    public double? RegularizerWeight { get; init; }

    /// <summary>k of batch spectral shrinkage.</summary>
    [Setting("smallest singular values that bss shrinks", Range = "[1, ∞)", Needs = "regularizer=bss")]
    public int RegularizerCount { get; init; } = 1;

    /// <summary>Standard deviation of the noise of stable rank shrinkage.</summary>
    [Setting("standard deviation of srs' noise", Range = "(0, ∞)", Needs = "regularizer=srs")]
    public double RegularizerNoise { get; init; } = 0.2;

    /// <summary>Block, from 0, whose input stable rank shrinkage disturbs; null: the middle one (this project's choice).</summary>
    [Setting("block, from 0, whose input gets srs' noise; the middle one unless given", Range = "[0, ∞)", Needs = "regularizer=srs")]
    public int? RegularizerBlock { get; init; }

    /// <summary>Element type of the gradients of matrices and tables.</summary>
    internal DType GradientType => GradientDtype == "bf16" ? DType.BFloat16 : DType.Float32;

    /// <summary>What trained matrices and tables are held in without masters; null where they have masters.</summary>
    internal DType? TrainedType => NoMasters ? DType.BFloat16 : null;

    /// <summary>Whether moments are kept in 8 bits.</summary>
    internal bool In8Bits => Kind == "adamw8bit";

    /// <summary><see cref="RegularizerWeight"/>, or what the kind has unless it is given.</summary>
    internal double ResolveRegularizerWeight() => RegularizerWeight ?? (Regularizer == RegularizerKind.Srs ? 1 : 1e-3);
}

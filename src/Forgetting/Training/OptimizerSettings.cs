namespace Forgetting.Training;

/// <summary>What is minimised, and how weights follow the gradient.</summary>
public sealed record OptimizerSettings
{
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
    [Setting("exponent q of generalised cross-entropy on what is learnt, 0 for cross-entropy", Group = "advanced", Range = "[0, 1]")]
    public double GceQ { get; init; }

    /// <summary>A further term of the objective of learning steps.</summary>
    [Setting("further term of the objective: none or bss (batch spectral shrinkage)")]
    public RegularizerKind Regularizer { get; init; } = RegularizerKind.None;

    /// <summary>η of batch spectral shrinkage.</summary>
    [Setting("weight of the regularizer", Range = "[0, ∞)", Needs = "regularizer=bss")]
    public double RegularizerWeight { get; init; } = 1e-3;

    /// <summary>k of batch spectral shrinkage.</summary>
    [Setting("smallest singular values that bss shrinks", Range = "[1, ∞)", Needs = "regularizer=bss")]
    public int RegularizerCount { get; init; } = 1;
}

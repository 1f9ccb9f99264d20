using Forgetting.Core;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>The low-rank adapter that is trained instead of the weights.</summary>
public sealed record LoraSettings
{
    /// <summary>Rank of the adapter; 0: all weights are trained.</summary>
    [Setting("rank of the LoRA adapter, 0 to train all weights", Common = true, Range = "[0, ∞)")]
    public int Rank { get; init; } = 64;

    /// <summary>α of the adapter; its scale is α/r.</summary>
    [Setting("alpha of the LoRA adapter", Range = "(0, ∞)", Needs = "lora-rank|adapter")]
    public double Alpha { get; init; } = 16;

    /// <summary>Dropout on the adapter's input.</summary>
    [Setting("dropout on the LoRA adapter's input", Range = "[0, 1)", Needs = "lora-rank|adapter")]
    public double Dropout { get; init; } = 0.1;

    /// <summary>Scale α/√r instead of α/r (arXiv 2312.03732).</summary>
    [Setting("scale the adapter by alpha over the root of the rank", Needs = "lora-rank|adapter")]
    public bool RankStabilized { get; init; }

    /// <summary>Trains the magnitude of each output apart from the direction of its weights (DoRA, arXiv 2402.09353).</summary>
    [Setting("train each output's magnitude apart from its weights' direction (DoRA)", Name = "dora", Needs = "lora-rank|adapter")]
    public bool Dora { get; init; }

    /// <summary>
    /// Element type of the matrices of blocks, which the adapter leaves as they are: <c>nf4</c> (QLoRA, arXiv 2305.14314), or null for
    /// <see cref="ComputeSettings.Dtype"/>, which embeddings, head, gains and biases always have.
    /// </summary>
    [Setting(
        "nf4: the blocks' matrices in 4 bits, which nothing trains; otherwise they are as dtype says", Name = "base-dtype", Value = "NAME",
        Needs = "lora-rank|adapter")]
    public string? BaseDtype { get; init; }

    /// <summary>Names of the linear layers that get an adapter (<c>q_proj</c>, …); empty: every linear of every block.</summary>
    [Setting("linear layers with an adapter, separated by commas; all when empty", Value = "NAMES", Needs = "lora-rank|adapter")]
    public IReadOnlyList<string> Targets { get; init; } = [];

    /// <summary><see cref="BaseDtype"/> as a type.</summary>
    /// <exception cref="UserException">There is no such type.</exception>
    internal DType? BaseType => BaseDtype switch
    {
        null => null,
        "nf4" => DType.NormalFloat4,
        _ => throw new UserException($"base-dtype is {BaseDtype}, expected nf4"),
    };
}

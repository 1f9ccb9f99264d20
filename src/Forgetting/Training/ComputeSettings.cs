namespace Forgetting.Training;

/// <summary>Where and how is computed; none of it changes the method.</summary>
public sealed record ComputeSettings
{
    /// <summary>Most tokens computed at once; bounds memory, not results.</summary>
    [Setting("tokens computed at once; bounds memory, not results", Range = "[1, 1048576]", MayChange = true)]
    public int MicroBatchTokens { get; init; } = 4096;

    /// <summary>Activations are computed again in the backward pass instead of kept.</summary>
    [Setting("compute activations again in the backward pass to save memory", MayChange = true)]
    public bool Recompute { get; init; }

    /// <summary>Device: auto, cpu, cuda, cuda:N, cuda-emu or cuda-ptx.</summary>
    [Setting(
        "where to compute: auto, cpu, cuda, cuda:N for card N, cuda-emu or cuda-ptx; "
        + "auto is the first card where all that it needs is there and works, else the cpu",
        Value = "NAME", MayChange = true, Identity = false, Resolved = true)]
    public string Device { get; init; } = "auto";

    /// <summary>
    /// fp32 or bf16: on cuda and cuda-emu the storage type, on cpu the type of the operands of products with weights (sums, storage and
    /// everything else stay Float32); null for bf16 on a card, fp32 elsewhere.
    /// </summary>
    [Setting(
        "fp32 or bf16 (bf16 on a card): storage type on cuda and cuda-emu; on cpu type of the operands of products "
        + "with weights, all else fp32",
        Value = "NAME", Resolved = true)]
    public string? Dtype { get; init; }

    /// <summary>
    /// What computes products on the CPU: auto, managed or onednn; auto is managed, but with <see cref="Dtype"/> bf16 oneDNN where it is
    /// installed and the processor is faster in bf16.
    /// </summary>
    [Setting(
        "what computes products on the cpu: auto, managed or onednn (auto: managed, "
        + "but for bf16 oneDNN where it is found and the processor is faster in bf16)",
        Value = "NAME", MayChange = true, Resolved = true)]
    public string Products { get; init; } = "auto";

    /// <summary>
    /// What the processes of a run divide among them of what is trained, each holding a part (ZeRO, arXiv 1910.02054): none, optimizer
    /// (moments, and Float32 masters where these are not the weights themselves) or gradients (these too).
    /// </summary>
    [Setting(
        "what several processes (--ranks) divide instead of each holding all: none, optimizer (moments and masters) or gradients "
        + "(these too); docs/scaling.md",
        Value = "NAME", MayChange = true, Identity = false)]
    public string Shard { get; init; } = "none";

    /// <summary>Whether processes divide anything.</summary>
    internal bool DividesState => Shard != "none";

    /// <summary>Whether they divide gradients too.</summary>
    internal bool DividesGradients => Shard == "gradients";

    /// <summary>
    /// On a card every kernel is launched by itself, where otherwise passes over batches of a shape met
    /// before are replayed as a CUDA graph.
    /// </summary>
    [Setting("launch every kernel by itself instead of as CUDA graphs, for profilers", Group = "advanced", MayChange = true)]
    public bool NoCudaGraphs { get; init; }
}

namespace Forgetting.Models;

/// <summary>How the ranks of a run divide the trainable parameters among them: each updates its part (ZeRO, arXiv 1910.02054).</summary>
/// <param name="Rank">Number of this process.</param>
/// <param name="Ranks">Number of processes.</param>
/// <param name="Gradients">Whether a rank holds the sums of its part of the gradients alone; else masters and moments are divided.</param>
internal sealed record Sharding(int Rank, int Ranks, bool Gradients);

namespace Forgetting.Models;

/// <summary>
/// Low-rank adaptation (LoRA, arXiv 2106.09685): a linear layer computes x·Wᵀ + b + s·(drop(x)·Aᵀ)·Bᵀ with W frozen, A [r, in], B [out, r].
/// Field meanings are those of PEFT's <c>adapter_config.json</c>.
/// </summary>
public sealed record LoraConfig
{
    /// <summary>Rank r, at least 1.</summary>
    public required int Rank { get; init; }

    /// <summary>Numerator α of the scale.</summary>
    public required double Alpha { get; init; }

    /// <summary>Rate of dropout on the input of A, in [0, 1).</summary>
    public double Dropout { get; init; }

    /// <summary>Scale by α/√r instead of α/r (arXiv 2312.03732).</summary>
    public bool RankStabilized { get; init; }

    /// <summary>
    /// Names of the linear layers to adapt, each matching a module path that equals it or ends in it after a dot ("q_proj",
    /// "mlp.c_proj"); empty for every linear layer of every block.
    /// </summary>
    public IReadOnlyList<string> Targets { get; init; } = [];

    /// <summary>Factor s on the low-rank product.</summary>
    public double Scale => Alpha / (RankStabilized ? Math.Sqrt(Rank) : Rank);

    /// <summary>Whether the linear layer at <paramref name="modulePath"/> is adapted.</summary>
    public bool Adapts(string modulePath) => Targets.Count == 0 || Targets.Any(target => Matches(target, modulePath));

    /// <summary>Checks the numbers, and that every target names a layer of the model.</summary>
    /// <exception cref="UserException">A number is out of range or a target matches nothing.</exception>
    internal void Validate(IReadOnlyCollection<string> modulePaths)
    {
        if (Rank < 1)
        {
            throw new UserException($"LoRA rank {Rank}: expected at least 1");
        }

        if (!(Dropout is >= 0 and < 1))
        {
            throw new UserException($"LoRA dropout {Dropout}: expected 0 ≤ rate < 1");
        }

        foreach (string target in Targets)
        {
            if (!modulePaths.Any(path => Matches(target, path)))
            {
                IEnumerable<string> names = modulePaths.Select(path => path[(path.LastIndexOf('.') + 1)..]).Distinct();
                throw new UserException($"LoRA target '{target}' matches no linear layer of the model; expected some of {string.Join(", ", names)}");
            }
        }
    }

    private static bool Matches(string target, string path) =>
        path.EndsWith(target, StringComparison.Ordinal) && (path.Length == target.Length || path[^(target.Length + 1)] == '.');
}

using System.Text.RegularExpressions;
using Forgetting.Core;

namespace Forgetting.Models;

/// <summary>
/// Low-rank adaptation (LoRA, arXiv 2106.09685): a linear layer computes x·Wᵀ + b + s·(drop(x)·Aᵀ)·Bᵀ with W frozen, A [r, in], B [out, r].
/// Field meanings are those of PEFT's <c>adapter_config.json</c>.
/// </summary>
internal sealed record LoraConfig
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
    /// The weight is taken apart into the direction of W + s·B·A and a magnitude m of each output, which is trained too (DoRA, arXiv
    /// 2402.09353): x·(m ∘ (W + s·B·A) / ‖W + s·B·A‖)ᵀ + b, the norm that of each row and a constant for gradients. Of linear layers of
    /// blocks alone.
    /// </summary>
    public bool Dora { get; init; }

    /// <summary>
    /// Names of the layers to adapt, each matching a module path that equals it or ends in it after a dot ("q_proj",
    /// "mlp.c_proj", "embed_tokens", "lm_head"); empty for every linear layer of every block.
    /// </summary>
    public IReadOnlyList<string> Targets { get; init; } = [];

    /// <summary>Regular expression that the whole module path must match; where given, <see cref="Targets"/> is not looked at.</summary>
    public string? TargetPattern { get; init; }

    /// <summary>Ranks of layers that differ: by regular expression for the end of the module path, from the beginning of a name.</summary>
    public IReadOnlyDictionary<string, int> RankPattern { get; init; } = new Dictionary<string, int>();

    /// <summary>Values of α of layers that differ, like <see cref="RankPattern"/>.</summary>
    public IReadOnlyDictionary<string, double> AlphaPattern { get; init; } = new Dictionary<string, double>();

    /// <summary>
    /// Modules outside the adapted layers that are trained whole and saved with the adapter, such as the embedding and the head.
    /// </summary>
    public IReadOnlyList<string> ModulesToSave { get; init; } = [];

    /// <summary>
    /// Base parameters, by name, that the adapter's file holds besides, though they are not trained: PEFT saves the embedding and the head
    /// with an adapter whose base may have another vocabulary.
    /// </summary>
    public IReadOnlyList<string> CarriedParameters { get; init; } = [];

    /// <summary>Rank of the layer at <paramref name="modulePath"/>.</summary>
    public int RankOf(string modulePath) => FromPattern(RankPattern, modulePath) ?? Rank;

    /// <summary>Factor s on the low-rank product of the layer at <paramref name="modulePath"/>.</summary>
    public double ScaleOf(string modulePath)
    {
        int rank = RankOf(modulePath);
        return (FromPattern(AlphaPattern, modulePath) ?? Alpha) / (RankStabilized ? Math.Sqrt(rank) : rank);
    }

    /// <summary>Whether the linear layer at <paramref name="modulePath"/> is adapted.</summary>
    public bool Adapts(string modulePath) => TargetPattern is not null
        ? IsMatch(modulePath, $"^(?:{TargetPattern})$")
        : Targets.Count == 0 || Targets.Any(target => Matches(target, modulePath));

    /// <summary>Whether the embedding or the head at <paramref name="modulePath"/> is adapted: these must be named.</summary>
    public bool AdaptsByName(string modulePath) => (Targets.Count > 0 || TargetPattern is not null) && Adapts(modulePath);

    /// <summary>Whether the embedding or the head of this parameter name is adapted or trained whole.</summary>
    internal bool Touches(string parameterName) => Saves(parameterName) || AdaptsByName(ModuleOf(parameterName));

    /// <summary>Whether the adapter's file holds the base parameter of this name.</summary>
    public bool Holds(string parameterName) => Saves(parameterName) || CarriedParameters.Contains(parameterName);

    /// <summary>Whether a base parameter of this name is trained whole.</summary>
    public bool Saves(string parameterName) => ModulesToSave.Any(module => Matches(module, ModuleOf(parameterName)));

    /// <summary>Checks the numbers, and that every target and saved module names a part of the model.</summary>
    /// <param name="adaptable">Module paths of the layers that can be adapted.</param>
    /// <param name="adapted">Those of them that are.</param>
    /// <param name="parameterNames">Names of the base parameters.</param>
    /// <exception cref="UserException">A number is out of range or a name matches nothing.</exception>
    internal void Validate(
        IReadOnlyCollection<string> adaptable, IReadOnlyCollection<string> adapted, IReadOnlyCollection<string> parameterNames)
    {
        if (RankPattern.Values.Append(Rank).Min() is var least and < 1)
            throw new UserException($"LoRA rank {least}: expected at least 1");

        if (!(Dropout is >= 0 and < 1))
            throw new UserException($"LoRA dropout {Dropout}: expected 0 ≤ rate < 1");

        if (adapted.Count == 0 && TargetPattern is not null)
            throw new UserException($"LoRA target pattern '{TargetPattern}' matches no linear layer of the model");

        RequireMatches("LoRA target", TargetPattern is null ? Targets : [], adaptable, "linear layer");
        RequireMatches("module to save", ModulesToSave, [.. parameterNames.Select(ModuleOf).Distinct()], "module");
        if (adapted.FirstOrDefault(path => Saves(path + ".weight")) is { } both)
            throw new UserException($"{both}: is both a LoRA target and a module to save, expected one of the two");
    }

    private static void RequireMatches(string what, IEnumerable<string> targets, IReadOnlyCollection<string> paths, string kind)
    {
        foreach (string target in targets)
        {
            if (!paths.Any(path => Matches(target, path)))
            {
                IEnumerable<string> names = paths.Select(path => path[(path.LastIndexOf('.') + 1)..]).Distinct();
                throw new UserException($"{what} '{target}' matches no {kind} of the model; expected some of {string.Join(", ", names)}");
            }
        }
    }

    private static string ModuleOf(string parameterName) => parameterName[..parameterName.LastIndexOf('.')];

    // As PEFT does it: the first pattern that matches a run of whole names at the end of the path.
    private static T? FromPattern<T>(IReadOnlyDictionary<string, T> patterns, string path)
        where T : struct
    {
        foreach ((string pattern, T value) in patterns)
        {
            if (IsMatch(path, $@"^(?:.*\.)?(?:{pattern})$"))
                return value;
        }

        return null;
    }

    private static bool IsMatch(string path, string pattern)
    {
        try
        {
            return Regex.IsMatch(path, pattern, RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
        }
        catch (Exception error) when (error is ArgumentException or RegexMatchTimeoutException)
        {
            throw new UserException(
                $"LoRA pattern '{pattern}' is not a regular expression that can be used: {error.Message.ReplaceLineEndings(" ")}", error);
        }
    }

    private static bool Matches(string target, string path) =>
        path.EndsWith(target, StringComparison.Ordinal) && (path.Length == target.Length || path[^(target.Length + 1)] == '.');
}

using System.Reflection;
using Forgetting.Core;

namespace Forgetting.Training;

/// <summary>What training makes of tokens with a negative sign.</summary>
internal enum NegativeTokens
{
    /// <summary>Learnt like all others: 1/n on every response token.</summary>
    Learnt,

    /// <summary>Left out: 1/n⁺ on positive tokens, nothing on negative ones.</summary>
    Ignored,

    /// <summary>Forgotten: 1/n⁺ on positive tokens, −λ/n⁻ on negative ones.</summary>
    Forgotten,

    /// <summary>
    /// The run's examples are a set that must go, beside one that must stay, and each is divided by its own tokens; how they go,
    /// <see cref="ForgetSetSettings"/> say.
    /// </summary>
    ForgetSet,
}

/// <summary>
/// Which tokens are learnt, ignored or forgotten: a method by the name that <c>--method</c> and recipes give it. It says what training has
/// to know of it, so that nothing asks for the name.
/// </summary>
public class TrainingMethod
{
    private static readonly Lazy<IReadOnlyList<TrainingMethod>> s_all =
        new(() => typeof(TrainingMethod).Assembly.GetCustomAttribute<MethodSource>()!.Methods);

    private protected TrainingMethod(string name, NegativeTokens negatives)
    {
        Name = name;
        Negatives = negatives;
    }

    /// <summary>Every method there is.</summary>
    public static IReadOnlyList<TrainingMethod> All => s_all.Value;

    /// <summary>Ordinary supervised fine-tuning: 1/n on every response token.</summary>
    public static TrainingMethod Full => Named("full");

    /// <summary>1/n⁺ on positive tokens, nothing on negative ones (arXiv 2508.04329, section 3).</summary>
    public static TrainingMethod Ignore => Named("ignore");

    /// <summary>1/n⁺ on positive tokens, −λ/n⁻ on negative ones (arXiv 2508.04329, section 4).</summary>
    public static TrainingMethod Forget => Named("forget");

    /// <summary>
    /// Learning With Forgetting (arXiv 2505.19715): 1/n on every response token, and steps in between that unlearn
    /// self-generated samples of other tasks.
    /// </summary>
    public static TrainingMethod Lwf => Named("lwf");

    /// <summary>Explicit unlearning: an objective on a forget set beside one on a retain set, in every step.</summary>
    public static TrainingMethod Unlearn => Named("unlearn");

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What becomes of tokens with a negative sign.</summary>
    internal NegativeTokens Negatives { get; }

    /// <summary>Settings that it uses besides those that go with <see cref="Negatives"/> and those that have its name.</summary>
    internal IReadOnlyList<string> Settings { get; init; } = [];

    /// <summary>What it cannot do without and the settings do not give, as an error says it; null where nothing is missing.</summary>
    internal Func<TrainingOptions, string?> Missing { get; init; } = _ => null;

    /// <summary>The method of a name.</summary>
    /// <exception cref="UserException">There is none; names those there are.</exception>
    public static TrainingMethod Named(string name) => All.FirstOrDefault(m => m.Name == name)
        ?? throw new UserException($"method is {Wording.Quote(name)}, expected {string.Join(", ", All)}");

    /// <summary>The name.</summary>
    public override string ToString() => Name;

    /// <summary>Whether it uses settings of a kind: one of <see cref="SettingUse"/>, or a method's name.</summary>
    internal bool Uses(string kind) => kind.Length == 0 || kind == Name || Settings.Contains(kind) || OfNegatives.Contains(kind);

    private string[] OfNegatives => Negatives switch
    {
        NegativeTokens.Learnt => [SettingUse.Learning],
        NegativeTokens.Ignored => [SettingUse.Learning, SettingUse.Parts],
        NegativeTokens.Forgotten => [SettingUse.Learning, SettingUse.Parts, SettingUse.Lambda, SettingUse.Ascent],
        _ => [SettingUse.ForgetSet, SettingUse.Parts, SettingUse.Ascent],
    };
}

/// <summary>Kinds of settings that some methods use and others do not.</summary>
internal static class SettingUse
{
    /// <summary>Those of learning from one set of examples.</summary>
    public const string Learning = "learning";

    /// <summary>Those of a set that must go.</summary>
    public const string ForgetSet = "forget-set";

    /// <summary>Those of how the gradients of positive and negative tokens pull.</summary>
    public const string Parts = "parts";

    /// <summary>λ, the weight of forgetting beside learning.</summary>
    public const string Lambda = "lambda";

    /// <summary>How a token is forgotten.</summary>
    public const string Ascent = "ascent";

    /// <summary>Those of signs by a score of each token (arXiv 2508.04329).</summary>
    public const string Scores = "scores";

    /// <summary>Those of self-generated samples that are unlearnt in steps of their own (arXiv 2505.19715).</summary>
    public const string Samples = "samples";
}

/// <summary>
/// The list of the program's methods. It stands on the assembly: settings read the names, and the methods need the settings, so the list
/// is above both.
/// </summary>
[AttributeUsage(AttributeTargets.Assembly)]
internal abstract class MethodSource : Attribute
{
    /// <summary>The methods, in the order in which they are named.</summary>
    public abstract IReadOnlyList<TrainingMethod> Methods { get; }
}

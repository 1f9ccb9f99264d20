using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>A method that settings can name: what runs have to know of it besides what training does.</summary>
/// <param name="name">Its name for <c>--method</c>.</param>
/// <param name="negatives">What becomes of tokens with a negative sign.</param>
internal sealed class NamedMethod(string name, NegativeTokens negatives) : TrainingMethod(name, negatives)
{
    /// <summary>Makes it for a run; null for a method that does nothing before training.</summary>
    public Func<TrainingOptions, IMethod>? Create { get; init; }

    /// <summary>Settings with which a method of another name has it applied too.</summary>
    public Func<TrainingOptions, bool> AlsoWith { get; init; } = _ => false;

    /// <summary>Files that it leaves in the folder of a run.</summary>
    public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>Folders that it writes in, each that lies in another one after it: paths in the folder of a run.</summary>
    public IReadOnlyList<string> Folders { get; init; } = [];

    /// <summary>Settings by which its memory is planned before there is data; null where that of another method stands for it.</summary>
    public Func<TrainingOptions, TrainingOptions>? Planned { get; init; } = options => options;

    /// <summary>What it is called where its memory is planned so.</summary>
    public string PlannedAs { get; init; } = name;

    /// <summary>Whether a run of these settings applies it.</summary>
    public bool AppliesTo(TrainingOptions options) => Create != null && (options.Method == this || AlsoWith(options));
}

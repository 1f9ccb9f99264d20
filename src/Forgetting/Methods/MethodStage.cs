namespace Forgetting.Methods;

/// <summary>
/// A stage of a run before its training, which leaves a file or a folder. It is done once: where its result is there, finished, of the same
/// inputs and undamaged, or another run of the same grid has it, it is not done again.
/// </summary>
public sealed record MethodStage
{
    /// <summary>Name, of one word.</summary>
    public required string Name { get; init; }

    /// <summary>File or folder it leaves, whole or not at all: its path in the method's folder (<see cref="MethodRun.Folder"/>).</summary>
    public required string Result { get; init; }

    /// <summary>What it does, in words for who watches the run; null where <see cref="Run"/> says so itself.</summary>
    public Func<MethodRun, string?> Announce { get; init; } = _ => null;

    /// <summary>All that the result depends on, by name; <see cref="MethodRun.Inputs"/> and the stage's own settings.</summary>
    public required Func<MethodRun, IReadOnlyDictionary<string, string>> Inputs { get; init; }

    /// <summary>Does it. What an unfinished attempt left is of the same inputs and may be used.</summary>
    public required Action<MethodRun> Run { get; init; }

    /// <summary>Stages that are needed only where this one has to be done.</summary>
    public IReadOnlyList<MethodStage> Within { get; init; } = [];

    /// <summary>
    /// Takes the memory that the stage takes; null where that is none. Unless said otherwise it is that of a pass over the data.
    /// </summary>
    internal Action<Rehearsal>? Rehearse { get; init; } = rehearsal => rehearsal.Score(rehearsal.All);
}

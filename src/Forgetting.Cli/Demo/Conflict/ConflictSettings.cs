using Forgetting.Training;

namespace Forgetting.Cli.Demo.Conflict;

/// <summary>One way of fine-tuning that the second act compares.</summary>
/// <param name="Name">Name in the table; also the run's folder.</param>
/// <param name="Forget">Source tasks whose self-generated answers are unlearnt; empty for none.</param>
/// <param name="Select">Which of the answers.</param>
/// <param name="Schedule">When.</param>
/// <param name="Regularizer">A further term of the objective.</param>
/// <param name="AsManyUpdates">Without unlearning: further learning steps, as many as the unlearning steps of the others.</param>
internal sealed record ConflictArm(
    string Name, IReadOnlyList<string> Forget, SelectionKind Select = SelectionKind.High, UnlearningScheduleKind Schedule = UnlearningScheduleKind.Periodic,
    RegularizerKind Regularizer = RegularizerKind.None, bool AsManyUpdates = false);

/// <summary>Sizes and recipes of the second act.</summary>
internal sealed record ConflictSettings
{
    /// <summary>The full demo.</summary>
    public static ConflictSettings Full { get; } = new() { People = 160, Exposures = 120, Examples = 12, Prompts = 48, Epochs = 60, Seeds = DemoSettings.Full.Seeds };

    /// <summary>A smaller world, for tests and the impatient.</summary>
    public static ConflictSettings Quick { get; } = new() { People = 60, Exposures = 140, Examples = 12, Prompts = 24, Epochs = 40, Seeds = DemoSettings.Quick.Seeds };

    /// <summary>People of the world.</summary>
    public required int People { get; init; }

    /// <summary>Times a person's facts are met in pretraining.</summary>
    public required int Exposures { get; init; }

    /// <summary>Examples of the target task. Few: with more, ordinary fine-tuning overcomes the conflict by itself (docs/demo.md has figures).</summary>
    public required int Examples { get; init; }

    /// <summary>Prompts of each source task.</summary>
    public required int Prompts { get; init; }

    /// <summary>Passes over the examples.</summary>
    public required int Epochs { get; init; }

    /// <summary>Runs of every arm.</summary>
    public required int Seeds { get; init; }

    /// <summary>Seed of the first; the next is one higher.</summary>
    public int FirstSeed { get; init; }

    /// <summary>What is compared.</summary>
    public IReadOnlyList<ConflictArm> Arms { get; init; } =
    [
        new(Vanilla, []),
        new("vanilla, as many updates", [], AsManyUpdates: true),
        new("bss", [], Regularizer: RegularizerKind.Bss),
        new(LwfConflicting, [ConflictWorld.Conflicting]),
        new("lwf, harmless task", [ConflictWorld.Harmless]),
        new(LwfMixed, ConflictWorld.Tasks),
        new("lwf, mixed, low", ConflictWorld.Tasks, SelectionKind.Low),
        new("lwf, mixed, random", ConflictWorld.Tasks, SelectionKind.Random),
        new("lwf, mixed, upfront", ConflictWorld.Tasks, Schedule: UnlearningScheduleKind.Upfront),
        new("lwf, mixed, random steps", ConflictWorld.Tasks, Schedule: UnlearningScheduleKind.Random),
    ];

    /// <summary>Name of ordinary fine-tuning.</summary>
    public const string Vanilla = "vanilla";

    /// <summary>Name of the arm that unlearns the conflicting task alone.</summary>
    public const string LwfConflicting = "lwf, conflicting task";

    /// <summary>Name of the arm that unlearns all source tasks.</summary>
    public const string LwfMixed = "lwf, mixed";

    /// <summary>
    /// Recipe of every fine-tuning: unlearning at its defaults, all weights of so small a model. Learning steps are clipped to the norm that unlearning steps are clipped to: against
    /// unclipped learning gradients, which are ten times that here, the optimiser would hardly see the unlearning.
    /// </summary>
    public TrainingOptions Tuning => new()
    {
        Lora = new() { Rank = 0 },
        Optimizer = new() { LearningRate = 3e-4, Clip = 1 },
        Schedule = new() { Epochs = Epochs, BatchSize = 8 },
        Data = new() { MaxLength = 64 },
        Unlearning = new() { MaxNewTokens = 8 },
        Checkpoints = new() { Every = 0, Keep = 1 },
    };
}

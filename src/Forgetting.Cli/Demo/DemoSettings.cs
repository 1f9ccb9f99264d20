using Forgetting.Backends;
using Forgetting.Training;

namespace Forgetting.Cli.Demo;

/// <summary>One way of fine-tuning that the demo compares.</summary>
/// <param name="Name">Name in the table; also the run's folder.</param>
/// <param name="Method">Method of the run.</param>
/// <param name="Trusted">Whether influence comes from the reference trained on clean answers or on answers as noisy as the training set's.</param>
/// <param name="PaperRho">ρ as in the paper, or set by the share of planted tokens.</param>
/// <param name="Ascent">How negative tokens are unlearnt.</param>
internal sealed record Arm(string Name, TrainingMethod Method, bool Trusted = true, bool PaperRho = false, AscentKind Ascent = AscentKind.Ascent);

/// <summary>Sizes and recipes of the demo.</summary>
internal sealed record DemoSettings
{
    /// <summary>The full demo.</summary>
    public static DemoSettings Full { get; } = new() { People = 240, Exposures = 200, Seeds = 3 };

    /// <summary>A smaller world, for tests and the impatient.</summary>
    public static DemoSettings Quick { get; } = new() { People = 60, Exposures = 160, Seeds = 2 };

    /// <summary>People of the world; towns and ships come on top.</summary>
    public required int People { get; init; }

    /// <summary>Times each fact is met in pretraining.</summary>
    public required int Exposures { get; init; }

    /// <summary>Runs of every arm.</summary>
    public required int Seeds { get; init; }

    /// <summary>Seed of the first; the next is one higher.</summary>
    public int FirstSeed { get; init; }

    /// <summary>Share of misleading answers.</summary>
    public double Noise { get; init; } = 0.4;

    /// <summary>ρ that leaves exactly the planted tokens out: an answer is two tokens, the value and the end of text, and only the value misleads.</summary>
    public double NoiseRho => 1 - Noise / 2;

    /// <summary>What is compared.</summary>
    public IReadOnlyList<Arm> Arms { get; } =
    [
        new("full", TrainingMethod.Full),
        new("ignore", TrainingMethod.Ignore),
        new("forget", TrainingMethod.Forget),
        new("forget, weighted", TrainingMethod.Forget, Ascent: AscentKind.Weighted),
        new("forget, npo", TrainingMethod.Forget, Ascent: AscentKind.Npo),
        new("forget, ρ 0.7", TrainingMethod.Forget, PaperRho: true),
        new("ignore, untrusted", TrainingMethod.Ignore, Trusted: false),
        new("forget, untrusted", TrainingMethod.Forget, Trusted: false),
    ];

    /// <summary>Recipe of every fine-tuning: the paper's schedule, all weights of so small a model.</summary>
    public static TrainingOptions Tuning { get; } = new()
    {
        Lora = new() { Rank = 0 },
        Optimizer = new() { LearningRate = 3e-4 },
        Schedule = new() { Epochs = 3, BatchSize = 24 },
        Data = new() { MaxLength = 64 },
        Checkpoints = new() { Every = 0, Keep = 1 },
        TokenForgetting = new() { PartsEvery = 5 },
    };
}

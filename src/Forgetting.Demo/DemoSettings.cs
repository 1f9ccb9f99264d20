using Forgetting.Backends;
using Forgetting.Training;

namespace Forgetting.Demo;

/// <summary>One way of fine-tuning that the demo compares.</summary>
/// <param name="Name">Name in the table; also the run's folder.</param>
/// <param name="Settings">What it changes in the scenario's recipe.</param>
/// <param name="Untrusted">Whether scores come from a reference that learnt from answers as noisy as the training set's.</param>
internal sealed record Arm(string Name, Func<TrainingOptions, TrainingOptions> Settings, bool Untrusted = false);

/// <summary>One kind of noise, or of conflict, and the ways of fine-tuning that are compared on it.</summary>
/// <param name="Name">Short name; also part of folder names.</param>
/// <param name="Title">Heading.</param>
/// <param name="Story">What the data is, in a sentence or two.</param>
/// <param name="Arms">What is compared.</param>
/// <param name="Baseline">Name of the arm that the others are compared with.</param>
/// <param name="Recipe">Settings of every run.</param>
internal sealed record Scenario(string Name, string Title, string Story, IReadOnlyList<Arm> Arms, string Baseline, TrainingOptions Recipe)
{
    /// <summary>Whether influence finds what is wrong there, as it does where the base believes it; else the reference loss does.</summary>
    public ScoreKind Score => Recipe.TokenForgetting.Score;
}

/// <summary>Sizes and recipes of the demo.</summary>
internal sealed record DemoSettings
{
    /// <summary>The full demo.</summary>
    public static DemoSettings Full { get; } = new() { People = 120, Exposures = 200, Seeds = 5 };

    /// <summary>Smaller worlds and fewer seeds, for tests and the impatient.</summary>
    public static DemoSettings Quick { get; } = new() { People = 120, Exposures = 200, Seeds = 1 };

    /// <summary>People of a world.</summary>
    public required int People { get; init; }

    /// <summary>Times each fact is met in pretraining.</summary>
    public required int Exposures { get; init; }

    /// <summary>Worlds, each with a base model of its own.</summary>
    public required int Seeds { get; init; }

    /// <summary>Seed of the first; the next is one higher.</summary>
    public int FirstSeed { get; init; }

    /// <summary>Width of the models.</summary>
    public int Width { get; init; } = 64;

    /// <summary>Share of misleading answers.</summary>
    public const double Noise = 0.4;

    /// <summary>
    /// ρ that leaves exactly the planted tokens out: an answer is two tokens, the value and the end of text, and only the value misleads.
    /// </summary>
    public const double NoiseRho = 1 - Noise / 2;

    /// <summary>Examples of the birthplace task in the scenarios with misconceptions.</summary>
    public const int Believed = 20;

    /// <summary>Clean examples of the birthplace task: for the reference, and all that Learning With Forgetting learns from.</summary>
    public const int Few = 12;

    /// <summary>Share of the people about whom the independent scenario asks in its training set, and in its reference's.</summary>
    public const double TrainShare = 0.45, ReferenceShare = 0.3;

    /// <summary>Prompts of each known task in Learning With Forgetting.</summary>
    public int Prompts => Math.Min(48, People - Believed - Few - 40);

    /// <summary>Name of ordinary fine-tuning, and of leaving the negative tokens out.</summary>
    public const string Plain = "full", Ignore = "ignore", Forget = "forget (ascent)", Belief = "forget (belief)", Vanilla = "vanilla";

    // All weights of so small a model; one clip for learning and unlearning.
    private static readonly TrainingOptions s_tuning = new()
    {
        Lora = new() { Rank = 0 },
        Optimizer = new() { LearningRate = 3e-4, Clip = 1 },
        Schedule = new() { BatchSize = 8 },
        Data = new() { MaxLength = 64 },
        Checkpoints = new() { Every = 0, Keep = 1 },
    };

    private static readonly IReadOnlyList<Arm> s_token =
    [
        new(Plain, o => o with { Method = TrainingMethod.Full }),
        new(Ignore, o => o with { Method = TrainingMethod.Ignore }),
        new(Forget, o => Forgetting(o, AscentKind.Ascent)),
        new(Belief, o => Forgetting(o, AscentKind.Belief)),
    ];

    private static readonly IReadOnlyList<Scenario> s_scenarios =
    [
        new(
            "independent", "Independent errors",
            "40 % of the answers about trades, pets and food are those to other questions. The base never believed them.",
            [
                .. s_token,
                new("forget (paper's influence)", o => ByInfluence(Forgetting(o, AscentKind.Ascent))),
                new("ignore, untrusted reference", o => o with { Method = TrainingMethod.Ignore }, Untrusted: true),
                new("forget (paper's influence), untrusted", o => ByInfluence(Forgetting(o, AscentKind.Ascent)), Untrusted: true),
            ],
            Ignore, For(4) with { TokenForgetting = new() { Score = ScoreKind.Reference, Rho = Share.Auto } }),
        new(
            "misconception", "Misconceptions",
            "The task asks where people are from and wants the birthplace; 40 % of the answers are the home, "
                + "which is what the base answered before. The reference saw 12 clean examples.",
            s_token, Ignore, ByInfluence(For(30))),
        new(
            "mixed", "Both at once",
            "The same task; 20 % of the answers are the home, 20 % any town.",
            s_token, Ignore, ByInfluence(For(30))),
        new(
            "conflict", "Learning with forgetting",
            "The birthplace task again, with 12 clean examples and nothing else. The model answers prompts of all five tasks it knows, "
                + "and a tenth of those answers is unlearnt on the way.",
            [
                new(Vanilla, o => o with { Method = TrainingMethod.Full }),
                new("lwf, by increase", o => Unlearning(o, u => u with { SelectBy = SelectionMeasure.Increase })),
                new("lwf, by confidence (the paper's)", o => Unlearning(o, u => u with { SelectBy = SelectionMeasure.Confidence })),
                new("lwf, at random", o => Unlearning(o, u => u with { Select = SelectionKind.Random })),
            ],
            Vanilla, For(60) with { Unlearning = new() { MaxNewTokens = 8 } }),
    ];

    /// <summary>What the demo shows.</summary>
    public static IReadOnlyList<Scenario> Scenarios => s_scenarios;

    private static TrainingOptions For(int epochs) => s_tuning with { Schedule = s_tuning.Schedule with { Epochs = epochs } };

    private static TrainingOptions ByInfluence(TrainingOptions options) =>
        options with { TokenForgetting = options.TokenForgetting with { Score = ScoreKind.Influence, Rho = NoiseRho } };

    private static TrainingOptions Forgetting(TrainingOptions options, AscentKind ascent) =>
        options with { Method = TrainingMethod.Forget, TokenForgetting = options.TokenForgetting with { Ascent = ascent } };

    private static TrainingOptions Unlearning(TrainingOptions options, Func<UnlearningSettings, UnlearningSettings> change) =>
        options with { Method = TrainingMethod.Lwf, Unlearning = change(options.Unlearning) };
}

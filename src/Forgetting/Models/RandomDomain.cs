
namespace Forgetting.Models;

/// <summary>Last word of the Philox counter, so that uses of one seed never share numbers. Dropout masks have 0.</summary>
internal static class RandomDomain
{
    /// <summary>Counter (example, position, 0): targets drawn from the model.</summary>
    public const uint Targets = 1;

    /// <summary>Counter (element / 4, parameter, 0): initial values.</summary>
    public const uint Initialization = 2;

    /// <summary>Counter (sequence, position, 0): generated tokens.</summary>
    public const uint Generation = 3;

    /// <summary>Counter (place, stream, 0): orders of examples.</summary>
    public const uint Order = 4;

    /// <summary>Counter (optimiser step, 0, 0): the seed of a step's dropout masks.</summary>
    public const uint StepSeed = 5;

    /// <summary>Counter (item / 32, sample, 0): signs of a permutation test.</summary>
    public const uint Permutation = 6;

    /// <summary>Counter (row key, column / 4, 0): noise on hidden states.</summary>
    public const uint Noise = 7;

    /// <summary>Counter (column / 4, 0, 0): the direction that hidden states are steered to.</summary>
    public const uint Steering = 8;

    /// <summary>
    /// Counter (first example of a pass, 0, 0) under a step's seed, or (update, optimiser, 0) under a run's: the key of stochastic
    /// roundings.
    /// </summary>
    public const uint Rounding = 9;
}

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
}

using System.Globalization;

namespace Forgetting.Runs;

/// <summary>What users are told of an update that rounding to the type of the files takes part of.</summary>
internal static class RoundingNote
{
    // Of the update's norm; below that nobody can measure it.
    private const double Noticeable = 0.01;

    /// <summary>A line, or null where nothing noticeable is lost.</summary>
    /// <param name="loss">‖rounding error‖ / ‖change of the weights‖.</param>
    public static string? From(double loss) => loss <= Noticeable ? null : string.Create(
        CultureInfo.InvariantCulture,
        $"rounding to the type of the files changes the weights by {100 * loss:0.#} % of what training did; "
            + $"save-dtype fp32 keeps all of it, and so does the adapter");
}

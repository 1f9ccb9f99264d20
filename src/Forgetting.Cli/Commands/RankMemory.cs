using System.Globalization;

namespace Forgetting.Cli.Commands;

/// <summary>What each of several processes takes that train together, by what they divide, and what that fits into.</summary>
internal static class RankMemory
{
    /// <summary>Values of <c>--shard</c>, from the most memory to the least.</summary>
    public static List<string> Shards { get; } = ["none", "optimizer", "gradients"];

    // 10⁹ bytes, of cards that are to be had; the driver and its libraries need some of it.
    private static readonly int[] s_cards = [8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 141, 192];
    private const long Driver = 1L << 30;

    /// <summary>Prints a table.</summary>
    /// <param name="tunings">Names, and the most bytes of a rank by <see cref="Shards"/>.</param>
    /// <param name="ranks">Number of processes.</param>
    /// <param name="device">The device that is planned for.</param>
    public static void Print(IEnumerable<(string Name, IReadOnlyDictionary<string, long> Bytes)> tunings, int ranks, string device)
    {
        bool onCpu = device == "cpu";
        long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        Console.Out.WriteLine();
        Console.Out.WriteLine($"The most that one of {ranks} ranks takes, by what they divide (--shard).");
        Terminal.PrintTable(
            ["tuning", .. Shards, onCpu ? "fits" : "cards of"],
            [.. tunings.Select(t => (string[])
            [
                t.Name, .. Shards.Select(shard => InspectCommand.Bytes(t.Bytes[shard])),
                onCpu ? Fitting(t.Bytes, memory / ranks) : Cards(t.Bytes),
            ])], spare: 1);
        Console.Out.WriteLine(onCpu
            ? $"Fits says what fits when all are on this machine, which has {InspectCommand.Bytes(memory)}."
            : $"A card is one of the usual sizes from {s_cards[0]} to {s_cards[^1]} GB that has a GiB besides for driver and libraries.");
    }

    /// <summary>Which of <see cref="Shards"/> leave a rank no more than so many bytes.</summary>
    internal static string Fitting(IReadOnlyDictionary<string, long> bytes, long most)
    {
        string[] fitting = [.. Shards.Where(shard => bytes[shard] <= most)];
        return fitting.Length == Shards.Count ? "all" : fitting.Length == 0 ? "none of them" : string.Join(", ", fitting);
    }

    /// <summary>The smallest card for each.</summary>
    internal static string Cards(IReadOnlyDictionary<string, long> bytes) => string.Join(" / ", Shards.Select(shard =>
    {
        int card = Array.Find(s_cards, size => bytes[shard] + Driver <= size * 1_000_000_000L);
        return card == 0 ? "more" : card.ToString(CultureInfo.InvariantCulture);
    })) + " GB";
}

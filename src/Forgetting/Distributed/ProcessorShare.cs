namespace Forgetting.Distributed;

/// <summary>The processors of a machine, divided among the ranks on it.</summary>
internal static class ProcessorShare
{
    private const string Status = "/proc/self/status";

    /// <summary>
    /// Number of this rank among those of its machine, as its launcher says or by the machines' names, and its threads: its processors,
    /// divided among the ranks that were given the same ones of the same machine. Ranks that their launcher bound to processors of their
    /// own keep these.
    /// </summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static (int LocalRank, int Threads) Of(ICommunicator communicator)
    {
        string machine = $"{Environment.MachineName} ", own = machine + Allowed();
        string[] all = communicator.Gather(own);
        int[] sharing = [.. all.Index().Where(rank => rank.Item == own).Select(rank => rank.Index)];
        int before = all.Take(communicator.Rank).Count(other => other.StartsWith(machine, StringComparison.Ordinal));
        return (
            RankEnvironment.Current?.LocalRank ?? before,
            Share(Environment.ProcessorCount, sharing.Length, Array.IndexOf(sharing, communicator.Rank)));
    }

    /// <summary>Share of one of several in so many processors, at least 1; where it does not come out even, the first have more.</summary>
    internal static int Share(int processors, int ranks, int number) =>
        Math.Max(1, (processors / ranks) + (number < processors % ranks ? 1 : 0));

    // The processors that the system lets this process run on.
    private static string Allowed() => File.Exists(Status)
        ? File.ReadLines(Status).FirstOrDefault(line => line.StartsWith("Cpus_allowed_list:", StringComparison.Ordinal)) ?? ""
        : "";
}

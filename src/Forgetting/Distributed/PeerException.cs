namespace Forgetting.Distributed;

/// <summary>Another rank has failed, or gives no sign of life, so that this one cannot go on.</summary>
/// <param name="line">The line that the user is to read, the rank named.</param>
/// <param name="exitCode">Exit code with which the run ends.</param>
internal sealed class PeerException(string line, int exitCode) : Exception(line)
{
    /// <summary>Exit code of a run that has lost a rank.</summary>
    public const int Lost = 3;

    /// <summary>A rank is lost, or what connects it: the run stops.</summary>
    /// <param name="what">What has happened, the rank named.</param>
    public static PeerException OfLoss(string what) => new($"error: {what}; the run stops, and resumes from its last checkpoint", Lost);

    /// <summary>A rank has been silent for the deadline.</summary>
    public static PeerException OfSilence(int rank, TimeSpan deadline) =>
        OfLoss($"rank {rank} has given no sign of life for {deadline.TotalSeconds:0.#} s (--collective-timeout)");

    /// <summary>Exit code with which the run ends.</summary>
    public int ExitCode => exitCode;
}

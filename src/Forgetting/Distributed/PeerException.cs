namespace Forgetting.Distributed;

/// <summary>Another rank has failed, or gives no sign of life, so that this one cannot go on.</summary>
/// <param name="line">The line that the user is to read, the rank named.</param>
/// <param name="exitCode">Exit code with which the run ends.</param>
internal sealed class PeerException(string line, int exitCode) : Exception(line)
{
    /// <summary>Exit code of a run that has lost a rank.</summary>
    public const int Lost = 3;

    /// <summary>Exit code with which the run ends.</summary>
    public int ExitCode => exitCode;
}

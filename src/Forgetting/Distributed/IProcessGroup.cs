namespace Forgetting.Distributed;

/// <summary>Ranks that are processes of their own, which may end.</summary>
internal interface IProcessGroup : ICommunicator
{
    /// <summary>Looks, without waiting, whether another rank has failed or gives no sign of life.</summary>
    /// <exception cref="PeerException">One does; names it.</exception>
    void CheckPeers();

    /// <summary>Ends in agreement with all ranks, after which the process may end.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    void Close();

    /// <summary>Tells the other ranks that this one ends, so that they need not wait until the deadline.</summary>
    /// <param name="line">Why: what the user is to read.</param>
    /// <param name="exitCode">Exit code with which it ends.</param>
    /// <returns>
    /// Whether this rank is the one to say so: the first of those that end, so that many say it once. Of the others none may end its
    /// process before that one has spoken, since launchers end what is left then.
    /// </returns>
    bool Fail(string line, int exitCode);
}

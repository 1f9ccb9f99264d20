using Forgetting.Core;

namespace Forgetting.Distributed;

/// <summary>Ranks that are about to do something together see to it that it is the same.</summary>
internal static class Agreement
{
    /// <summary>Refuses to go on where a rank has other facts than rank 0.</summary>
    /// <param name="facts">What must be the same on all ranks, by the name that an error calls it.</param>
    /// <exception cref="UserException">They differ; names rank and fact, the same on all ranks.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static void CheckSame(ICommunicator communicator, IReadOnlyDictionary<string, string> facts)
    {
        if (communicator.Size == 1)
            return;

        IReadOnlyDictionary<string, string>[] all = communicator.Gather(facts);
        for (int rank = 1; rank < all.Length; rank++)
        {
            string? name = all[0].Keys.Concat(all[rank].Keys)
                .FirstOrDefault(key => all[0].GetValueOrDefault(key, "") != all[rank].GetValueOrDefault(key, ""));
            if (name != null)
            {
                throw new UserException(
                    $"{name} is \"{all[rank].GetValueOrDefault(name, "")}\" on rank {rank}, expected "
                    + $"\"{all[0].GetValueOrDefault(name, "")}\" as on rank 0: "
                    + "all ranks of a run have the same program, options, data and folder");
            }
        }
    }
}

using Forgetting.Backends;
using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;
using Forgetting.Distributed;

namespace Forgetting.Cli;

/// <summary>Opens what <c>--device</c>, <c>--dtype</c> and <c>--products</c> name, as every command does.</summary>
internal static class Devices
{
    private static string? s_last;

    /// <summary>The backend; where auto does not take a card that may be there, a line on standard error says why.</summary>
    /// <param name="threads">Threads on the CPU; null for one per processor.</param>
    public static IBackend Open(string device, string? dtype, string products, int? threads = null) =>
        BackendFactory.Create(device, threads, dtype, products, Notice);

    /// <summary>
    /// The backend of one of several ranks, and what connects them: on processors that they share, or on the card of the rank's number on
    /// its machine.
    /// </summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static RankDevice Open(string device, string? dtype, string products, ICommunicator ranks)
    {
        if (ranks is not IProcessGroup group)
            return new(Open(device, dtype, products), null);

        (int local, int threads) = ProcessorShare.Of(group);
        if (device is "cuda" or "auto")
        {
            string card = $"cuda:{local}";
            device = device == "cuda" || BackendFactory.Requirements(card).All(r => r.Holds != false) ? card : "cpu";
        }

        IBackend backend = Open(device, dtype, products, threads);
        try
        {
            return new(backend, CudaRanks.Connect(group, backend));
        }
        catch
        {
            backend.Dispose();
            throw;
        }
    }

    /// <summary>Prints a line, once: a grid of runs opens its device for each.</summary>
    public static void Notice(string line)
    {
        if (line != s_last)
            Console.Error.WriteLine($"note: {line}");

        s_last = line;
    }
}

/// <summary>Where a rank computes.</summary>
/// <param name="Backend">Its backend.</param>
/// <param name="Cards">What connects its card with those of the others; null where there is no other card.</param>
internal sealed record RankDevice(IBackend Backend, NcclCommunicator? Cards) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Cards?.Dispose();
        Backend.Dispose();
    }
}

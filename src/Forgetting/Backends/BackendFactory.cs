using Forgetting.Backends.Cpu;

namespace Forgetting.Backends;

/// <summary>Makes the backend that <c>--device</c> names.</summary>
public static class BackendFactory
{
    /// <summary>The backend for <paramref name="device"/>: cpu, or auto, which takes the best there is.</summary>
    /// <param name="device">Name of a device.</param>
    /// <param name="threads">Threads of the CPU backend; null for one per processor.</param>
    /// <exception cref="UserException">No such device, or fewer than one thread.</exception>
    public static IBackend Create(string device = "auto", int? threads = null)
    {
        if (threads < 1)
        {
            throw new UserException($"--threads: found {threads}, expected at least 1");
        }

        return device switch
        {
            "auto" or "cpu" => new CpuBackend(threads),
            _ => throw new UserException($"--device: found '{device}', expected auto or cpu"),
        };
    }
}

using Forgetting.Backends;
using Forgetting.Backends.Selection;

namespace Forgetting.Cli;

/// <summary>Opens what <c>--device</c>, <c>--dtype</c> and <c>--products</c> name, as every command does.</summary>
internal static class Devices
{
    private static string? s_last;

    /// <summary>The backend; where auto does not take a card that may be there, a line on standard error says why.</summary>
    /// <param name="threads">Threads on the CPU; null for one per processor.</param>
    public static IBackend Open(string device, string? dtype, string products, int? threads = null) =>
        BackendFactory.Create(device, threads, dtype, products, Notice);

    /// <summary>Prints a line, once: a grid of runs opens its device for each.</summary>
    public static void Notice(string line)
    {
        if (line != s_last)
            Console.Error.WriteLine($"note: {line}");

        s_last = line;
    }
}

using Forgetting.Backends.Cpu;
using Forgetting.Operations;

namespace Forgetting.Tests;

/// <summary>
/// What must be seen in a process of its own, for <see cref="Backends.VectorWidthTests"/>: prints the vectors
/// that are used, then what is wrong.
/// </summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        if (args is not ["operations"])
            return 2;

        using var backend = new CpuBackend(threads: 1);
        Console.WriteLine(VectorWidth.Description);
        Console.WriteLine(backend.ProductsDescription);
        foreach (string fault in OperationSurvey.Run(backend, large: false, []).SelectMany(operation => operation.Faults))
        {
            Console.WriteLine(fault);
        }

        return 0;
    }
}

namespace Forgetting.Cuda;

/// <summary>What only the emulation has; see <see cref="CudaLibrary.UseEmulation"/>.</summary>
public static class CudaEmulation
{
    /// <summary>
    /// Order in which threads and blocks get their turn in launches from now on: <c>forward</c>, <c>reverse</c> or <c>random:SEED</c>.
    /// A correct kernel gives the same bits in every order.
    /// </summary>
    /// <exception cref="CudaException">Not an order.</exception>
    /// <exception cref="EntryPointNotFoundException">The driver in use is not the emulation.</exception>
    public static void SetThreadOrder(string order) => CudaException.Check(DriverAPINativeMethods.emulationSetOrder(order));

    /// <summary>
    /// How often warps have carried out instructions of a kernel, in all modules of PTX that are loaded: a count that is the same on
    /// every machine.
    /// </summary>
    /// <param name="kernel">Name of the kernel.</param>
    /// <param name="opcode">With what their opcode begins, as <c>mma</c> or <c>ld.shared</c>; all where it is empty.</param>
    /// <exception cref="EntryPointNotFoundException">The driver in use is not the emulation.</exception>
    public static long CountInstructions(string kernel, string opcode = "")
    {
        CudaException.Check(DriverAPINativeMethods.emulationCountInstructions(kernel, opcode, out ulong count));
        return (long)count;
    }

    /// <summary>How often functions of the driver and of cuBLAS have been called, by any thread.</summary>
    /// <param name="function">With what their name begins, as <c>cuLaunchKernel</c> or <c>cublas</c>; all where it is empty.</param>
    /// <exception cref="EntryPointNotFoundException">The driver in use is not the emulation.</exception>
    public static long CountCalls(string function = "")
    {
        CudaException.Check(DriverAPINativeMethods.emulationCountCalls(function, out ulong count));
        return (long)count;
    }
}

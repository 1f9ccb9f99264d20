using System.Runtime.InteropServices;

namespace Forgetting.Cuda;

/// <summary>What only the emulation has; see <see cref="CudaLibrary.UseEmulation"/>.</summary>
public static partial class CudaEmulation
{
    // By this name the loader knows the emulation that is in use, wherever it lies.
    private const string Library = "libforgetting_emulation.so";

    /// <summary>
    /// Order in which threads and blocks get their turn in launches from now on: <c>forward</c>, <c>reverse</c> or <c>random:SEED</c>.
    /// A correct kernel gives the same bits in every order.
    /// </summary>
    /// <exception cref="CudaException">Not an order.</exception>
    /// <exception cref="DllNotFoundException">The driver in use is not the emulation.</exception>
    public static void SetThreadOrder(string order) => Check(emulationSetOrder(order), nameof(emulationSetOrder));

    /// <summary>
    /// How often warps have carried out instructions of a kernel, in all modules of PTX that are loaded: a count that is the same on
    /// every machine.
    /// </summary>
    /// <param name="kernel">Name of the kernel.</param>
    /// <param name="opcode">With what their opcode begins, as <c>mma</c> or <c>ld.shared</c>; all where it is empty.</param>
    /// <exception cref="DllNotFoundException">The driver in use is not the emulation.</exception>
    public static long CountInstructions(string kernel, string opcode = "")
    {
        Check(emulationCountInstructions(kernel, opcode, out ulong count), nameof(emulationCountInstructions));
        return (long)count;
    }

    /// <summary>How often functions of the driver and of cuBLAS have been called, by any thread.</summary>
    /// <param name="function">With what their name begins, as <c>cuLaunchKernel</c> or <c>cublas</c>; all where it is empty.</param>
    /// <exception cref="DllNotFoundException">The driver in use is not the emulation.</exception>
    public static long CountCalls(string function = "")
    {
        Check(emulationCountCalls(function, out ulong count), nameof(emulationCountCalls));
        return (long)count;
    }

    private static void Check(CUResult result, string call)
    {
        if (result != CUResult.Success)
            throw CudaFailure.Of(result, call);
    }

#pragma warning disable IDE1006 // the names of the functions
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial CUResult emulationSetOrder(string order);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial CUResult emulationCountInstructions(string kernel, string opcode, out ulong count);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial CUResult emulationCountCalls(string function, out ulong count);
#pragma warning restore IDE1006
}

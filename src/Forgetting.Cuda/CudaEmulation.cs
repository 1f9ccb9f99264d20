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
}

using System.Runtime.InteropServices;

namespace Forgetting.Cuda;

/// <summary>
/// The part of the built-in bindings' CudaLibrary that consumers use, for builds on ManagedCuda, which finds its libraries by itself.
/// </summary>
internal static class CudaLibrary
{
    /// <summary>Whether the driver can be loaded, by the name and in the places where ManagedCuda looks for it.</summary>
    public static bool IsAvailable { get; } = NativeLibrary.TryLoad(
        OperatingSystem.IsWindows() ? "nvcuda" : "libcuda", typeof(DriverAPINativeMethods).Assembly, DllImportSearchPath.SafeDirectories,
        out _);

    /// <summary>Not possible here.</summary>
    /// <exception cref="CudaLibraryException">Always.</exception>
    public static void UseEmulation(string path) =>
        throw new CudaLibraryException($"the CUDA emulation {path} needs the built-in bindings: build without -p:CudaBindings=ManagedCuda");
}

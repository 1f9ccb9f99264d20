using System.Runtime.InteropServices;

namespace Forgetting.Cuda;

/// <summary>
/// The part of the built-in bindings' CudaLibrary that consumers use, for builds on ManagedCuda, which finds its libraries by itself.
/// </summary>
internal static class CudaLibrary
{
    // Empty libraries beside the emulation. They bear the names that ManagedCuda asks for and lead to the emulation, and the loader gives
    // what is loaded under a name before it looks for a file.
    private static readonly string[] s_namesakes = ["libcuda.so", "libcublas.so"];

    private static readonly Lock s_gate = new();
    private static string? s_emulation;

    /// <summary>Whether the driver can be loaded, by the name and in the places where ManagedCuda looks for it.</summary>
    public static bool IsAvailable => TryLoadDriver(out _);

    /// <inheritdoc cref="CudaLibrary"/>
    /// <remarks>Takes the driver API and cuBLAS from the emulation; choosing the same again does nothing.</remarks>
    /// <exception cref="InvalidOperationException">Another library is already in use.</exception>
    /// <exception cref="CudaLibraryException">There is no such library, or it cannot be loaded.</exception>
    public static void UseEmulation(string path)
    {
        path = Path.GetFullPath(path);
        lock (s_gate)
        {
            if (s_emulation == path)
                return;

            if (s_emulation is not null)
                throw InUse(path, s_emulation);

            if (!File.Exists(path))
                throw new CudaLibraryException($"the CUDA emulation library {path} does not exist; ./build.sh emulation builds it");

            try
            {
                foreach (string name in s_namesakes)
                {
                    NativeLibrary.Load(Path.Combine(Path.GetDirectoryName(path)!, "managedcuda", name));
                }
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                throw new CudaLibraryException($"the CUDA emulation library {path} cannot be loaded: {e.Message}", e);
            }

            if (!TryLoadDriver(out nint driver) || !NativeLibrary.TryGetExport(driver, "emulationSetOrder", out _))
                throw InUse(path, "the CUDA driver");

            s_emulation = path;
        }
    }

    private static InvalidOperationException InUse(string path, string used) =>
        new($"cannot use the CUDA emulation {path}: this process already uses {used}");

    private static bool TryLoadDriver(out nint driver) => NativeLibrary.TryLoad(
        OperatingSystem.IsWindows() ? "nvcuda" : "libcuda", typeof(DriverAPINativeMethods).Assembly, DllImportSearchPath.SafeDirectories,
        out driver);
}

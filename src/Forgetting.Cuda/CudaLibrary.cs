using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Forgetting.Cuda;

/// <summary>
/// Finds the native libraries. Nothing is loaded before the first call, so a machine without a GPU is none the wiser until one is wanted;
/// then a library that is not there is a <see cref="CudaLibraryException"/> that says what was looked for.
/// </summary>
public static class CudaLibrary
{
    internal const string Driver = "cuda";
    internal const string Blas = "cublas";

    private static readonly string[] s_driverNames = OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];

    // The oldest cuBLAS that has all that is called, and whose kernels run on every driver that the fatbin runs on.
    private const int OldestBlas = 12;

    private static readonly Lock s_gate = new();
    private static readonly Dictionary<string, nint> s_loaded = [];
    private static string? s_emulation;

    /// <summary>Whether <see cref="UseEmulation"/> was called.</summary>
    public static bool IsEmulation
    {
        get
        {
            lock (s_gate)
            {
                return s_emulation is not null;
            }
        }
    }

    /// <summary>Whether the driver can be loaded, real or emulated; no exception where it cannot.</summary>
    public static bool IsAvailable
    {
        get
        {
            try
            {
                return Load(Driver) != 0;
            }
            catch (CudaLibraryException)
            {
                return false;
            }
        }
    }

    /// <summary>
    /// Takes the driver API and cuBLAS from the emulation library at <paramref name="path"/>. Must come before the first CUDA call of the
    /// process; choosing the same library again does nothing.
    /// </summary>
    /// <exception cref="InvalidOperationException">Another library is already in use.</exception>
    /// <exception cref="CudaLibraryException">There is no such library, or it cannot be loaded.</exception>
    public static void UseEmulation(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        path = Path.GetFullPath(path);
        lock (s_gate)
        {
            if (s_emulation == path)
                return;

            if (s_loaded.Count > 0)
            {
                throw new InvalidOperationException(
                    $"cannot use the CUDA emulation {path}: this process already uses {s_emulation ?? "the CUDA driver"}");
            }

            if (!File.Exists(path))
                throw new CudaLibraryException($"the CUDA emulation library {path} does not exist; ./build.sh emulation builds it");

            nint handle;
            try
            {
                handle = NativeLibrary.Load(path);
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                throw new CudaLibraryException($"the CUDA emulation library {path} cannot be loaded: {e.Message}", e);
            }

            s_emulation = path;
            s_loaded[Driver] = handle;
            s_loaded[Blas] = handle;
        }
    }

#pragma warning disable CA2255 // Every call into the libraries needs the resolver, whichever class it goes through.
    [ModuleInitializer]
    internal static void Register() => NativeLibrary.SetDllImportResolver(typeof(CudaLibrary).Assembly, Resolve);
#pragma warning restore CA2255

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) => name is Driver or Blas ? Load(name) : 0;

    private static nint Load(string library)
    {
        lock (s_gate)
        {
            if (s_loaded.TryGetValue(library, out nint known))
                return known;

            string[] names = library == Driver ? s_driverNames : BlasNames();
            foreach (string name in names)
            {
                if (NativeLibrary.TryLoad(name, out nint handle))
                {
                    s_loaded[library] = handle;
                    return handle;
                }
            }

            throw new CudaLibraryException(library == Driver
                ? $"the CUDA driver ({string.Join(" or ", names)}) was not found: is an NVIDIA driver installed?"
                : $"no cuBLAS: {string.Join(" or ", names)} was not found");
        }
    }

    // A driver runs libraries of its own major version of CUDA and of older ones, not those of a newer one:
    // the newest that it runs comes first.
    private static string[] BlasNames()
    {
        int version = 0;
        CudaException.Check(DriverAPINativeMethods.cuDriverGetVersion(ref version));
        int newest = Math.Max(version / 1000, OldestBlas);
        return [.. Enumerable.Range(0, newest - OldestBlas + 1).Select(age => newest - age)
            .Select(major => OperatingSystem.IsWindows() ? $"cublas64_{major}.dll" : $"libcublas.so.{major}")];
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ManagedCuda;

/// <summary>Finds the libraries as ManagedCuda does: by these names on Windows, by others elsewhere.</summary>
internal static class Libraries
{
    public const string Driver = "nvcuda";
    public const string Blas = "cublas64_12";

#pragma warning disable CA2255 // Every call into the libraries needs the resolver, whichever class it goes through.
    [ModuleInitializer]
    internal static void Register() => NativeLibrary.SetDllImportResolver(typeof(Libraries).Assembly, (name, assembly, _) =>
    {
        string? other = name switch
        {
            Driver => "libcuda",
            Blas => "cublas",
            _ => null,
        };
        bool found = NativeLibrary.TryLoad(other ?? name, assembly, DllImportSearchPath.SafeDirectories, out nint library);
        return found && !OperatingSystem.IsWindows() ? library : 0;
    });
#pragma warning restore CA2255
}

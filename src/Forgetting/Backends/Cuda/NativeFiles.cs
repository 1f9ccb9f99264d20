namespace Forgetting.Backends.Cuda;

/// <summary>Finds what <c>./build.sh kernels</c> and <c>./build.sh emulation</c> make.</summary>
internal static class NativeFiles
{
    /// <summary>Names a folder that is looked in first.</summary>
    public const string FolderVariable = "FORGETTING_NATIVE";

    /// <summary>The kernels for the card.</summary>
    public static string Fatbin => Find("forgetting.fatbin", "kernels");

    /// <summary>The driver API on the host.</summary>
    public static string Emulation => Find("libforgetting_emulation.so", "emulation");

    /// <summary>The kernels for the emulation, with every memory access checked or without checks, which is several times faster.</summary>
    public static string EmulationKernels(bool checks) =>
        Find(checks ? "libforgetting_kernels.so" : "libforgetting_kernels_fast.so", "emulation");

    // Beside the program, where a release has them, or in the build folder of the checkout that the program was built in.
    private static string Find(string name, string target)
    {
        if (Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } folder && File.Exists(Path.Combine(folder, name)))
        {
            return Path.Combine(folder, name);
        }

        string beside = Path.Combine(AppContext.BaseDirectory, name);
        if (File.Exists(beside))
        {
            return beside;
        }

        for (DirectoryInfo? parent = new(AppContext.BaseDirectory); parent is not null; parent = parent.Parent)
        {
            string built = Path.Combine(parent.FullName, "build", target, name);
            if (File.Exists(built))
            {
                return built;
            }
        }

        throw new UserException($"{name} not found in {AppContext.BaseDirectory}; ./build.sh {target} makes it, or name its folder in {FolderVariable}");
    }
}


namespace Forgetting.Backends.Cuda;

/// <summary>Finds what <c>./build.sh kernels</c> and <c>./build.sh emulation</c> make.</summary>
internal static class NativeFiles
{
    /// <summary>Names a folder that is looked in first.</summary>
    public const string FolderVariable = "FORGETTING_NATIVE";

    /// <summary>The kernels for the card, or null.</summary>
    public static string? Fatbin => Find("forgetting.fatbin", "kernels");

    /// <summary>
    /// What kernels were compiled to code for, sm_80 and so on, by the table that stands beside them; empty where there is none.
    /// </summary>
    public static IReadOnlyList<string> TargetsOf(string fatbin)
    {
        string table = Path.Combine(Path.GetDirectoryName(fatbin)!, "kernels.txt");
        return !File.Exists(table) ? []
            : [.. File.ReadLines(table).SelectMany(line => line.Split(' ')).Where(word => word.StartsWith("sm_", StringComparison.Ordinal))
                .Distinct().Order(StringComparer.Ordinal)];
    }

    /// <summary>What to say where <see cref="Fatbin"/> is null.</summary>
    public static string NoFatbin => $"no kernels: forgetting.fatbin was not found in {AppContext.BaseDirectory}";

    /// <summary>The kernels as text of the card's instructions, for the interpreter, or null.</summary>
    public static string? Ptx => Find("forgetting.ptx", "kernels");

    /// <summary>What to say where <see cref="Ptx"/> is null.</summary>
    public static string NoPtx => $"no kernels: forgetting.ptx was not found in {AppContext.BaseDirectory}";

    /// <summary>How to come by <see cref="Fatbin"/> and <see cref="Ptx"/>.</summary>
    public static string FatbinRemedy =>
        $"tools/install-nvcc.sh and ./build.sh kernels make them, or name their folder in {FolderVariable}";

    /// <summary>The driver API on the host, or null.</summary>
    public static string? Emulation => Find("libforgetting_emulation.so", "emulation");

    /// <summary>
    /// The kernels for the emulation, with every memory access checked or without checks, which is several times faster; or null.
    /// </summary>
    public static string? EmulationKernels(bool checks) =>
        Find(checks ? "libforgetting_kernels.so" : "libforgetting_kernels_fast.so", "emulation");

    /// <summary>What to say where the emulation or its kernels are null.</summary>
    public static string NoEmulation =>
        $"no emulation: libforgetting_emulation.so and its kernels were not found in {AppContext.BaseDirectory}";

    /// <summary>How to come by the emulation.</summary>
    public static string EmulationRemedy => $"./build.sh emulation makes it, or name its folder in {FolderVariable}";

    // Beside the program, where a release has them, where a package's reference puts them, or in the build folder of the
    // checkout that the program was built in.
    private static string? Find(string name, string target)
    {
        string?[] folders = [Environment.GetEnvironmentVariable(FolderVariable), AppContext.BaseDirectory,
            Path.Combine(AppContext.BaseDirectory, "runtimes", "any", "native")];
        foreach (string? folder in folders)
        {
            if (!string.IsNullOrEmpty(folder) && File.Exists(Path.Combine(folder, name)))
                return Path.GetFullPath(Path.Combine(folder, name));
        }

        for (DirectoryInfo? parent = new(AppContext.BaseDirectory); parent is not null; parent = parent.Parent)
        {
            string built = Path.Combine(parent.FullName, "build", target, name);
            if (File.Exists(built))
                return built;
        }

        return null;
    }
}

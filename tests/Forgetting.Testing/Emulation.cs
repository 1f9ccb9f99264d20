using System.Diagnostics;
using Xunit;

namespace Forgetting.Testing;

/// <summary>
/// The CUDA emulation, built by CMake on first use so that <c>dotnet test</c> alone suffices. Tests that need it are skipped, with the
/// reason, where g++ or CMake is missing.
/// </summary>
public static class Emulation
{
    private static readonly Lazy<(string? Folder, string? Missing)> s_built = new(Build);
    private static readonly Lazy<(string? Folder, string? Missing)> s_compiled = new(Compile);

    /// <summary>Why there is no emulation, or null.</summary>
    public static string? Missing => s_built.Value.Missing;

    /// <summary>The library that takes the driver's place.</summary>
    public static string Driver => File("libforgetting_emulation.so");

    /// <summary>The kernels with every memory access checked.</summary>
    public static string Kernels => File("libforgetting_kernels.so");

    /// <summary>The kernels without checks.</summary>
    public static string FastKernels => File("libforgetting_kernels_fast.so");

    /// <summary>Kernels with planted bugs.</summary>
    public static string BrokenKernels => File("libforgetting_broken_kernels.so");

    /// <summary>Why the kernels are not there as nvcc compiles them, or null.</summary>
    public static string? MissingPtx => Missing ?? s_compiled.Value.Missing;

    /// <summary>The kernels as text of the card's instructions.</summary>
    public static string Ptx => Path.Combine(s_compiled.Value.Folder!, "forgetting.ptx");

    /// <summary>The kernels with planted bugs as text of the card's instructions.</summary>
    public static string BrokenPtx => Path.Combine(s_compiled.Value.Folder!, "broken.ptx");

    private static string File(string name) => Path.Combine(s_built.Value.Folder ?? throw new InvalidOperationException(Missing), name);

    private static (string? Folder, string? Missing) Build()
    {
        if (!OperatingSystem.IsLinux())
            return (null, "the CUDA emulation needs Linux");

        string? root = Repository.Folder;
        if (root is null)
            return (null, "the CUDA emulation is built from the repository, which is not around");

        foreach (string tool in (string[])["cmake", "g++"])
        {
            if (!OnPath(tool))
                return (null, $"the CUDA emulation needs {tool}");
        }

        string folder = Path.Combine(root, "build", "emulation");
        Directory.CreateDirectory(folder);
        using FileStream gate = Lock(Path.Combine(folder, ".lock"));
        Run("cmake", "-S", root, "-B", folder);
        Run("cmake", "--build", folder, "--parallel", "2");
        return (folder, null);
    }

    // Compiles what has changed, once ./build.sh kernels has found nvcc.
    private static (string? Folder, string? Missing) Compile()
    {
        string folder = Repository.Path("build", "kernels");
        if (!System.IO.File.Exists(Path.Combine(folder, "CMakeCache.txt")))
            return (null, "the interpreter needs build/kernels/forgetting.ptx: tools/install-nvcc.sh and ./build.sh kernels make it");

        using FileStream gate = Lock(Path.Combine(folder, ".lock"));
        Run("cmake", "--build", folder, "--parallel", "2");
        return System.IO.File.Exists(Path.Combine(folder, "forgetting.ptx"))
            ? (folder, null)
            : (null, "build/kernels is an older version's: ./build.sh kernels");
    }

    private static bool OnPath(string tool) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => System.IO.File.Exists(Path.Combine(folder, tool)));

    // Two test projects may start at the same time.
    private static FileStream Lock(string path)
    {
        for (; ; Thread.Sleep(100))
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException)
            {
                // Held by the other one: wait.
            }
        }
    }

    private static void Run(string program, params string[] arguments)
    {
        using Process process =
            Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} failed:\n{output}{errors.Result}");
    }
}

/// <summary>A test that needs the <see cref="Emulation"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class EmulationFactAttribute : FactAttribute
{
    /// <summary>Skips the test where the emulation cannot be built.</summary>
    public EmulationFactAttribute() => Skip = Emulation.Missing ?? Skip;
}

/// <summary>A theory that needs the <see cref="Emulation"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class EmulationTheoryAttribute : TheoryAttribute
{
    /// <summary>Skips the test where the emulation cannot be built.</summary>
    public EmulationTheoryAttribute() => Skip = Emulation.Missing ?? Skip;
}

/// <summary>A test that needs the kernels as nvcc compiles them.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PtxFactAttribute : FactAttribute
{
    /// <summary>Skips the test where there is no nvcc, or no emulation.</summary>
    public PtxFactAttribute() => Skip = Emulation.MissingPtx ?? Skip;
}

/// <summary>A theory that needs the kernels as nvcc compiles them.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PtxTheoryAttribute : TheoryAttribute
{
    /// <summary>Skips the test where there is no nvcc, or no emulation.</summary>
    public PtxTheoryAttribute() => Skip = Emulation.MissingPtx ?? Skip;
}

using Xunit;

namespace Forgetting.Testing;

/// <summary>The launchers of Open MPI and MPICH, as Debian installs them side by side.</summary>
public static class Mpi
{
    /// <summary>What their programs' names end with.</summary>
    public static IReadOnlyList<string> Flavors { get; } = ["openmpi", "mpich"];

    /// <summary>Why tests that start ranks are skipped; null where they run.</summary>
    public static string? Missing { get; } =
        Flavors.FirstOrDefault(flavor => !File.Exists(Program(flavor))) is { } absent
            ? $"{Program(absent)} is not there: apt-get install openmpi-bin mpich"
            : SharedData.Folder is null ? "../shared/data is not beside the repository" : null;

    /// <summary>The launcher's path.</summary>
    public static string Program(string flavor) => $"/usr/bin/mpirun.{flavor}";
}

/// <summary>A theory that starts ranks by <see cref="Mpi"/>, on a model of the shared data.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class MpiTheoryAttribute : TheoryAttribute
{
    /// <summary>Skips the test where a launcher or the data is absent.</summary>
    public MpiTheoryAttribute() => Skip = Mpi.Missing ?? Skip;
}

/// <summary>A theory that starts ranks by <see cref="Mpi"/> on cards of the <see cref="Emulation"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class EmulatedRanksTheoryAttribute : TheoryAttribute
{
    /// <summary>Skips the test where a launcher, the data or the emulation is absent.</summary>
    public EmulatedRanksTheoryAttribute() => Skip = Mpi.Missing ?? Emulation.Missing ?? Skip;
}

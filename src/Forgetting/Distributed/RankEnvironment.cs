using System.Globalization;
using Forgetting.Core;

namespace Forgetting.Distributed;

/// <summary>What the launcher of this process says of it in environment variables.</summary>
/// <param name="Library">The MPI library that the launcher belongs to.</param>
/// <param name="Rank">Number of this process.</param>
/// <param name="Size">Number of processes.</param>
internal sealed record RankEnvironment(MpiFlavor Library, int Rank, int Size)
{
    /// <summary>Of this process; null where it is the only one of its run.</summary>
    /// <exception cref="UserException">A launcher started it that no MPI library is known for.</exception>
    public static RankEnvironment? Current => From(Environment.GetEnvironmentVariable);

    /// <summary>The same from variables by name: Open MPI's, those of the process manager interface that MPICH has, Slurm's.</summary>
    /// <exception cref="UserException">See <see cref="Current"/>.</exception>
    public static RankEnvironment? From(Func<string, string?> variable)
    {
        if (Number("OMPI_COMM_WORLD_SIZE") is { } ofOpenMpi)
            return Several(MpiFlavor.OpenMpi, Number("OMPI_COMM_WORLD_RANK"), ofOpenMpi);

        if (Number("PMI_SIZE") is { } ofMpich)
            return Several(MpiFlavor.Mpich, Number("PMI_RANK"), ofMpich);

        // Only srun sets the number of tasks of a step; a batch script, which is one process, has that of the job alone.
        if (Number("SLURM_STEP_NUM_TASKS") is not { } ofSlurm || ofSlurm < 2)
            return null;

        MpiFlavor library = variable("PMIX_RANK") is not null ? MpiFlavor.OpenMpi
            : variable("PMI_RANK") is not null || variable("PMI_FD") is not null ? MpiFlavor.Mpich
            : throw new UserException(
                $"srun started {ofSlurm} tasks without an interface for MPI; expected srun --mpi=pmix with Open MPI, "
                + "or srun --mpi=pmi2 with MPICH");
        return Several(library, Number("SLURM_PROCID"), ofSlurm);

        int? Number(string name) =>
            int.TryParse(variable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;
    }

    private static RankEnvironment? Several(MpiFlavor library, int? rank, int size) =>
        size > 1 && rank is { } own ? new RankEnvironment(library, own, size) : null;
}

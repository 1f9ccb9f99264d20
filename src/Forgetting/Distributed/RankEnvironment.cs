using System.Globalization;
using Forgetting.Core;

namespace Forgetting.Distributed;

/// <summary>What the launcher of this process says of it in environment variables.</summary>
/// <param name="Library">The MPI library that the launcher belongs to; null where it has none, and ranks meet over TCP.</param>
/// <param name="Rank">Number of this process.</param>
/// <param name="Size">Number of processes.</param>
internal sealed record RankEnvironment(MpiFlavor? Library, int Rank, int Size)
{
    /// <summary>Names a file by which ranks find the first of them where nothing else says where it is.</summary>
    public const string MeetingVariable = "FORGETTING_MEETING_FILE";

    /// <summary>Of this process; null where it is the only one of its run.</summary>
    /// <exception cref="UserException">The variables contradict each other.</exception>
    public static RankEnvironment? Current => From(Environment.GetEnvironmentVariable);

    /// <summary>Number of this process among those of its machine; null where the launcher does not say it.</summary>
    public int? LocalRank { get; init; }

    /// <summary>Where the first rank listens, MASTER_ADDR and MASTER_PORT; null for where <see cref="MeetingFile"/> says.</summary>
    public (string Host, int Port)? Master { get; init; }

    /// <summary>See <see cref="MeetingVariable"/>; empty where there is none.</summary>
    public string MeetingFile { get; init; } = "";

    /// <summary>
    /// The same from variables by name: Open MPI's, those of the process manager interface that MPICH has, Slurm's, and those of PyTorch's
    /// launcher, which has no MPI.
    /// </summary>
    /// <exception cref="UserException">See <see cref="Current"/>.</exception>
    public static RankEnvironment? From(Func<string, string?> variable)
    {
        if (Number("OMPI_COMM_WORLD_SIZE") is { } ofOpenMpi)
            return Several(MpiFlavor.OpenMpi, Number("OMPI_COMM_WORLD_RANK"), ofOpenMpi, Number("OMPI_COMM_WORLD_LOCAL_RANK"));

        if (Number("PMI_SIZE") is { } ofMpich)
            return Several(MpiFlavor.Mpich, Number("PMI_RANK"), ofMpich, Number("MPI_LOCALRANKID"));

        if (Number("WORLD_SIZE") is { } ofPyTorch && Number("RANK") is { } rank)
            return Several(null, rank, ofPyTorch, Number("LOCAL_RANK"));

        // Only srun sets the number of tasks of a step; a batch script, which is one process, has that of the job alone.
        if (Number("SLURM_STEP_NUM_TASKS") is not { } ofSlurm)
            return null;

        MpiFlavor? library = variable("PMIX_RANK") is not null ? MpiFlavor.OpenMpi
            : variable("PMI_RANK") is not null || variable("PMI_FD") is not null ? MpiFlavor.Mpich : null;
        return Several(library, Number("SLURM_PROCID"), ofSlurm, Number("SLURM_LOCALID"));

        int? Number(string name) =>
            int.TryParse(variable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;

        RankEnvironment? Several(MpiFlavor? of, int? own, int size, int? local)
        {
            if (size < 2 || own is not { } number)
                return null;

            var found = new RankEnvironment(of, number, size) { LocalRank = local };
            if (of != null)
                return found;

            if (number >= size)
                throw new UserException($"RANK is {number} and WORLD_SIZE {size}, expected a rank below it");

            if (variable(MeetingVariable) is { Length: > 0 } file)
                return found with { MeetingFile = file };

            return variable("MASTER_ADDR") is { Length: > 0 } host && Number("MASTER_PORT") is > 0 and <= 65_535 and var port
                ? found with { Master = (host, port) }
                : throw new UserException(
                    $"{size} processes were started together without MPI and without a place to meet; expected MASTER_ADDR and "
                    + $"MASTER_PORT, or in {MeetingVariable} a file that all of them see; or srun --mpi=pmix with Open MPI, "
                    + "--mpi=pmi2 with MPICH");
        }
    }
}

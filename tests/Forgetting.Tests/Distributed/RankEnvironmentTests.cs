using Forgetting.Core;
using Forgetting.Distributed;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>What launchers say in environment variables, as they were seen to under Open MPI 4.1 and MPICH 4.0.</summary>
public sealed class RankEnvironmentTests
{
    [Fact]
    public void Launchers_are_known_by_their_variables()
    {
        Assert.Null(From([]));
        Assert.Equal(
            new RankEnvironment(MpiFlavor.OpenMpi, 1, 2), From(new() { ["OMPI_COMM_WORLD_SIZE"] = "2", ["OMPI_COMM_WORLD_RANK"] = "1" }));
        Assert.Equal(new RankEnvironment(MpiFlavor.Mpich, 3, 4), From(new() { ["PMI_SIZE"] = "4", ["PMI_RANK"] = "3" }));
        Assert.Null(From(new() { ["PMI_SIZE"] = "1", ["PMI_RANK"] = "0" }));

        // A batch script has the number of tasks of its job, and is one process.
        Assert.Null(From(new() { ["SLURM_NTASKS"] = "4", ["SLURM_PROCID"] = "0" }));
        Dictionary<string, string> step = new() { ["SLURM_STEP_NUM_TASKS"] = "4", ["SLURM_PROCID"] = "2" };
        Assert.Equal(new RankEnvironment(MpiFlavor.OpenMpi, 2, 4), From(new(step) { ["PMIX_RANK"] = "2" }));
        Assert.Equal(new RankEnvironment(MpiFlavor.Mpich, 2, 4), From(new(step) { ["PMI_FD"] = "7" }));
        Assert.StartsWith(
            "srun started 4 tasks without an interface for MPI", Assert.Throws<UserException>(() => From(step)).Message,
            StringComparison.Ordinal);

        static RankEnvironment? From(Dictionary<string, string> variables) =>
            RankEnvironment.From(name => variables.GetValueOrDefault(name));
    }

    [Theory]
    [InlineData(16, 2, new[] { 8, 8 })]
    [InlineData(7, 3, new[] { 3, 2, 2 })]
    [InlineData(2, 4, new[] { 1, 1, 1, 1 })]
    public void Processors_are_divided(int processors, int ranks, int[] expected) =>
        Assert.Equal(expected, Enumerable.Range(0, ranks).Select(n => ProcessorShare.Share(processors, ranks, n)));
}

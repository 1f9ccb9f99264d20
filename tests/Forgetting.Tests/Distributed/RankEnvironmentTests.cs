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
            new RankEnvironment(MpiFlavor.OpenMpi, 1, 2) { LocalRank = 0 },
            From(new() { ["OMPI_COMM_WORLD_SIZE"] = "2", ["OMPI_COMM_WORLD_RANK"] = "1", ["OMPI_COMM_WORLD_LOCAL_RANK"] = "0" }));
        Assert.Equal(
            new RankEnvironment(MpiFlavor.Mpich, 3, 4) { LocalRank = 1 },
            From(new() { ["PMI_SIZE"] = "4", ["PMI_RANK"] = "3", ["MPI_LOCALRANKID"] = "1" }));
        Assert.Null(From(new() { ["PMI_SIZE"] = "1", ["PMI_RANK"] = "0" }));

        // A batch script has the number of tasks of its job, and is one process.
        Assert.Null(From(new() { ["SLURM_NTASKS"] = "4", ["SLURM_PROCID"] = "0" }));
        Dictionary<string, string> step = new() { ["SLURM_STEP_NUM_TASKS"] = "4", ["SLURM_PROCID"] = "2", ["SLURM_LOCALID"] = "2" };
        Assert.Equal(new RankEnvironment(MpiFlavor.OpenMpi, 2, 4) { LocalRank = 2 }, From(new(step) { ["PMIX_RANK"] = "2" }));
        Assert.Equal(new RankEnvironment(MpiFlavor.Mpich, 2, 4) { LocalRank = 2 }, From(new(step) { ["PMI_FD"] = "7" }));

        // Without MPI ranks meet at an address, or at a file.
        Dictionary<string, string> torchrun = new() { ["WORLD_SIZE"] = "4", ["RANK"] = "3", ["LOCAL_RANK"] = "1" };
        Dictionary<string, string> address = new() { ["MASTER_ADDR"] = "first", ["MASTER_PORT"] = "29500" };
        var three = new RankEnvironment(null, 3, 4) { LocalRank = 1 };
        Assert.Equal(three with { Master = ("first", 29500) }, From(new(torchrun.Concat(address))));
        Assert.Equal(three with { MeetingFile = "/all/here" }, From(new(torchrun) { [RankEnvironment.MeetingVariable] = "/all/here" }));
        Assert.Equal(
            new RankEnvironment(null, 2, 4) { LocalRank = 2, Master = ("first", 29500) }, From(new(step.Concat(address))));
        Assert.Null(From(new(torchrun) { ["WORLD_SIZE"] = "1", ["RANK"] = "0" }));
        Assert.StartsWith("4 processes were started together without MPI", Complaint(step), StringComparison.Ordinal);
        Assert.StartsWith(
            "RANK is 4 and WORLD_SIZE 4", Complaint(new(torchrun.Concat(address)) { ["RANK"] = "4" }), StringComparison.Ordinal);

        static string Complaint(Dictionary<string, string> variables) => Assert.Throws<UserException>(() => From(variables)).Message;

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

using Forgetting.Backends;
using Forgetting.Backends.Selection;
using Forgetting.Tensors;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>What <c>forgetting doctor</c> says of the emulation.</summary>
[Collection("emulation")]
public sealed class KernelDoctorTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    [EmulationTheory]
    [InlineData(DType.Float32)]
    [InlineData(DType.BFloat16)]
    public void Every_operation_is_examined_and_right(DType type)
    {
        List<KernelCheck> checks = [.. KernelDoctor.Run(backends.Of(type), timings: false)];
        Assert.All(checks, check => Assert.True(check.Ok, $"{check.Operation}: error {check.Error}"));
        string[] operations =
        [
            .. new[]
            {
                typeof(IDenseOperations), typeof(ISequenceOperations), typeof(IElementwiseOperations), typeof(ILossOperations),
                typeof(ISinkOperations), typeof(IOptimizerOperations),
            }.SelectMany(part => part.GetMethods()).Select(method => method.Name),
        ];
        Assert.Empty(operations.Except(checks.Select(check => check.Operation.Split(' ')[0])));
    }
}

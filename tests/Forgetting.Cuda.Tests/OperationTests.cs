using Forgetting.Backends.Cuda;
using Forgetting.Operations;
using Forgetting.Tensors;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// Every operation of the CUDA backend, on the emulation: against the plain version, and to the bit in every order of threads.
/// </summary>
[Collection("emulation")]
public sealed class OperationTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    private static readonly string[] s_otherOrders = ["reverse", "random:7"];

    public static TheoryData<string> Names => [.. OperationCases.SmallNames];

    [EmulationTheory]
    [MemberData(nameof(Names))]
    public void Float32_agrees_with_the_plain_version_in_every_thread_order(string name) => Check(backends.Of(DType.Float32), name);

    [EmulationTheory]
    [MemberData(nameof(Names))]
    public void BFloat16_agrees_with_the_plain_version_in_every_thread_order(string name) => Check(backends.Of(DType.BFloat16), name);

    /// <summary>Against the plain version, and to the bit in every order.</summary>
    internal static void Check(CudaBackend backend, string name)
    {
        OperationCase operationCase = OperationCases.Named(name);
        CudaEmulation.SetThreadOrder("forward");

        // What an operation reads of its intermediate results it must have written itself.
        backend.ReleaseScratch();
        OperationRunner.Check(backend, operationCase);
        byte[][] expected = OperationRunner.Results(backend, operationCase);
        foreach (string order in s_otherOrders)
        {
            CudaEmulation.SetThreadOrder(order);
            byte[][] results = OperationRunner.Results(backend, operationCase);
            for (int i = 0; i < results.Length; i++)
            {
                Assert.True(expected[i].AsSpan()
                    .SequenceEqual(results[i]), $"{name}: {operationCase.Operands[i].Name} differs in the order {order}");
            }
        }
    }
}

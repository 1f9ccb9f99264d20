using Forgetting.Backends.Cpu;
using Forgetting.Tensors;
using Forgetting.Testing.Operations;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>Every operation of the CPU backend against the plain versions.</summary>
public sealed class CpuOperationTests : IDisposable
{
    private static readonly Dictionary<string, string[]> s_products = new()
    {
        ["Gemm"] = ["a", "b"],
        ["SquareAccumulateMatrix"] = ["x", "dY"],
        ["ProjectMatrix"] = ["x", "dY"],
        ["HeadRows"] = ["dLogits", "x"],
    };

    private readonly CpuBackend _backend = new();

    public static TheoryData<string> Names => OperationCases.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public void Agrees_with_the_plain_version(string name) => OperationRunner.Check(_backend, OperationCases.Named(name));

    // x, dY and what else enters a product with a weight or makes its gradient.
    public static TheoryData<string> ProductNames =>
        [.. OperationCases.All.Where(c => s_products.ContainsKey(c.Operation)).Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(ProductNames))]
    public void Products_in_bf16_are_those_of_the_rounded_operands(string name)
    {
        OperationCase exact = OperationCases.Named(name);
        string[] rounded = s_products[exact.Operation];
        using var backend = new CpuBackend(operandType: DType.BFloat16);
        OperationRunner.Check(backend, exact with
        {
            Expect = values =>
            {
                for (int i = 0; i < values.Length; i++)
                {
                    if (rounded.Contains(exact.Operands[i].Name))
                    {
                        values[i] = Array.ConvertAll(values[i], value => OperationRunner.Stored(value, DType.BFloat16));
                    }
                }

                exact.Expect(values);
            },
        });
    }

    public void Dispose() => _backend.Dispose();
}

using Forgetting.Backends.Cpu;
using Forgetting.Operations;
using Forgetting.Tensors;
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

    public static TheoryData<string> Names => [.. OperationCases.Names];

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
                        values[i] = Array.ConvertAll(values[i], value => OperationRunner.Stored(value, DType.BFloat16));
                }

                exact.Expect(values);
            },
        });
    }

    /// <summary>
    /// The arg-max of rows that are longer than what is searched at a time: a plain loop's first of the largest, NaN below everything.
    /// </summary>
    [Theory]
    [InlineData(0f, 5000, 4095, 4096)]
    [InlineData(0f, 9000, 8999)]
    [InlineData(0f, 9000, 5000, 8191, 8192)]
    [InlineData(float.NegativeInfinity, 9000, 8500)]
    [InlineData(float.NaN, 9000, 4100, 8500)]
    public void The_largest_of_a_long_row_is_the_first_of_equals(float rest, int columns, params int[] largest)
    {
        foreach (float high in new[] { 1f, float.NegativeInfinity })
        {
            float[] row = Enumerable.Repeat(rest, columns).ToArray();
            row[0] = float.NegativeInfinity; // the target
            foreach (int place in largest)
            {
                row[place] = high;
            }

            int expected = 0;
            for (int i = 1; i < columns; i++)
            {
                expected = row[i] > row[expected] ? i : expected;
            }

            using DeviceBuffer logits = _backend.Allocate(columns * sizeof(float)), others = _backend.Allocate(3 * sizeof(float));
            Tensor z = logits.AsTensor(new Shape(1, columns), DType.Float32);
            Tensor numbers = others.AsTensor(new Shape(3), DType.Float32);
            var target = new Tensor(numbers.Pointer, new Shape(1), DType.Int32);
            var loss = new Tensor(numbers.Pointer + sizeof(float), new Shape(1), DType.Float32);
            var greedy = new Tensor(numbers.Pointer + (2 * sizeof(float)), new Shape(1), DType.Int32);
            _backend.Upload<float>(row, z);
            _backend.Upload<int>([0], target);
            _backend.SignedLoss(z, target, default, default, default, loss, greedy);
            var found = new int[1];
            _backend.Download(greedy, found.AsSpan());
            Assert.Equal(expected, found[0]);
        }
    }

    public void Dispose() => _backend.Dispose();
}

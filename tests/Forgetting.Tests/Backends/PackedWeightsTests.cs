using Forgetting.Backends.Cpu;
using Forgetting.Operations;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>Packed copies of weights are never read after their weight was written, whatever wrote it, and change no result.</summary>
public sealed class PackedWeightsTests : IDisposable
{
    private const int Rows = 24;
    private readonly CpuBackend _backend = new(2);

    public static TheoryData<string> Names => [.. OperationCases.Names];

    // The whole corpus, so that a new operation which does not announce its outputs fails here.
    [Theory]
    [MemberData(nameof(Names))]
    public void Every_operation_makes_the_copies_of_what_it_writes_stale(string name)
    {
        OperationCase operation = OperationCases.Named(name);
        OperationRunner.Check(_backend, operation with
        {
            Run = (backend, tensors) =>
            {
                Tensor[] written = [.. tensors.Where(
                    (t, i) => operation.Operands[i].Role != OperandRole.Input && t.DType == DType.Float32 && t.Count > 0)];
                foreach (Tensor weight in written)
                {
                    backend.DeclareWeight(weight);
                    Multiply(weight);
                    Assert.True(_backend.PackedWeightBytes > 0);
                }

                operation.Run(backend, tensors);
                foreach (Tensor weight in written)
                {
                    using DeviceBuffer other = backend.Allocate(weight.Bytes);
                    Tensor copy = other.AsTensor(weight.Shape, DType.Float32);
                    backend.Copy(weight, copy);
                    Assert.Equal(Multiply(copy), Multiply(weight));
                }
            },
        });
        Assert.Equal(0, _backend.PackedWeightBytes);
    }

    [Fact]
    public void Memory_that_is_given_back_is_no_weight_any_more()
    {
        var shape = new Shape(40, 30);
        var addresses = new HashSet<nint>();
        int reused = 0;

        // An allocator usually gives the block back at once, but no one promises it: other tests allocate meanwhile.
        for (int i = 0; i < 1000 && reused < 3; i++)
        {
            using DeviceBuffer buffer = _backend.Allocate(shape.Count * sizeof(float));
            reused += addresses.Add(buffer.Pointer) ? 0 : 1;
            Tensor weight = buffer.AsTensor(shape, DType.Float32);

            // Not an operation of the backend: only the declaration of the block before could make the copy look fresh.
            weight.AsSpan<float>().Fill(i + 1);
            _backend.DeclareWeight(weight);
            Assert.All(Multiply(weight)[..(Rows * 40)], value => Assert.Equal(30f * (i + 1), value));
        }

        Assert.True(reused > 0, "the allocator never reused an address");
    }

    [Fact]
    public void Without_memory_for_copies_the_results_are_the_same()
    {
        using var pool = new WorkerPool(2);
        using var without = new CpuBackend(pool, p => new ManagedMatMul(p), packedBytes: 0);
        float[] expected = Product(_backend), actual = Product(without);
        Assert.Equal(expected, actual);
        Assert.Equal(0, without.PackedWeightBytes);

        float[] Product(CpuBackend backend)
        {
            using DeviceBuffer buffer = backend.Allocate(70 * 500 * sizeof(float));
            Tensor weight = buffer.AsTensor(new Shape(70, 500), DType.Float32);
            backend.Upload<float>(MatMulCheck.Values(70 * 500, 7), weight);
            backend.DeclareWeight(weight);
            return Multiply(backend, weight);
        }
    }

    public void Dispose() => _backend.Dispose();

    private float[] Multiply(Tensor weight) => Multiply(_backend, weight);

    // x·Wᵀ and then dY·W, by enough rows that a copy is of use.
    private static float[] Multiply(CpuBackend backend, Tensor weight)
    {
        using DeviceBuffer x = backend.Allocate(Rows * (long)weight.Columns * sizeof(float)),
            dY = backend.Allocate(Rows * (long)weight.Rows * sizeof(float));
        Tensor right = x.AsTensor(new Shape(Rows, weight.Columns), DType.Float32),
            left = dY.AsTensor(new Shape(Rows, weight.Rows), DType.Float32);
        backend.Fill(right, 1);
        backend.Fill(left, 1);
        using DeviceBuffer y = backend.Allocate(left.Bytes), dX = backend.Allocate(right.Bytes);
        Tensor outputs = y.AsTensor(left.Shape, DType.Float32), inputs = dX.AsTensor(right.Shape, DType.Float32);
        backend.Gemm(right, false, weight, true, outputs);
        backend.Gemm(left, false, weight, false, inputs);
        return [.. outputs.AsSpan<float>(), .. inputs.AsSpan<float>()];
    }
}

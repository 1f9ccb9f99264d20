using Forgetting.Backends.Cuda;
using Forgetting.Tensors;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>Norms of sums that storage rounds, on the emulation.</summary>
[Collection("emulation")]
public sealed class NormTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    [EmulationTheory]
    [InlineData(DType.Float32, 33)]
    [InlineData(DType.BFloat16, 33)]
    [InlineData(DType.BFloat16, 288)]
    public void A_sum_is_normalised_as_it_is_stored(DType type, int columns)
    {
        CudaBackend backend = backends.Of(type);
        using var arena = new Arena(backend);
        var shape = new Shape(5, columns);
        Tensor gain = Random(arena, backend, new Shape(columns), 1), bias = Random(arena, backend, new Shape(columns), 2);
        Tensor x = arena.Take(shape, type), y = arena.Take(shape, type), rstd = arena.Take(1, 5), statistics = arena.Take(5, 2);
        foreach (bool centred in new[] { false, true })
        {
            backend.Copy(Random(arena, backend, shape, 3), x);
            float[] first = Norm(Random(arena, backend, shape, 4));
            Assert.Equal(first, Norm(residual: default));

            float[] Norm(Tensor residual)
            {
                if (centred)
                {
                    backend.LayerNorm(x, residual, gain, bias, 1e-5f, y, statistics);
                    return [.. Values(backend, y), .. Values(backend, statistics)];
                }

                backend.RmsNorm(x, residual, gain, 0, 1e-5f, y, rstd);
                return [.. Values(backend, y), .. Values(backend, rstd)];
            }
        }
    }

    private static Tensor Random(Arena arena, CudaBackend backend, Shape shape, int seed)
    {
        var random = new Random(seed);
        Tensor exact = arena.Take(shape), stored = arena.Take(shape, backend.StorageType);
        backend.Upload<float>([.. Enumerable.Range(0, (int)shape.Count).Select(_ => random.NextSingle() * 2 - 1)], exact);
        backend.Copy(exact, stored);
        return stored;
    }

    private static float[] Values(CudaBackend backend, Tensor tensor)
    {
        using var arena = new Arena(backend);
        Tensor exact = arena.Take(tensor.Shape);
        backend.Copy(tensor, exact);
        var values = new float[tensor.Shape.Count];
        backend.Download(exact, values.AsSpan());
        return values;
    }
}

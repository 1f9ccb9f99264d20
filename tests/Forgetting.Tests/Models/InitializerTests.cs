using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Models;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Models;

public class InitializerTests
{
    // More than one chunk, many parts, and columns that no part is a multiple of.
    [Theory]
    [InlineData(5, 300_007)]
    [InlineData(1_500, 1_003)]
    public void A_value_is_a_function_of_seed_parameter_and_place_alone(int rows, int columns)
    {
        using var backend = new CpuBackend(1);
        var parameter = new Parameter("w", ParameterKind.Matrix, new Shape(rows, columns));
        using DeviceBuffer buffer = backend.Allocate(parameter.Shape.Count * sizeof(float));
        parameter.Value = buffer.AsTensor(parameter.Shape, DType.Float32);
        Initializer.Normal(backend, parameter, seed: 9, index: 3, deviation: 0.5f);
        var values = new float[parameter.Shape.Count];
        backend.Download<float>(parameter.Value, values);
        for (long i = 0; i < values.Length; i += i < 100 || i > values.Length - 100 ? 1 : 97)
        {
            (uint x, uint y, uint z, uint w) = Philox.Words(9, (uint)(i / 4), 3, 0, RandomDomain.Initialization);
            (uint first, uint second) = i % 4 < 2 ? (x, y) : (z, w);
            double radius = Math.Sqrt(-2 * Math.Log((first + 0.5) / 4294967296.0)), angle = 2 * Math.PI * second / 4294967296.0;
            Assert.Equal((float)(radius * (i % 2 == 0 ? Math.Cos(angle) : Math.Sin(angle))) * 0.5f, values[i]);
        }
    }
}

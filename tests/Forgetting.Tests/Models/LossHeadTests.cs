using Forgetting.Backends.Cpu;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

public class LossHeadTests
{
    [Theory]
    [InlineData(128_256, 2, 0, 512)] // 128 MiB hold 523
    [InlineData(128_256, 2, LossHead.RowsOnCard, 2048)]
    [InlineData(128_256, 4, LossHead.RowsOnCard, 2048)]
    [InlineData(262_144, 4, LossHead.RowsOnCard, 1024)] // no more than a GiB
    [InlineData(32_000, 2, LossHead.RowsOnCard, 2048)]
    [InlineData(300_000, 4, 0, 111)] // less than a tile
    public void A_chunk_is_whole_tiles_of_rows(int vocabulary, int bytes, int least, int rows)
    {
        var head = new LossHead(new Parameter("head", ParameterKind.Matrix, new Shape(vocabulary, 8)), null, 1, 0) { LeastRows = least };
        Assert.Equal(rows, head.ChunkRows(bytes == 2 ? DType.BFloat16 : DType.Float32));
    }

    [Fact]
    public void The_first_product_into_a_gradient_known_to_be_zero_does_not_read_it_and_the_second_adds()
    {
        ModelConfig config = ReferenceConfigs.All["llama"];
        using var backend = new CpuBackend(1);
        using var decoder = new Decoder(config, backend);
        decoder.Initialize(3);
        decoder.AllocateGradients();
        var sink = new AccumulateSink(backend);
        Pass();
        float[][] once = TestModel.GradientsOf(decoder);
        foreach (Parameter parameter in decoder.TrainableParameters)
        {
            backend.Fill(parameter.Gradient, parameter.Kind == ParameterKind.Matrix ? float.NaN : 0);
            parameter.HasZeroGradient = true;
        }

        Pass();
        float[][] again = TestModel.GradientsOf(decoder);
        Assert.Equal(once, again);
        Pass();
        float[][] twice = TestModel.GradientsOf(decoder);
        for (int i = 0; i < once.Length; i++)
        {
            Assert.All(once[i].Zip(twice[i]), pair => Assert.Equal(2 * pair.First, pair.Second, (2e-6f * Math.Abs(pair.First)) + 1e-9f));
        }

        void Pass()
        {
            int[] ids = [1, 5, 2, 4, 3];
            EncodedExample example = new() { Index = 0, Ids = ids, Response = [false, true, true, true, true] };
            TokenBatch batch = BatchBuilder.Create([example], new MicroBatch(0, 1, 0), [[0, 1, 1, 1, 1]]);
            decoder.ForwardBackward(batch, new(), sink, new float[4]);
        }
    }
}

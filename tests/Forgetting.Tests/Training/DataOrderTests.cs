using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public class DataOrderTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Every_epoch_sees_every_example_once(bool shuffle)
    {
        var order = new DataOrder(10, 4, seed: 7, shuffle);
        Assert.Equal(3, order.StepsPerEpoch);
        for (int epoch = 0; epoch < 3; epoch++)
        {
            var seen = new List<int>();
            for (int step = 0; step < 3; step++)
            {
                seen.AddRange(order.At(epoch * 3 + step));
            }

            Assert.Equal(2, order.At(epoch * 3 + 2).Length);
            Assert.Equal(shuffle, !seen.SequenceEqual(Enumerable.Range(0, 10)));
            Assert.Equal(Enumerable.Range(0, 10), seen.Order());
        }
    }

    [Fact]
    public void A_step_can_be_reached_without_the_steps_before()
    {
        var whole = new DataOrder(50, 8, seed: 3, shuffle: true);
        int[][] steps = [.. Enumerable.Range(0, 20).Select(s => whole.At(s).ToArray())];
        Assert.Equal(steps[17], new DataOrder(50, 8, seed: 3, shuffle: true).At(17).ToArray());
        Assert.NotEqual(steps[0], steps[7]);
        Assert.NotEqual(steps[0], new DataOrder(50, 8, seed: 4, shuffle: true).At(0).ToArray());
    }

    // 6000 permutations of 3: each of the six orders is expected 1000 times with a standard deviation of 29.
    [Fact]
    public void All_orders_are_about_as_likely()
    {
        IEnumerable<int> counts = Enumerable.Range(0, 6000)
            .GroupBy(seed => string.Join(' ', DataOrder.Permutation(3, (ulong)seed, 0)))
            .Select(g => g.Count());
        Assert.Equal(6, counts.Count());
        Assert.All(counts, count => Assert.InRange(count, 850, 1150));
    }
}

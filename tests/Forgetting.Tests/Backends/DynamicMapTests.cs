using System.Globalization;
using Forgetting.Backends;
using Xunit;

namespace Forgetting.Tests.Backends;

public sealed class DynamicMapTests
{
    // What bitsandbytes.functional.create_dynamic_map() gives, from 0 on; below 0 are the same but for the last.
    private const string Published = """
        0, 5.50000038e-07, 3.25000019e-06, 7.7499999e-06, 2.12499981e-05, 4.37499984e-05, 6.62500024e-05, 8.87499991e-05,
        0.000156250011, 0.000268750038, 0.000381250022, 0.000493750034, 0.000606250076, 0.00071875006, 0.000831249985, 0.000943750085,
        0.00128124992, 0.00184375001, 0.00240624999, 0.00296874996, 0.00353124971, 0.00409374991, 0.00465624966, 0.00521875033,
        0.00578125007, 0.00634374982, 0.00690625003, 0.00746874977, 0.00803124998, 0.00859375019, 0.00915624946, 0.00971874967,
        0.0114062503, 0.0142187504, 0.0170312505, 0.0198437516, 0.0226562507, 0.0254687499, 0.028281251, 0.0310937501,
        0.0339062512, 0.0367187522, 0.0395312496, 0.0423437469, 0.0451562516, 0.047968749, 0.05078125, 0.053593751,
        0.0564062484, 0.0592187531, 0.0620312504, 0.0648437515, 0.0676562563, 0.0704687461, 0.0732812509, 0.0760937482,
        0.078906253, 0.0817187577, 0.0845312476, 0.0873437524, 0.0901562497, 0.0929687545, 0.0957812592, 0.0985937491,
        0.107031256, 0.12109375, 0.135156244, 0.149218753, 0.163281247, 0.177343756, 0.19140625, 0.205468744,
        0.219531253, 0.233593747, 0.247656241, 0.26171875, 0.275781274, 0.289843738, 0.303906262, 0.317968726,
        0.33203125, 0.346093744, 0.360156238, 0.374218762, 0.388281226, 0.40234375, 0.416406244, 0.430468738,
        0.444531262, 0.458593726, 0.47265625, 0.486718714, 0.500781238, 0.514843702, 0.528906226, 0.54296875,
        0.557031274, 0.571093798, 0.585156262, 0.599218726, 0.61328125, 0.627343774, 0.641406298, 0.655468762,
        0.669531226, 0.68359375, 0.697656274, 0.711718798, 0.725781262, 0.739843726, 0.75390625, 0.767968774,
        0.782031238, 0.796093762, 0.810156226, 0.82421875, 0.838281274, 0.852343738, 0.866406262, 0.880468726,
        0.89453125, 0.908593774, 0.922656238, 0.936718762, 0.950781226, 0.96484375, 0.978906274, 0.992968738,
        1
        """;

    [Fact]
    public void The_signed_map_is_the_published_one_to_the_bit()
    {
        float[] positive = [.. Published.Split([',', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(text => float.Parse(text, CultureInfo.InvariantCulture))];
        Assert.Equal([.. positive.SkipLast(1).Skip(1).Reverse().Select(x => -x), .. positive], DynamicMap.Signed);
    }

    // 2, 4, … 128 numbers of a decade: its tenths' middles.
    [Fact]
    public void The_unsigned_map_has_twice_as_many_numbers_in_every_decade()
    {
        Assert.Equal((0, 1, DynamicMap.Count), (DynamicMap.Unsigned[0], DynamicMap.Unsigned[^1], DynamicMap.Unsigned.Count));
        for (int decade = 0, start = 1; decade < 7; start += 2 << decade++)
        {
            int count = 2 << decade;
            for (int i = 0; i < count; i++)
            {
                double expected = Math.Pow(10, decade - 6) * (0.1 + (0.9 * (i + 0.5) / count));
                Assert.Equal(expected, DynamicMap.Unsigned[start + i], 3e-7 * expected);
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_nearest_value_is_found(bool signed)
    {
        IReadOnlyList<float> map = signed ? DynamicMap.Signed : DynamicMap.Unsigned;
        float[] midpoints = NearestCode.Midpoints(map);
        var random = new Random(5);
        for (int i = 0; i < 2000; i++)
        {
            float value = (float)(Math.Pow(10, -7 * random.NextDouble()) * (signed && i % 2 == 0 ? -1 : 1));
            double distance = map.Min(x => Math.Abs((double)x - value));
            Assert.Equal(distance, Math.Abs((double)map[NearestCode.Of(value, midpoints)] - value), 1e-9);
        }

        Assert.All(Enumerable.Range(0, DynamicMap.Count), code => Assert.Equal(code, NearestCode.Of(map[code], midpoints)));
    }
}

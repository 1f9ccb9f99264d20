using System.Runtime.Intrinsics;
using Forgetting.Backends.Cpu;
using Xunit;

namespace Forgetting.Tests.Backends;

public sealed class VectorMathTests
{
    /// <summary>Against Math.Exp in double precision, from where the result is no longer 0 to where it ends.</summary>
    [Fact]
    public void Exponentials_are_within_two_units_in_the_last_place_and_the_same_in_both_widths()
    {
        double worst = 0;
        for (float x = -87.32f; x < 88.36f; x += 0.00731f)
        {
            float found = Both(x);
            double exact = Math.Exp(x);
            double unit = MathF.BitIncrement((float)exact) - (double)(float)exact;
            worst = Math.Max(worst, Math.Abs(found - exact) / unit);
        }

        Assert.InRange(worst, 0, 2);
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(-0f, 1)]
    [InlineData(-87.34f, 0)]
    [InlineData(-1000, 0)]
    [InlineData(float.NegativeInfinity, 0)]
    [InlineData(float.NaN, float.NaN)]
    public void Exponentials_of_what_is_special(float x, float expected) => Assert.Equal(expected, Both(x));

    [Theory]
    [InlineData(89)]
    [InlineData(float.PositiveInfinity)]
    public void Exponentials_end_at_a_large_number(float x) => Assert.InRange(Both(x), 2.3e38f, 2.5e38f);

    private static float Both(float x)
    {
        float narrow = VectorMath.Exp(Vector256.Create(x)).ToScalar();
        float wide = VectorMath.Exp(Vector512.Create(x)).GetUpper().ToScalar();
        Assert.Equal(BitConverter.SingleToUInt32Bits(narrow), BitConverter.SingleToUInt32Bits(wide));
        return narrow;
    }
}

using Forgetting.Backends;
using Xunit;

namespace Forgetting.Tests.Models;

public class PhiloxTests
{
    // Known answers published with Random123 (kat_vectors, philox4x32 10).
    [Theory]
    [InlineData(0ul, 0u, 0u, 0u, 0u, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(
        ulong.MaxValue, uint.MaxValue, uint.MaxValue, uint.MaxValue, uint.MaxValue, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(
        0x299f31d0a4093822ul, 0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void Gives_the_published_words(ulong key, uint x, uint y, uint z, uint w, uint a, uint b, uint c, uint d) =>
        Assert.Equal((a, b, c, d), Philox.Words(key, x, y, z, w));

    [Fact]
    public void Uniforms_stay_below_one()
    {
        Assert.Equal(0f, Philox.ToUniform(0));
        Assert.True(Philox.ToUniform(uint.MaxValue) < 1f);
    }
}

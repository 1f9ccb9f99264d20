using Forgetting.Data;
using Forgetting.Tests.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Data;

/// <summary>Roles beside the paper's three, in the layouts that need no chat template.</summary>
public class RoleTests
{
    [Theory]
    [InlineData("tool", "<|tool|>\nx\n<|assistant|>\ny")]
    [InlineData("function", "<|function|>\nx\n<|assistant|>\ny")]
    [InlineData("developer", "<|developer|>\nx\n<|assistant|>\ny")]
    public void Further_roles_are_written_as_the_others_are_and_not_learnt(string role, string expected)
    {
        EncodedExample example = new ExampleEncoder(TestTokenizers.Bytes(), 100).Encode(
            new DataExample { Index = 0, Place = "p", Messages = [new(role, "x"), new("assistant", "y")] });
        Assert.Equal(
            [TestTokenizers.Bos, .. System.Text.Encoding.UTF8.GetBytes(expected).Select(b => (int)b), TestTokenizers.Eos], example.Ids);
        Assert.Equal(2, example.ResponseCount);
    }
}

using Forgetting.Core;
using Forgetting.IO;
using Xunit;

namespace Forgetting.Tests.Files;

public class YamlFileTests
{
    /// <summary>
    /// Typing errors and ill will alike: the parser's own exceptions, or an overflow of the stack, came out of most of these.
    /// </summary>
    [Theory]
    [InlineData("model: m\nforget: [a, b\nout: o", "f.yaml:2: ")]
    [InlineData("? : x", "not YAML")]
    [InlineData("a: \"\\UFFFFFFFF\"", "f.yaml:1: ")]
    [InlineData("a: 'open", "f.yaml:1: ")]
    [InlineData("a: b: c", "f.yaml:1: ")]
    [InlineData("a: 1\na: 2", "f.yaml:2: ")]
    [InlineData("&a [*a]: 1", "f.yaml:1: *a stands for nothing before it, or for what it is part of")]
    [InlineData("x: &a\n  y: *a", "f.yaml:2: *a stands for nothing before it, or for what it is part of")]
    [InlineData("x: &a 1\ny: &a [*a]", "f.yaml:2: *a stands for nothing before it, or for what it is part of")]
    [InlineData("x: *b", "f.yaml:1: *b stands for nothing before it")]
    [InlineData("- a", "f.yaml:1: found a Sequence, expected lines of \"setting: value\"")]
    [InlineData("a: !!binary {", "f.yaml:2: ")]
    [InlineData("%YAML 9.9\n---\na: 1", "f.yaml:1: ")]
    public void What_is_no_mapping_is_one_line(string text, string expected) => AssertFails(text, expected);

    [Fact]
    public void Nesting_aliases_and_length_have_a_limit()
    {
        AssertFails("a: " + new string('[', 100_000), "f.yaml:1: lists and mappings nested more than 20 deep");
        AssertFails(
            string.Concat(Enumerable.Range(0, 500).Select(i => new string(' ', i) + "a:\n")),
            "f.yaml:21: lists and mappings nested more than 20 deep");
        AssertFails("a: " + new string('x', 2_000_000), "longer than 1048576 characters");

        // Ten times ten times …: a billion values in ten lines.
        string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + string.Concat(Enumerable.Range(1, 9).Select(i => $"a{i}: &a{i} [{string.Join(',', Enumerable.Repeat($"*a{i - 1}", 10))}]\n"));
        AssertFails(bomb, "f.yaml:4: more than 10000 values, aliases followed");
    }

    [Fact]
    public void An_alias_stands_for_what_its_anchor_names()
    {
        YamlDotNet.RepresentationModel.YamlMappingNode root = YamlFile.Read(new StringReader("a: &x [1, 2]\nb: *x\nc: *x"), "f.yaml");
        Assert.Equal("[ 1, 2 ]", root["c"].ToString());
    }

    private static void AssertFails(string text, string expected)
    {
        UserException error = Assert.Throws<UserException>(() => YamlFile.Read(new StringReader(text), "f.yaml"));
        Assert.StartsWith("f.yaml", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }
}

using Forgetting.Core;
using Forgetting.Text;
using Forgetting.Text.ChatTemplates;
using Xunit;

namespace Forgetting.Tests.ChatTemplates;

/// <summary>Templates that take too long, too much memory or too much stack end in one line; all of them once crashed or hung.</summary>
public class TemplateLimitTests
{
    private const string Steps = "takes more than 5000000 steps", Bytes = "more than 64 MiB", Depth = "nested more than 500 deep",
        Text = "a function or method has no text";

    private static readonly ChatMessage[] s_messages = [new("user", "Hello"), new("assistant", "Hi")];

    [Theory]
    [InlineData("{{ messages[0].content.strip }}", Text)]
    [InlineData("{{ range }}", Text)]
    [InlineData("{{ [range] ~ '' }}", Text)]
    [InlineData("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", Steps)]
    [InlineData("{% for i in range(100000) if range(100000)|list == 1 %}{% endfor %}", Bytes)]
    [InlineData("{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", Bytes)]
    [InlineData("{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", Bytes)]
    [InlineData("{{ 'ab' * (2**62 + 2**30) }}", Bytes)]
    [InlineData("{{ [1] * 2**62 }}", Steps)]
    [InlineData("{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}", Bytes)]
    [InlineData("{{ ['a' * 1000000, '']|map('replace', '', 'b' * 1000)|join }}", Bytes)]
    [InlineData("{{ range(100000)|unique }}", Steps)]
    [InlineData("{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{% set x = s[i] %}{% endfor %}", Bytes)]
    [InlineData("{% set s = 'a' * 500000 ~ 'b' ~ 'a' * 500000 %}{% set t = 'a' * 250000 ~ 'b' ~ 'a' * 250001 %}{{ (t in s) ~ "
        + "s.find(t) ~ s.count(t) }}", Steps)]
    [InlineData("{% set ns = namespace(s=[]) %}{% for i in range(9999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}", Depth)]
    [InlineData("{% set ns = namespace(s=[]) %}{% for i in range(9999) %}{% set ns.s = {1: ns.s} %}{% endfor %}{{ ns.s|tojson }}", Depth)]
    [InlineData("{% set ns = namespace(s=[]) %}{% for i in range(9999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s == [ns.s] }}", Depth)]
    [InlineData("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", Depth)]
    [InlineData("{{ [1, 'a']|sort }}", "cannot compare a number with a string")]
    [InlineData("{{ ['a', 1]|max }}", "cannot compare a number with a string")]
    [InlineData("{{ (-9223372036854775807 - 1)|abs }}", "an integer of more than 64 bits")]
    [InlineData("{{ 9223372036854775807 + 1 }}", "an integer of more than 64 bits")]
    [InlineData("{{ 10 ** 400 }}", "an integer of more than 64 bits")]
    [InlineData("{{ 1 is divisibleby(0) }}", "division by zero")]
    [InlineData("{{ {[1]: 2} }}", "a list is no key of a mapping")]
    public void A_template_that_costs_too_much_ends_in_one_line(string template, string expected) => AssertFails(template, expected);

    [Theory]
    [InlineData("{{ 1", "+1", 200_000, "}}", "more than 250000 names")]
    [InlineData("{{ 1 ", "if 1 ", 40_000, "}}", Depth)]
    [InlineData("{{ messages", "|list", 30_000, "}}", Depth)]
    [InlineData("{{ messages", ".a", 40_000, "}}", Depth)]
    [InlineData("{% if 0 %}", "{% elif 0 %}", 100_000, "{% endif %}", "a template of 1200021 characters")]
    public void A_template_of_endless_chains_ends_in_one_line(string begin, string link, int count, string end, string expected) =>
        AssertFails(begin + string.Concat(Enumerable.Repeat(link, count)) + end, expected);

    /// <summary>Sums are loops, so that long ones within the limits have their value.</summary>
    [Fact]
    public void A_long_sum_has_its_value() => Assert.Equal("40001", Render("{{ 1" + string.Concat(Enumerable.Repeat("+1", 40_000)) + "}}"));

    /// <summary>What is allowed does not depend on the thread: 1 MiB of stack suffices for the deepest template.</summary>
    [Fact]
    public void The_deepest_template_fits_a_small_stack()
    {
        string nested = string.Concat(Enumerable.Repeat("{% if [[[[[1]]]]] %}", 90)) + "{{ f(n + 1) }}"
            + string.Concat(Enumerable.Repeat("{% endif %}", 90));
        Exception? caught = null;
        Thread thread =
            new(() => caught = Record.Exception(() => Render("{% macro f(n) %}" + nested + "{% endmacro %}{{ f(0) }}")), 1 << 20);
        thread.Start();
        thread.Join();
        Assert.Contains(Depth, Assert.IsType<UserException>(caught).Message, StringComparison.Ordinal);
    }

    /// <summary>A conversation of 100 turns and 400,000 characters, put together turn by turn, is far from the limits.</summary>
    [Fact]
    public void A_long_conversation_renders()
    {
        ChatMessage[] messages =
            [.. Enumerable.Range(0, 100).Select(i => new ChatMessage(i % 2 == 0 ? "user" : "assistant", new string('x', 4000)))];
        const string template =
            "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t + '<' + m['role'] + '>' + m['content']|trim + '\n' "
            + "%}{% endfor %}{{ ns.t[:-1] }}";
        Assert.Equal(
            string.Join('\n', messages.Select(m => $"<{m.Role}>{m.Content}")),
            ChatTemplate.Parse(template, "t", new Dictionary<string, string>()).Render(messages));
    }

    private static string Render(string template) => ChatTemplate.Parse(template, "t", new Dictionary<string, string>()).Render(s_messages);

    private static void AssertFails(string template, string expected)
    {
        UserException error = Assert.Throws<UserException>(() => Render(template));
        Assert.StartsWith("t: line 1: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }
}

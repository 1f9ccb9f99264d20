using Forgetting.Text;
using Forgetting.Text.ChatTemplates;
using Xunit;

namespace Forgetting.Tests.ChatTemplates;

/// <summary>
/// Parts of Jinja that templates in use need; the texts expected were written by Jinja2 3.1.6 with Hugging Face's settings.
/// </summary>
public class TemplateFeatureTests
{
    [Theory]
    [InlineData("{% filter upper %}abc{{ messages[0].content }}{% endfilter %}", "ABCHELLO  WÖRLD 𝒜B")]
    [InlineData("{% filter replace('a', 'b')|upper|trim %}  banana {% endfilter %}", "BBNBNB")]
    [InlineData("{{ messages.0.content }}|{{ messages.1.role }}", "Hello  wörld 𝒜b|assistant")]
    [InlineData(
        "{% set d = {1: 'a', '1': 'b', 2.5: 'c', true: 'd'} %}{{ d }}{{ d[1] }}{{ d['1'] }}{{ d.get(2.5) }}{{ 1 in d }}{{ d|tojson }}",
        "{1: 'd', '1': 'b', 2.5: 'c'}dbcTrue{\"1\": \"d\", \"1\": \"b\", \"2.5\": \"c\"}")]
    [InlineData("{{ none|selectattr('x')|list }}{{ none|map(attribute='a')|list|length }}{{ none|select|list }}{{ "
        + "none|rejectattr('x', 'defined')|list }}", "[]0[][]")]
    [InlineData("{{ ['b','A','c','B','a']|sort }}{{ ['b','A','c']|sort(case_sensitive=true) }}{{ ['b','A','c']|sort(reverse=true) }}",
        "['A', 'a', 'b', 'B', 'c']['A', 'b', 'c']['c', 'b', 'A']")]
    [InlineData("{{ ['a','A','b']|unique|list }}{{ ['B','a']|min }}{{ ['B','a']|max }}{{ [3,1,2]|max }}", "['a', 'b']aB3")]
    [InlineData("{{ [{'a':{'b':2}},{'a':{'b':1}}]|sort(attribute='a.b')|map(attribute='a.b')|list }}", "[1, 2]")]
    [InlineData("{{ messages|map(attribute='missing', default='none')|list }}", "['none', 'none']")]
    [InlineData("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2**-1 }} {{ 9007199254740993 + 1 }} {{ 3 * 9007199254740993 }}",
        "3 -4 2 -2 0.5 9007199254740994 27021597764222979")]
    [InlineData("{{ 9007199254740993 == 9007199254740992 }}{{ 1 == 1.0 }}{{ true == 1 }}", "FalseTrueTrue")]
    [InlineData("{{ [1,2] * 2 }}{{ 2 * 'ab' }}{{ 'ab' * -1 }}", "[1, 2, 1, 2]abab")]
    [InlineData("{{ 'abc'.replace('', '-') }}{{ 'aXbXc'.replace('X', 'yy', 1) }}{{ 'aaaa'|replace('a', 'b', 2) }}", "-a-b-c-ayybXcbbaa")]
    [InlineData("{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ 'aaa'.split('aa') }}{{ 'aaa'.rsplit('aa', 1) }}",
        "['a', 'b,c']['a,b', 'c']['', 'a']['a', '']")]
    [InlineData("{{ messages[0].content[-2] }}{{ messages[0].content[::-1] }}{{ messages[0].content[1:4] }}", "𝒜b𝒜 dlröw  olleHell")]
    [InlineData("{{ \"it's ok\"|title }} {{ \"it's ok\".title() }}", "It's Ok It'S Ok")]
    [InlineData(
        "{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb\n\nc'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, false, true) }}",
        "a\n    b\n\n    c|  a\n  b\n\n  c|a\n  \n  b")]
    [InlineData("{{ namespace(a=1, b='x') }}", "<Namespace {'a': 1, 'b': 'x'}>")]
    public void Templates_give_what_Jinja2_gives(string template, string expected) => Assert.Equal(expected, ChatTemplate
        .Parse(template, "t", new Dictionary<string, string>())
        .Render([new ChatMessage("user", "Hello  wörld 𝒜b"), new ChatMessage("assistant", "Hi there\nyou")]));
}

using System.Text.Json;
using Forgetting.Core;
using Forgetting.Testing;
using Forgetting.Text;
using Forgetting.Text.ChatTemplates;
using Xunit;

namespace Forgetting.Tests.ChatTemplates;

public class ChatTemplateTests
{
    private static readonly Dictionary<string, string> s_tokens = new() { ["bos_token"] = "<s>", ["eos_token"] = "</s>" };

    private static string Golden(string name) => Path.Combine(AppContext.BaseDirectory, "ChatTemplates", "golden", name);

    private static ChatTemplate Template(string text) =>
        ChatTemplate.Parse(text, "test.jinja", s_tokens, () => new DateTime(2025, 3, 9, 8, 5, 7));

    /// <summary>
    /// The texts in golden.json were written by Jinja2 (make_golden.py); the templates are of the kinds that
    /// Llama 3, Qwen, Zephyr and Mistral have.
    /// </summary>
    [Fact]
    public void Templates_give_what_Jinja2_gives()
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Golden("golden.json")));
        Assert.Equal(42, document.RootElement.GetArrayLength());
        foreach (JsonElement item in document.RootElement.EnumerateArray())
        {
            string name = item.GetProperty("template").GetString()!;
            ChatTemplate template = Template(File.ReadAllText(Golden(name)));
            ChatMessage[] messages =
            [
                .. item.GetProperty("messages")
                    .EnumerateArray()
                    .Select(m => new ChatMessage(m.GetProperty("role").GetString()!, m.GetProperty("content").GetString()!)),
            ];
            bool prompt = item.GetProperty("add_generation_prompt").GetBoolean();
            Assert.Equal($"{name}: {item.GetProperty("text").GetString()}", $"{name}: {template.Render(messages, prompt)}");

            (int, int)[] generated = [.. item.GetProperty("generated").EnumerateArray().Select(g => (g[0].GetInt32(), g[1].GetInt32()))];
            if (generated.Length > 0 && !prompt)
                Assert.Equal(generated, template.RenderForTraining(messages, []).Assistant);
        }
    }

    [Theory]
    [InlineData("llama3.jinja", "<|eot_id|>", "A one<|eot_id|>", "B<|eot_id|>")]
    [InlineData("chatml.jinja", "<|im_end|>", "A one<|im_end|>", "B<|im_end|>")]
    [InlineData("zephyr.jinja", "</s>", "A one</s>", "B</s>")]
    [InlineData("mistral.jinja", "</s>", " A one</s>", " B</s>")]
    public void Assistant_turns_are_found_by_rendering_prefixes(string name, string end, params string[] expected)
    {
        ChatTemplate template = Template(File.ReadAllText(Golden(name)));
        ChatMessage[] messages = [new("user", "A one"), new("assistant", "A one"), new("user", "B"), new("assistant", "B")];
        (string text, IReadOnlyList<(int Start, int End)> spans) = template.RenderForTraining(messages, [end]);
        Assert.Equal(expected, spans.Select(s => text[s.Start..s.End]));
        Assert.True(spans[0].Start > text.IndexOf("A one", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("a\n{{ 1 +}}", "line 2: the tag ends; expected an expression")]
    [InlineData("{% if x %}\n\nb", "line 3: the template ends; expected elif or else or endif")]
    [InlineData("{% for x y %}", "line 1: found 'y'; expected 'in'")]
    [InlineData("\n{% include 'x' %}", "line 2: statement 'include' is not supported")]
    [InlineData("\n\n{{ x", "line 3: tag without }}")]
    [InlineData("{# a", "line 1: comment without #}")]
    [InlineData("{{ 'a }}", "line 1: string without its closing quote")]
    [InlineData("a\n{{ a.b }}", "line 2: 'a' is undefined")]
    [InlineData("{% if true %}\n{{ 1 + 'a' }}{% endif %}", "line 2: '+' is not defined for a number and a string")]
    [InlineData("{{ x|nope }}", "line 1: unknown filter 'nope'")]
    [InlineData("{{ x is nope }}", "line 1: unknown test 'nope'")]
    [InlineData("{{ 1 // 0 }}", "line 1: division by zero")]
    [InlineData("\n{{ raise_exception('No\nway') }}", "line 2: No way")]
    [InlineData("{% set x = 1 %}\n{% set x.y = 2 %}", "line 2: 'x' is a number; only a namespace's attributes can be set")]
    [InlineData("{{ range(10000000000) }}", "line 1: a range without end or of more than 100000 numbers")]
    [InlineData("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "line 1: macros call each other more than 50 deep")]
    [InlineData("{{ 'a' @ 'b' }}", "line 1: unexpected character '@'")]
    public void Errors_are_one_line_with_the_line_of_the_template(string text, string message)
    {
        UserException error = Assert.Throws<UserException>(() => Template(text).Render([new ChatMessage("user", "x")]));
        Assert.Equal("test.jinja: " + message, error.Message);
    }

    [Fact]
    public void Deep_nesting_is_an_error()
    {
        UserException error =
            Assert.Throws<UserException>(() => Template("{{ " + new string('(', 100_000) + "1" + new string(')', 100_000) + " }}"));
        Assert.Equal("test.jinja: line 1: expressions nested more than 100 deep", error.Message);
    }

    [Fact]
    public void Folders_give_template_and_special_tokens()
    {
        using TemporaryFolder folder = new();
        Assert.Null(ChatTemplate.Load(folder.Path));
        folder.Write(
            "tokenizer_config.json",
            """{"bos_token": {"content": "<b>"}, "eos_token": null, "chat_template": "{{ bos_token }}{{ eos_token is defined }}"}""");
        Assert.Equal("<b>False", ChatTemplate.Load(folder.Path)!.Render([]));
        folder.Write(
            "tokenizer_config.json",
            """{"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}""");
        Assert.Equal("D", ChatTemplate.Load(folder.Path)!.Render([]));
        folder.Write("chat_template.jinja", "J\n");
        Assert.Equal("J", ChatTemplate.Load(folder.Path)!.Render([]));
    }
}

using System.Text.Json;
using Forgetting.Core;
using Forgetting.Text;
using Forgetting.Text.ChatTemplates;
using Xunit;

namespace Forgetting.Tests.ChatTemplates;

/// <summary>Templates of the kinds that published models have, reduced to what makes a turn hard to find.</summary>
public class TurnFinderTests
{
    // Qwen 3: thinking is taken apart and put together again, and left out before the last question.
    private const string Rethinking = """
        {%- set ns = namespace(last=0) %}
        {%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
        {%- for m in messages %}
            {%- if m.role == 'assistant' %}
                {%- set content = m.content %}{%- set thought = m.reasoning_content or '' %}
                {%- if '</think>' in content %}
                    {%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                    {%- set content = content.split('</think>')[-1].lstrip('\n') %}
                {%- endif %}
                {{- '<|im_start|>assistant\n' }}
                {%- if loop.index0 > ns.last %}{{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' }}{%- endif %}
                {{- content }}
                {%- for c in m.tool_calls or [] %}{{- '\n<tool_call>\n' + c.name + '\n</tool_call>' }}{%- endfor %}
                {{- '<|im_end|>\n' }}
            {%- else %}
                {{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
        """;

    // Phi 3: what stands at the end depends on whether an answer is to follow.
    private const string Closing =
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% else "
        + "%}<|endoftext|>{% endif %}";

    // Mistral: turns alternate, and a question without its answer is refused.
    private const string Strict =
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') "
        + "}}{% endif %}{% if loop.last and m.role == 'user' and not add_generation_prompt %}{{ raise_exception('no answer') "
        + "}}{% endif %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]{% else %} {{ m.content | trim }}</s>{% endif %}{% endfor %}";

    private static readonly string[] s_special =
        ["<|im_start|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|user|>", "<|assistant|>", "</s>", "[INST]", "[/INST]"];

    private static string[] Learnt(string template, params ChatMessage[] messages)
    {
        (string text, IReadOnlyList<(int Start, int End)> spans) =
            ChatTemplate.Parse(template, "t", new Dictionary<string, string>()).RenderForTraining(messages, s_special);
        return [.. spans.Select(s => text[s.Start..s.End])];
    }

    [Fact]
    public void Thinking_that_is_written_otherwise_is_learnt_and_that_of_earlier_turns_is_not_there()
    {
        Assert.Equal(
            ["one<|im_end|>", "<think>\nwell\n</think>\n\ntwo<|im_end|>"],
            Learnt(
                Rethinking, new("user", "a"), new("assistant", "<think>hm</think>one"), new("user", "b"),
                new("assistant", "<think>well</think>two")));

        // Without any thought the template writes an empty one, which is none of the data's.
        Assert.Equal(
            ["one<|im_end|>", "two<|im_end|>"],
            Learnt(Rethinking, new("user", "a"), new("assistant", "one"), new("user", "b"), new("assistant", "two")));
        Assert.Equal(
            ["assistant<|im_end|>", "user<|im_end|>"],
            Learnt(Rethinking, new("user", "assistant"), new("assistant", "assistant"), new("user", "user"), new("assistant", "user")));
    }

    [Fact]
    public void What_a_turn_has_besides_its_content_is_learnt_with_it()
    {
        JsonElement calls = JsonDocument.Parse("""[{"name": "f"}]""").RootElement, thought = JsonDocument.Parse("\"hm\"").RootElement;
        ChatMessage call = new("assistant", "") { More = new() { ["tool_calls"] = calls }, NoContent = false },
            said = new("assistant", "ok") { More = new() { ["reasoning_content"] = thought } };
        Assert.Equal(
            ["<think>\n\n</think>\n\n\n<tool_call>\nf\n</tool_call><|im_end|>", "<think>\nhm\n</think>\n\nok<|im_end|>"],
            Learnt(Rethinking, new("user", "a"), call, new("tool", "1"), said));
    }

    [Fact]
    public void The_end_of_a_turn_is_found_where_the_end_of_the_text_depends_on_what_follows()
    {
        Assert.Equal(
            ["one<|end|>", "two<|end|>"],
            Learnt(Closing, new("user", "a"), new("assistant", "one"), new("user", "b"), new("assistant", "two")));
        Assert.Equal(["one<|end|>"], Learnt(Closing, new("assistant", "one"), new("user", "b")));
    }

    [Fact]
    public void A_template_that_refuses_parts_of_a_conversation_still_tells_where_turns_stand()
    {
        Assert.Equal(
            [" one</s>", " two</s>"],
            Learnt(Strict, new("user", "one"), new("assistant", "one "), new("user", "two"), new("assistant", "two")));
    }

    [Fact]
    public void Content_that_the_template_changes_is_not_guessed_at()
    {
        UserException error = Assert.Throws<UserException>(
            () => Learnt("{% for m in messages %}{{ m.content | upper }}</s>{% endfor %}", new("user", "a"), new("assistant", "Yes!")));
        Assert.Equal(
            "t: cannot tell where message 2 stands in the text; expected a template with {% generation %} or one that writes "
                + "each assistant's content",
            error.Message);
    }

    [Fact]
    public void An_answer_that_begins_as_the_generation_prompt_goes_on_is_found()
    {
        const string template =
            "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}{% if add_generation_prompt "
            + "%}[assistant]<think>\n{% endif %}";
        Assert.Equal(["<b>x</s>", "<think>\ny</s>", "<think></s>", "<</s>"], Learnt(
            template, new("user", "a"), new("assistant", "<b>x"), new("user", "b"), new("assistant", "<think>\ny"), new("user", "c"),
            new("assistant", "<think>"), new("user", "d"), new("assistant", "<")));
    }
}

using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Text.ChatTemplates;
using Xunit;
using static Forgetting.Tests.Tokenizers.TestTokenizers;

namespace Forgetting.Tests.Data;

/// <summary>What a line has beside its texts, and what of it may become a special token.</summary>
public class TemplateDataTests
{
    private const string Everything =
        "{{ bos_token }}{% for t in tools or [] %}{{ t.name }}{% endfor %}{% for m in messages %}<{{ m.role }}>{{ m.name }}{{ m.content }}"
        +
        "{% for c in m.tool_calls or [] %}{% for k in c %}{{ k }}={{ c[k] }}{% endfor %}{% endfor %}<|turn|>{% endfor %}{{ mood }}";

    private static EncodedExample Encode(string template, string line, bool allowSpecial = false) =>
        new ExampleEncoder(Bytes(), 1000, allowSpecial, Layout(template)).Encode(Read(line));

    private static MessageLayout Layout(string template) => template switch
    {
        "tulu" => MessageLayout.Tulu,
        "plain" => MessageLayout.Plain,
        _ => MessageLayout.From(ChatTemplate.Parse(template, "t", new Dictionary<string, string> { ["bos_token"] = "<s>" })),
    };

    private static DataExample Read(string line)
    {
        using TemporaryFolder folder = new();
        return Assert.Single(DataSet.Read(folder.Write("d.jsonl", line)));
    }

    private static string Message(Action action) => Assert.Throws<UserException>(action).Message.Split('/')[^1];

    /// <summary>The file of the issue that showed this: a role that closes the text and opens another.</summary>
    [Theory]
    [InlineData("""{"messages":[{"role":"user</s><s>","content":"q"},{"role":"assistant","content":"a"}]}""")]
    [InlineData("""{"messages":[{"role":"/s","content":"q"},{"role":"s","content":"q"},{"role":"assistant","content":"a"}]}""")]
    [InlineData("""{"messages":[{"role":"user","name":"</s>","content":"q"},{"role":"assistant","content":"a"}]}""")]
    [InlineData(
        """{"messages":[{"role":"user","content":"q"},"""
        + """{"role":"assistant","content":"a","tool_calls":[{"</s>":"<|turn|>","deep":[{"x":"<s>"}]}]}]}""")]
    [InlineData(
        """{"tools":[{"name":"</s>"}],"messages":[{"role":"user","content":[{"type":"text","text":"</"},{"type":"text","text":"s>"}]},"""
        + """{"role":"assistant","content":"a"}]}""")]
    [InlineData(
        """{"chat_template_kwargs":{"mood":"</s>"},"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}""")]
    public void Nothing_of_the_data_becomes_a_special_token(string line)
    {
        int[] ids = Encode(Everything, line).Ids;
        Assert.Equal(Bos, ids[0]);
        Assert.DoesNotContain(Bos, ids[1..]);
        Assert.DoesNotContain(Eos, ids);
        Assert.Equal(Read(line).Messages!.Count, ids.Count(id => id == Turn));

        // As text it is all there, without anything added.
        Assert.DoesNotContain('\uFDD0', Bytes().Decode(ids, skipSpecial: false));
    }

    [Fact]
    public void Roles_that_the_template_knows_make_its_own_special_tokens()
    {
        const string template = "{% for m in messages %}<|{{ m.role }}|>{{ 'T' if m.role == 'turn' }}{{ m.content }}<|turn|>{% endfor %}";
        int[] ids = Encode(template, """{"messages":[{"role":"turn","content":"q"},{"role":"assistant","content":"a"}]}""").Ids;
        Assert.Equal([Turn, 'T', 'q', Turn], ids[..4]);
        Assert.Equal(Eos, Encode("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}",
            """{"messages":[{"role":"/s","content":"q"},{"role":"assistant","content":"a"}]}""", allowSpecial: true).Ids[0]);
    }

    [Theory]
    [InlineData(
        "tulu", """{"messages":[{"role":"user","content":"q","name":"Bob"},{"role":"assistant","content":"a"}]}""",
        "d.jsonl: line 1: message 1 has 'name', which is not written by the template tulu; expected none, "
        + "or a chat template that writes it")]
    [InlineData(
        "plain", """{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[1]}]}""",
        "d.jsonl: line 1: message 2 has 'tool_calls', which is not written by the template plain; expected none, "
        + "or a chat template that writes it")]
    [InlineData(
        "tulu", """{"prompt":"q","completion":"a","tools":[1]}""",
        "d.jsonl: line 1: 'tools' is not written by the template tulu; expected none, or a chat template that writes it")]
    [InlineData(
        Everything, """{"messages":[{"role":"user","content":"q","mood":"x"},{"role":"assistant","content":"a"}]}""",
        "d.jsonl: line 1: message 1 has 'mood', which the template t does not write; expected only what it writes")]
    [InlineData(
        Everything, """{"documents":[1],"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}""",
        "d.jsonl: line 1: 'documents' changes nothing in what the template t writes; expected only what it writes")]
    public void What_the_template_does_not_write_is_refused_by_name(string template, string line, string message) =>
        Assert.Equal(message, Message(() => Encode(template, line)));

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":null}]}""", "d.jsonl: line 1: 'messages.content' is missing")]
    [InlineData(
        """{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"x"}]}]}""",
        "d.jsonl: line 1: 'messages.content.type' is a part of type the string \"image_url\"; expected parts of type \"text\"")]
    [InlineData(
        """{"messages":[{"role":"assistant","content":"a","weight":-0.5}]}""",
        "d.jsonl: line 1: 'messages.weight' is the number -0.5; expected a number from 0 (not trained on) to 1000")]
    [InlineData(
        """{"messages":[{"role":"user","content":"a","weight":1}]}""",
        "d.jsonl: line 1: 'messages.weight' is 1 in a message of the user; "
        + "expected one in an assistant's message only: no other is learnt")]
    [InlineData(
        """{"messages":[{"role":"user","content":"a","name":"\ud800"}]}""",
        "d.jsonl: line 1: 'messages' is a string that is not valid Unicode; expected a string")]
    [InlineData(
        """{"messages":[{"role":"user","content":"a"}],"weights":[0.5]}""",
        "d.jsonl: line 1: 'weights' is not supported, and without it the line would mean something else; expected messages without it")]
    [InlineData(
        """{"prompt":"a","completion":"b","system":"c"}""",
        "d.jsonl: line 1: 'system' is not supported, and without it the line would mean something else; "
        + "expected prompt and completion without it")]
    public void Keys_that_are_not_understood_are_refused_by_name(string line, string message) =>
        Assert.Equal(message, Message(() => Read(line)));

    [Fact]
    public void Keys_that_say_nothing_are_passed_over()
    {
        DataExample example = Read(
            """{"id":7,"source":"x","tools":[],"weight":null,"messages":[{"role":"user","content":"q","name":null},"""
                + """{"role":"assistant","content":"a","tool_calls":[],"weight":1}]}""");
        Assert.Equal(["id", "source"], example.Unread);
        Assert.Equal(2, new ExampleEncoder(Bytes(), 100, layout: MessageLayout.Tulu).Encode(example).ResponseCount);
        Assert.Equal(3, new ExampleEncoder(Bytes(), 100, layout: MessageLayout.Plain).Encode(example).ResponseCount);
    }

    [Fact]
    public void Weight_0_leaves_a_turn_out_and_needs_another_that_is_learnt()
    {
        const string tagged =
            "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content "
            + "}}{% endif %}{% endfor %}";
        const string line =
            """{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"no","weight":0},{"role":"user","content":"r"},"""
                + """{"role":"assistant","content":"yes"}]}""";
        foreach (string template in new[] { "tulu", "plain", tagged, Everything })
        {
            EncodedExample example = Encode(template, line);
            Assert.StartsWith(
                "yes", Bytes().Decode([.. example.Ids.Where((_, i) => example.Response[i])]).TrimStart(), StringComparison.Ordinal);
        }

        Assert.Equal(
            "d.jsonl: line 1: nothing to train on; expected an assistant message",
            Message(() => Encode("tulu", line.Replace("\"yes\"", "\"yes\",\"weight\":0", StringComparison.Ordinal))));
        Assert.Equal(
            "t: marks 1 stretches as generated in a conversation of 2 assistant messages, "
                + "so those of another weight or sign cannot be told; expected one each",
            Message(() => Encode("{% generation %}" + tagged.Replace("{% generation %}", "", StringComparison.Ordinal)
                .Replace("{% endgeneration %}", "", StringComparison.Ordinal) + "{% endgeneration %}", line)));
    }
}

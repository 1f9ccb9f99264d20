using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Text;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;
using Xunit;
using static Forgetting.Tests.Tokenizers.TestTokenizers;

namespace Forgetting.Tests.Data;

/// <summary>Every expectation is written out by hand with a tokenizer of one token a byte.</summary>
public class ExampleEncoderTests
{
    private static DataExample Pair(string prompt, string completion) =>
        new() { Index = 7, Place = "d.jsonl: line 8", Prompt = prompt, Completion = completion };

    private static DataExample Conversation(params (string Role, string Content)[] messages) =>
        new() { Index = 7, Place = "d.jsonl: line 8", Messages = [.. messages.Select(m => new ChatMessage(m.Role, m.Content))] };

    /// <summary>Checks ids and marks; in the expectation the trained stretches are those between brackets.</summary>
    private static void Check(EncodedExample actual, params (int[] Ids, bool Trained)[] expected)
    {
        Assert.Equal(expected.SelectMany(e => e.Ids), actual.Ids);
        Assert.Equal(expected.SelectMany(e => e.Ids.Select(_ => e.Trained)), actual.Response);
    }

    [Theory]
    [InlineData("ab", "cd", "ab cd", 2)]
    [InlineData("ab ", "cd", "ab cd", 3)]
    [InlineData("ab\n", "cd", "ab\ncd", 3)]
    [InlineData("ab", " cd", "ab cd", 2)]
    [InlineData("ab ", " cd", "ab  cd", 3)]
    [InlineData("", "cd", " cd", 0)]
    [InlineData("ab", "", "ab ", 2)]
    public void Prompt_and_completion_join_and_end_in_eos(string prompt, string completion, string joined, int untrained)
    {
        EncodedExample example = new ExampleEncoder(Bytes(), 100).Encode(Pair(prompt, completion));
        Assert.Equal(7, example.Index);
        Check(example, ([Bos], false), (Utf8(joined[..untrained]), false), ([.. Utf8(joined[untrained..]), Eos], true));
    }

    [Fact]
    public void Nothing_predicts_the_first_token()
    {
        EncodedExample example = new ExampleEncoder(Bytes(bos: false), 100).Encode(Pair("", "cd"));
        Check(example, (Utf8(" "), false), ([.. Utf8("cd"), Eos], true));
    }

    [Fact]
    public void Conversation_trains_each_assistant_content_through_its_eos()
    {
        EncodedExample example = new ExampleEncoder(Bytes(), 1000).Encode(Conversation(
            ("system", "S"), ("user", " U "), ("assistant", "A\n"), ("user", "V"), ("assistant", "B")));
        Check(
            example,
            ([Bos, .. Utf8("<|system|>\nS\n<|user|>\nU\n<|assistant|>\n")], false),
            ([.. Utf8("A"), Eos], true),
            (Utf8("\n<|user|>\nV\n<|assistant|>\n"), false),
            ([.. Utf8("B"), Eos], true));
    }

    [Fact]
    public void Turns_behind_the_last_assistant_are_given_and_lose_their_final_newline()
    {
        EncodedExample example =
            new ExampleEncoder(Bytes(), 1000).Encode(Conversation(("assistant", "A"), ("assistant", ""), ("user", "V")));
        Check(
            example,
            ([Bos, .. Utf8("<|assistant|>\n")], false),
            ([.. Utf8("A"), Eos], true),
            (Utf8("\n<|assistant|>\n"), false),
            ([Eos], true),
            (Utf8("\n<|user|>\nV"), false));
    }

    [Fact]
    public void Plain_conversation_has_no_markers_and_joins_like_a_prompt_with_its_completion()
    {
        var encoder = new ExampleEncoder(Bytes(), 1000, layout: MessageLayout.Plain);
        Check(
            encoder.Encode(
                Conversation(("system", "S"), ("user", "U\n"), ("assistant", "A"), ("user", " V"), ("assistant", "B"), ("user", "W"))),
            ([Bos, .. Utf8("S U\n")], false),
            ([.. Utf8("A"), Eos], true),
            (Utf8(" V"), false),
            ([.. Utf8(" B"), Eos], true),
            (Utf8("W"), false));
        Check(
            encoder.Encode(Conversation(("assistant", "A"), ("assistant", "B")) with { Truncated = true }),
            ([Bos], false), ([.. Utf8("A"), Eos], true), (Utf8("B"), true));
        foreach ((string prompt, string completion) in new[] { ("ab", "cd"), ("ab ", "cd"), ("ab", "\ncd") })
        {
            EncodedExample pair = encoder.Encode(Pair(prompt, completion)),
                turns = encoder.Encode(Conversation(("user", prompt), ("assistant", completion)));
            Assert.Equal(pair.Ids, turns.Ids);
            Assert.Equal(pair.Response, turns.Response);
        }

        Assert.Equal([Bos, .. Utf8("S U")], encoder.EncodePrompt(Conversation(("system", "S"), ("user", "U"))));
    }

    [Fact]
    public void Special_text_in_data_is_data_unless_allowed()
    {
        Check(
            new ExampleEncoder(Bytes(), 100).Encode(Pair("</s>", "<s>")), ([Bos, .. Utf8("</s>")], false), ([.. Utf8(" <s>"), Eos], true));
        Check(
            new ExampleEncoder(Bytes(), 100, allowSpecial: true).Encode(Pair("</s>", "<s>")), ([Bos, Eos], false),
            ([(int)' ', Bos, Eos], true));
    }

    [Fact]
    public void Truncation_cuts_the_end()
    {
        EncodedExample whole = new ExampleEncoder(Bytes(), 7).Encode(Pair("ab", "cd"));
        Check(whole, ([Bos, .. Utf8("ab")], false), ([.. Utf8(" cd"), Eos], true));
        EncodedExample cut = new ExampleEncoder(Bytes(), 4).Encode(Pair("ab", "cd"));
        Check(cut, ([Bos, .. Utf8("ab")], false), (Utf8(" "), true));
    }

    [Fact]
    public void A_prompt_that_fills_the_length_and_a_conversation_without_assistant_are_errors()
    {
        UserException full = Assert.Throws<UserException>(() => new ExampleEncoder(Bytes(), 3).Encode(Pair("ab", "cd")));
        Assert.Equal("d.jsonl: line 8: the prompt takes 3 tokens; expected fewer than the maximum length of 3", full.Message);
        UserException none = Assert.Throws<UserException>(() => new ExampleEncoder(Bytes(), 100).Encode(Conversation(("user", "U"))));
        Assert.Equal("d.jsonl: line 8: nothing to train on; expected an assistant message", none.Message);
        UserException role = Assert.Throws<UserException>(() => new ExampleEncoder(Bytes(), 100).Encode(Conversation(("robot", "U"))));
        Assert.Equal("d.jsonl: line 8: role \"robot\"; expected system, developer, user, assistant, tool or function", role.Message);
    }

    [Fact]
    public void A_chat_template_lays_out_the_conversation_and_its_special_tokens_are_real()
    {
        const string template =
            "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}<|turn|>\n{% endfor %}{% if add_generation_prompt "
            + "%}assistant: {% endif %}";
        ChatTemplate chat = ChatTemplate.Parse(template, "t", new Dictionary<string, string> { ["bos_token"] = "<s>" });
        DataExample conversation = Conversation(("user", "U</s>"), ("assistant", "A<|turn|>\uFDD0"), ("user", "V"), ("assistant", "B"));
        Check(
            new ExampleEncoder(Bytes(), 1000, layout: MessageLayout.From(chat)).Encode(conversation),
            ([Bos, .. Utf8("user: U</s>"), Turn, .. Utf8("\nassistant: ")], false),
            ([.. Utf8("A<|turn|>\uFDD0"), Turn], true),
            ([.. Utf8("\nuser: V"), Turn, .. Utf8("\nassistant: ")], false),
            ([.. Utf8("B"), Turn], true),
            (Utf8("\n"), false));
        EncodedExample cut =
            new ExampleEncoder(Bytes(), 1000, layout: MessageLayout.From(chat)).Encode(conversation with { Truncated = true });
        Assert.Equal((int)'B', cut.Ids[^1]);
        Assert.True(cut.Response[^1]);
        Check(
            new ExampleEncoder(Bytes(), 1000, allowSpecial: true, MessageLayout.From(chat)).Encode(Pair("</s>", "A")),
            ([Bos, .. Utf8("user: "), Eos, Turn, .. Utf8("\nassistant: ")], false),
            ([.. Utf8("A"), Turn], true),
            (Utf8("\n"), false));
    }

    [Fact]
    public void Generation_tags_say_what_is_trained_on()
    {
        const string template =
            "{% for m in messages %}{% if m.role == 'assistant' %}[{% generation %}{{ m.content }}!{% endgeneration %}]{% else %}{{ "
            + "m.content }}{% endif %}{% endfor %}";
        ChatTemplate chat = ChatTemplate.Parse(template, "t", new Dictionary<string, string>());
        Check(
            new ExampleEncoder(Bytes(), 1000, layout: MessageLayout.From(chat))
                .Encode(Conversation(("user", "U"), ("assistant", "A"), ("assistant", "B"))),
            (Utf8("U["), false),
            (Utf8("A!"), true),
            (Utf8("]["), false),
            (Utf8("B!"), true),
            (Utf8("]"), false));
    }

    [Fact]
    public void What_precedes_an_answer_is_what_training_does_not_learn_of_it()
    {
        const string template =
            "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}<|turn|>\n{% endfor %}{% if add_generation_prompt "
            + "%}assistant: {% endif %}";
        ChatTemplate chat = ChatTemplate.Parse(template, "t", new Dictionary<string, string> { ["bos_token"] = "<s>" });
        DataExample conversation = Conversation(("system", "S"), ("user", "U</s>"), ("assistant", "A"), ("user", "V"), ("assistant", "B"));
        foreach (MessageLayout layout in new[] { MessageLayout.Tulu, MessageLayout.Plain, MessageLayout.From(chat) })
        {
            var encoder = new ExampleEncoder(Bytes(), 1000, layout: layout);
            EncodedExample example = encoder.Encode(conversation);
            int answer = Array.LastIndexOf(example.Response[..(Array.LastIndexOf(example.Response, true) + 1)], false) + 1;
            Assert.Equal(example.Ids[..answer], encoder.EncodePrompt(conversation));
            Assert.Equal(
                example.Ids[..answer], encoder.EncodePrompt(conversation with { Messages = [.. conversation.Messages!.SkipLast(1)] }));
        }

        Assert.Equal(
            [Bos, .. Utf8("user: P</s>"), Turn, .. Utf8("\nassistant: ")],
            new ExampleEncoder(Bytes(), 1000, layout: MessageLayout.From(chat)).EncodePrompt(Pair("P</s>", "")));
        Assert.Equal([Bos, .. Utf8("P</s>")], new ExampleEncoder(Bytes(), 1000).EncodePrompt(Pair("P</s>", "")));
    }

    [SharedDataFact]
    public void A_sentencepiece_conversation_equals_the_whole_text_with_its_eos_as_special_tokens()
    {
        Tokenizer tokenizer = Tokenizer.Load(SharedData.Path("stories260K", "hf"));
        EncodedExample example = new ExampleEncoder(tokenizer, 1000)
            .Encode(Conversation(("user", "Hello"), ("assistant", "Once upon"), ("user", "More"), ("assistant", "a time")));
        const string text = "<|user|>\nHello\n<|assistant|>\nOnce upon</s>\n<|user|>\nMore\n<|assistant|>\na time</s>";
        Assert.Equal(tokenizer.Encode(text, allowSpecial: true), example.Ids);
        Assert.True(example.Response[^1]);
        Assert.Equal(2, example.Ids.Where((id, i) => id == 2 && example.Response[i]).Count());
    }
}

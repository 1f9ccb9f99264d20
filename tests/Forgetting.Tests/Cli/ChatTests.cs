using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Cli;
using Forgetting.Cli.Commands;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Text.ChatTemplates;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>Conversations with stories260K, which tells a story whatever it is asked.</summary>
public sealed class ChatTests : IDisposable
{
    private const string Layout =
        "{{ bos_token }}{% for m in messages %}({{ m.role }}) {{ m.content }} {% endfor %}{% if add_generation_prompt "
        + "%}(assistant){% endif %}";

    private readonly CpuBackend _backend = new();

    public void Dispose() => _backend.Dispose();

    [SharedDataFact]
    public void Each_answer_continues_the_whole_conversation()
    {
        using LoadedModel model = Load();
        var options = new GenerationOptions { MaxNewTokens = 12 };
        using ChatSession session = Session(model, options, system: "S");
        var output = new StringWriter { NewLine = "\n" };
        ChatCommand.Converse(session, new StringReader("Hello\n\n  \nMore\n /exit \nnot read"), output, interactive: false);

        Assert.Equal(["system", "user", "assistant", "user", "assistant"], session.Messages.Select(m => m.Role));
        Assert.Equal($"{session.Messages[2].Content}\n{session.Messages[4].Content}\n", output.ToString());
        string second = $"<s>(system) S (user) Hello (assistant) {session.Messages[2].Content} (user) More (assistant)";
        int[] prompt = model.Tokenizer.Encode(second, bos: false, allowSpecial: true);
        Assert.InRange(
            session.Reused, model.Tokenizer.Encode("<s>(system) S (user) Hello (assistant)", bos: false, allowSpecial: true).Length,
            prompt.Length - 1);
        Assert.Equal(session.Messages[4].Content, model.Tokenizer.Decode(new Generator(model.Decoder).Generate([prompt], options)[0]));
    }

    [SharedDataFact]
    public void Typing_is_prompted_and_goes_on_after_an_error_until_the_input_ends()
    {
        using LoadedModel model = Load();
        using ChatSession session = Session(model, new GenerationOptions { MaxNewTokens = 3 });
        var output = new StringWriter { NewLine = "\n" };
        ChatCommand.Converse(session, new StringReader($"{new string('x', 600)}\nHi"), output, interactive: true);
        Assert.Equal($"> > {session.Messages[1].Content}\n> ", output.ToString());
        Assert.Equal("Hi", session.Messages[0].Content);
        Assert.Throws<UserException>(
            () => ChatCommand.Converse(session, new StringReader(new string('x', 600)), output, interactive: false));
    }

    [SharedDataFact]
    public void A_stop_text_ends_an_answer_and_a_cancelled_one_is_kept_as_far_as_it_came()
    {
        using LoadedModel model = Load();
        using ChatSession whole = Session(model, new GenerationOptions { MaxNewTokens = 20 });
        whole.Answer("Hi", _ => { }, default);
        string answer = whole.Messages[1].Content, stop = answer[8..12];
        using ChatSession stopped = Session(model, new GenerationOptions { MaxNewTokens = 20 }, stop: stop);
        stopped.Answer("Hi", _ => { }, default);
        Assert.Equal(answer[..answer.IndexOf(stop, StringComparison.Ordinal)], stopped.Messages[1].Content);

        using var source = new CancellationTokenSource();
        using ChatSession cancelled = Session(model, new GenerationOptions { MaxNewTokens = 20 });
        string shown = "";
        cancelled.Answer("Hi", part => { shown += part; source.Cancel(); }, source.Token);
        Assert.Equal(shown, cancelled.Messages[1].Content);
        Assert.True(shown.Length > 0 && shown.Length < answer.Length && answer.StartsWith(shown, StringComparison.Ordinal), shown);
    }

    [SharedDataFact]
    public void What_outgrows_the_context_is_forgotten_from_the_oldest_question_on()
    {
        using LoadedModel model = Load();
        using ChatSession session = Session(model, new GenerationOptions { MaxNewTokens = 2 }, system: "S");
        foreach (char letter in "abcd")
        {
            session.Answer(new string(letter, 200), _ => { }, default);
        }

        Assert.Equal("S", session.Messages[0].Content);
        Assert.Equal(['c', 'd'], session.Messages.Where(m => m.Role == "user").Select(m => m.Content[0]));
    }

    private static ChatSession Session(LoadedModel model, GenerationOptions options, string? system = null, string? stop = null) =>
        new(
            model, MessageLayout.From(ChatTemplate.Parse(Layout, "t", new Dictionary<string, string> { ["bos_token"] = "<s>" })),
            stop is null ? options : options with { StopTexts = [stop] }, system);

    private LoadedModel Load() => LoadedModel.Load(SharedData.Path("stories260K", "hf"), _backend);
}

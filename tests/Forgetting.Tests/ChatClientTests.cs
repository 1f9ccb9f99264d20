using Forgetting.Core;
using Forgetting.Extensions.AI;
using Forgetting.Models;
using Forgetting.Testing;
using Microsoft.Extensions.AI;
using Xunit;
using Message = Forgetting.Text.ChatMessage;

namespace Forgetting.Tests;

/// <summary>The model as an <see cref="IChatClient"/>, against the facade's own answers.</summary>
public sealed class ChatClientTests : IDisposable
{
    private readonly LanguageModel _model =
        SharedData.Folder is null ? null! : LanguageModel.Load(SharedData.Path("stories260K", "hf"), "cpu");

    public void Dispose() => _model?.Dispose();

    [SharedDataFact]
    public async Task Answers_at_once_and_in_parts_as_the_model_does()
    {
        using IChatClient client = _model.AsChatClient();
        ChatMessage[] messages = [new(ChatRole.User, "Hello"), new(ChatRole.Assistant, "Hi."), new(ChatRole.User, "Who are you?")];
        var options = new ChatOptions
        {
            MaxOutputTokens = 16, Temperature = 0.9f, TopK = 20, TopP = 0.75f, Seed = 7, Instructions = "Be brief.",
            StopSequences = ["qqq"],
        };
        string expected = _model.Chat(
            [new("system", "Be brief."), new("user", "Hello"), new("assistant", "Hi."), new("user", "Who are you?")],
            new GenerationOptions { MaxNewTokens = 16, Temperature = 0.9f, TopK = 20, TopP = 0.75f, Seed = 7 });

        ChatResponse response = await client.GetResponseAsync(messages, options);
        ChatMessage answer = Assert.Single(response.Messages);
        Assert.Equal((ChatRole.Assistant, expected, _model.Path), (answer.Role, response.Text, response.ModelId));

        List<ChatResponseUpdate> updates = [];
        await foreach (ChatResponseUpdate update in client.GetStreamingResponseAsync(messages, options))
        {
            updates.Add(update);
        }

        Assert.True(updates.Count > 8);
        Assert.Equal(expected, string.Concat(updates.Select(u => u.Text)));

        options.StopSequences = [expected[4..7]];
        Assert.Equal(
            expected[..expected.IndexOf(expected[4..7], StringComparison.Ordinal)],
            (await client.GetResponseAsync(messages, options)).Text);
    }

    [SharedDataFact]
    public async Task Requests_at_the_same_time_get_their_own_answers()
    {
        using IChatClient client = _model.AsChatClient();
        var options = new ChatOptions { MaxOutputTokens = 8 };
        string[] questions = [.. Enumerable.Range(0, 4).Select(i => $"Question {i}")];
        ChatResponse[] answers = await Task.WhenAll(questions.Select(q => client.GetResponseAsync(q, options)));
        Assert.Equal(
            questions.Select(q => _model.Chat([new Message("user", q)], new GenerationOptions { MaxNewTokens = 8 })),
            answers.Select(a => a.Text));
    }

    [SharedDataFact]
    public async Task What_it_cannot_do_is_refused_and_what_it_is_can_be_asked()
    {
        using IChatClient client = _model.AsChatClient();
        await Refused("tools", [new(ChatRole.User, "Hi")], new ChatOptions { Tools = [AIFunctionFactory.Create(() => 1, "one")] });
        await Refused("format", [new(ChatRole.User, "Hi")], new ChatOptions { ResponseFormat = ChatResponseFormat.Json });
        await Refused("DataContent", [new(ChatRole.User, [new DataContent(new byte[] { 1 }, "image/png")])], null);
        await Refused("temperature", [new(ChatRole.User, "Hi")], new ChatOptions { Temperature = -1 });
        await Refused("at least one", [], null);
        Assert.Same(_model, client.GetService(typeof(LanguageModel)));
        Assert.Same(client, client.GetService(typeof(IChatClient)));
        Assert.Null(client.GetService(typeof(LanguageModel), "key"));
        Assert.Equal(
            ("forgetting", _model.Path),
            (client.GetRequiredService<ChatClientMetadata>().ProviderName, client.GetRequiredService<ChatClientMetadata>().DefaultModelId));

        client.Dispose();
        Assert.NotEmpty(_model.Chat("Hi", new GenerationOptions { MaxNewTokens = 4 }));
        new LanguageModelChatClient(_model, ownsModel: true).Dispose();
        Assert.Throws<ObjectDisposedException>(() => _model.Chat("Hi"));

        async Task Refused(string named, ChatMessage[] messages, ChatOptions? options) => Assert.Contains(
            named, (await Assert.ThrowsAsync<UserException>(() => client.GetResponseAsync(messages, options))).Message,
            StringComparison.Ordinal);
    }
}

using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text;
using Forgetting.Models;
using Forgetting.Testing;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Models;
using Xunit;
using Message = Forgetting.Text.ChatMessage;

namespace Forgetting.Server.Tests;

/// <summary>OpenAI's own client as the client; what comes is what the library writes alone.</summary>
public sealed class OpenAIClientTests
{
    private static readonly ChatMessage[] s_messages =
        [new SystemChatMessage("Be brief."), new UserChatMessage("Hello"), new AssistantChatMessage("Hi."), new UserChatMessage("Who?")];

    private static readonly Message[] s_same =
        [new("system", "Be brief."), new("user", "Hello"), new("assistant", "Hi."), new("user", "Who?")];

    [SharedDataFact]
    public async Task Models_are_listed_and_found_and_what_is_not_there_is_an_error()
    {
        await using RunningServer server = await RunningServer.Start(new AccessOptions { ApiKey = "secret" });
        OpenAIModelClient models = Client(server, "secret").GetOpenAIModelClient();
        Assert.Equal([RunningServer.Base, "one", "two"], (await models.GetModelsAsync()).Value.Select(model => model.Id));
        Assert.Equal("forgetting", (await models.GetModelAsync("one")).Value.OwnedBy);
        Assert.Equal(404, (await Assert.ThrowsAsync<ClientResultException>(() => models.GetModelAsync("none"))).Status);
        ClientResultException refused = await Assert.ThrowsAsync<ClientResultException>(
            () => Client(server, "wrong").GetOpenAIModelClient().GetModelsAsync());
        Assert.Equal(401, refused.Status);
        Assert.Contains("invalid_api_key", refused.Message, StringComparison.Ordinal);
    }

    [SharedDataTheory]
    [InlineData(RunningServer.Base, 0)]
    [InlineData("one", 1)]
    [InlineData("two", 2)]
    public async Task Answers_whole_and_in_parts_are_the_librarys(string name, int adapter)
    {
        await using RunningServer server = await RunningServer.Start();
        using LanguageModel model =
            LanguageModel.Load(RunningServer.ModelPath, "cpu", adapter == 0 ? null : server.Adapter(adapter));
        ChatClient client = Client(server).GetChatClient(name);
        var options = new ChatCompletionOptions { MaxOutputTokenCount = 30, Temperature = 0.9f, TopP = 0.75f, EndUserId = "me" };
#pragma warning disable OPENAI001
        options.Seed = 7;
#pragma warning restore OPENAI001
        var same = new GenerationOptions { MaxNewTokens = 30, Temperature = 0.9f, TopP = 0.75f, Seed = 7 };
        string expected = model.Chat(s_same, same);
        ChatCompletion whole = await client.CompleteChatAsync(s_messages, options);
        Assert.Equal((expected, ChatMessageRole.Assistant, name), (whole.Content[0].Text, whole.Role, whole.Model));
        Assert.Equal((ChatFinishReason.Length, 30), (whole.FinishReason, whole.Usage.OutputTokenCount));
        Assert.True(whole.Usage.InputTokenCount > 30);

        var text = new StringBuilder();
        int parts = 0;
        ChatFinishReason? reason = null;
        await foreach (StreamingChatCompletionUpdate update in client.CompleteChatStreamingAsync(s_messages, options))
        {
            parts++;
            text.Append(string.Concat(update.ContentUpdate.Select(part => part.Text)));
            reason = update.FinishReason ?? reason;
        }

        Assert.Equal((expected, ChatFinishReason.Length), (text.ToString(), reason));
        Assert.True(parts > 10, $"{parts} parts");

        options.StopSequences.Add(expected[10..14]);
        ChatCompletion stopped = await client.CompleteChatAsync(s_messages, options);
        Assert.Equal(
            (expected[..expected.IndexOf(expected[10..14], StringComparison.Ordinal)], ChatFinishReason.Stop),
            (stopped.Content[0].Text, stopped.FinishReason));
    }

    [SharedDataFact]
    public async Task Log_probabilities_are_told_with_their_tokens()
    {
        await using RunningServer server = await RunningServer.Start();
        ChatClient client = Client(server).GetChatClient(RunningServer.Base);
        var options = new ChatCompletionOptions
        {
            MaxOutputTokenCount = 12, Temperature = 0, IncludeLogProbabilities = true, TopLogProbabilityCount = 3,
        };
        ChatCompletion whole = await client.CompleteChatAsync(s_messages, options);
        Assert.Equal(12, whole.ContentTokenLogProbabilities.Count);
        Assert.Equal(whole.Content[0].Text, string.Concat(whole.ContentTokenLogProbabilities.Select(token => token.Token)));
        Assert.All(whole.ContentTokenLogProbabilities, token =>
        {
            // Greedy: the token is the likeliest of those that are told.
            Assert.Equal(3, token.TopLogProbabilities.Count);
            ChatTokenTopLogProbabilityDetails best = token.TopLogProbabilities[0];
            Assert.Equal((token.Token, token.LogProbability), (best.Token, best.LogProbability));
            Assert.Equal(token.Token, Encoding.UTF8.GetString(token.Utf8Bytes!.Value.Span));
            Assert.InRange(token.TopLogProbabilities.Sum(top => Math.Exp(top.LogProbability)), 0, 1);
        });

        List<ChatTokenLogProbabilityDetails> streamed = [];
        await foreach (StreamingChatCompletionUpdate update in client.CompleteChatStreamingAsync(s_messages, options))
        {
            streamed.AddRange(update.ContentTokenLogProbabilities);
        }

        // The second time the prompt is known, and its last token read alone, which sums in another order.
        Assert.Equal(whole.ContentTokenLogProbabilities.Select(token => token.Token), streamed.Select(token => token.Token));
        Assert.All(
            whole.ContentTokenLogProbabilities.Zip(streamed),
            pair => Assert.Equal(pair.First.LogProbability, pair.Second.LogProbability, 1e-4));
    }

    [SharedDataFact]
    public async Task Many_at_once_get_their_own_answers()
    {
        await using RunningServer server = await RunningServer.Start();
        ChatClient client = Client(server).GetChatClient(RunningServer.Base);
        using LanguageModel model = LanguageModel.Load(RunningServer.ModelPath, "cpu");
        string[] answers = await Task.WhenAll(Enumerable.Range(0, 24).Select(async i =>
        {
            ChatCompletion answer = await client.CompleteChatAsync(
                [new UserChatMessage($"Question {i}")], new ChatCompletionOptions { MaxOutputTokenCount = 5 + i, Temperature = 0 });
            return answer.Content[0].Text;
        }));
        Assert.Equal(
            Enumerable.Range(0, 24).Select(i => model.Chat($"Question {i}", new GenerationOptions { MaxNewTokens = 5 + i })), answers);
    }

    private static OpenAIClient Client(RunningServer server, string key = "none") => new(
        new ApiKeyCredential(key),
        new OpenAIClientOptions { Endpoint = new Uri(server.Address, "v1"), RetryPolicy = new ClientRetryPolicy(0) });
}

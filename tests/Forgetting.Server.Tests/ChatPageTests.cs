using Forgetting.Models;
using PuppeteerSharp;
using Xunit;

namespace Forgetting.Server.Tests;

/// <summary>The chat page in a browser: what it shows is what the library answers.</summary>
public sealed class ChatPageTests
{
    [BrowserFact(needsData: true)]
    public async Task Two_models_answer_side_by_side_and_remember_their_own_conversation()
    {
        await using RunningServer server = await RunningServer.Start();
        await using IBrowser browser = await BrowserFactAttribute.Launch();
        await using IPage page = await browser.NewPageAsync();
        List<string> complaints = [];
        page.PageError += (_, error) => complaints.Add(error.Message);
        await page.GoToAsync(server.Address.ToString());
        await page.EvaluateExpressionAsync("temperature.value = 0, tokens.value = 20, seed.value = 1");
        await page.TypeAsync("#question", "Tell <b>me</b>");
        await page.Keyboard.PressAsync("Enter");
        await Answered(page, 1);
        await page.TypeAsync("#question", "More");
        await page.ClickAsync("#send");
        await Answered(page, 2);
        string[][] shown = await page.EvaluateExpressionAsync<string[][]>(
            "[...document.querySelectorAll('.column')].map(c => [...c.querySelectorAll('.log p')].map(p => p.textContent))");
        string?[] adapters = [null, server.Adapter(2)];
        Assert.Equal(adapters.Select(Conversation), shown);
        Assert.Empty(complaints);

        // What is wrong is said, and the question can be asked again.
        await page.EvaluateExpressionAsync("question.value = 'too long '.repeat(300)");
        await page.ClickAsync("#send");
        await page.WaitForFunctionAsync(
            "() => document.querySelectorAll('.log .error').length === 2 && document.getElementById('send').textContent === 'Send'");
        Assert.Contains(
            "the context length is 512", await page.EvaluateExpressionAsync<string>("document.querySelector('.error').textContent"),
            StringComparison.Ordinal);
        Assert.Equal(4, await page.EvaluateExpressionAsync<int>("columns[0].messages.length"));
    }

    private static Task<IJSHandle> Answered(IPage page, int times) => page.WaitForFunctionAsync(
        $"() => columns.every(c => c.messages.length === {2 * times}) && document.getElementById('send').textContent === 'Send'");

    private static string[] Conversation(string? adapter)
    {
        using LanguageModel model = LanguageModel.Load(RunningServer.ModelPath, "cpu", adapter);
        var options = new GenerationOptions { MaxNewTokens = 20 };
        string first = model.Chat("Tell <b>me</b>", options);
        string second = model.Chat([new("user", "Tell <b>me</b>"), new("assistant", first), new("user", "More")], options);
        return ["Tell <b>me</b>", first, "More", second];
    }
}

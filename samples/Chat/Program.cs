// Answers questions from standard input, a line each, through IChatClient: dotnet run --project samples/Chat -- MODEL
using Forgetting;
using Forgetting.Core;
using Forgetting.Extensions.AI;
using Microsoft.Extensions.AI;

if (args is not [var path])
{
    Console.Error.WriteLine("usage: Chat MODEL");
    return 2;
}

try
{
    using LanguageModel model = LanguageModel.Load(path);
    IChatClient client = model.AsChatClient();
    List<ChatMessage> conversation = [];
    while (Console.ReadLine() is { } question)
    {
        conversation.Add(new ChatMessage(ChatRole.User, question));
        ChatResponse response = await client.GetResponseAsync(conversation, new ChatOptions { MaxOutputTokens = 64 });
        conversation.AddMessages(response);
        Console.WriteLine(response.Text);
    }

    return 0;
}
catch (UserException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}

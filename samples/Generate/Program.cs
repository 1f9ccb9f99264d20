// Continues a text as it is written: dotnet run --project samples/Generate -- MODEL "Once upon a time"
using Forgetting;
using Forgetting.Core;
using Forgetting.Models;

if (args is not [var path, var prompt])
{
    Console.Error.WriteLine("usage: Generate MODEL PROMPT");
    return 2;
}

var options = new GenerationOptions { MaxNewTokens = 64, Temperature = 0.8, TopP = 0.95, Seed = 1 };
try
{
    using LanguageModel model = LanguageModel.Load(path);
    Console.Write(prompt);
    await foreach (string part in model.GenerateAsync(prompt, options))
    {
        Console.Write(part);
    }

    Console.WriteLine();
    return 0;
}
catch (UserException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}

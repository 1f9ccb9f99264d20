using System.CommandLine;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting tokenize</c>: the ids of a text as a JSON array.</summary>
internal static class TokenizeCommand
{
    public static Subcommand Entry { get; } = new("tokenize", "Print the token ids of a text as a JSON array.", Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model("folder with a tokenizer, or a llama2.c .bin with one beside it");
        var text = new Option<string>("--text") { Description = "text to encode", HelpName = "TEXT" };
        var file = new Option<string>("--file") { Description = "file to encode", HelpName = "FILE" };
        var noBos = new Option<bool>("--no-bos") { Description = "leave out what the tokenizer puts in front" };
        var allowSpecial = new Option<bool>("--allow-special") { Description = "read special tokens' text as those tokens" };
        command.Fill(model, text, file, noBos, allowSpecial);
        command.SetAction(parsed =>
        {
            string? given = parsed.GetValue(text), path = parsed.GetValue(file);
            if (given is null == path is null)
                throw new UserException("expected one of --text and --file");

            Tokenizer tokenizer = Tokenizer.Load(parsed.GetValue(model)!);
            string content = given ?? InputFile.ReadText(path!, "a text to encode");
            Console.Out.WriteLine(
                JsonSerializer.Serialize(tokenizer.Encode(content, !parsed.GetValue(noBos), parsed.GetValue(allowSpecial))));
        });
    }
}

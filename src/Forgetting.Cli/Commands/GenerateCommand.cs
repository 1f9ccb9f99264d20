using System.CommandLine;
using System.Text;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.HuggingFace.Tokenizers;
using Forgetting.Methods;
using Forgetting.Models;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting generate</c>: continues a prompt, or answers it, and prints the text as it comes.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        Option<string> model = CommonOptions.Model();
        Option<string?> adapter = CommonOptions.Adapter();
        var prompt = new Option<string>("--prompt") { Description = "text to continue; nothing for an unconditional text", HelpName = "TEXT", DefaultValueFactory = _ => "" };
        Option<string?> template = CommonOptions.Template("answer the prompt as a user's message laid out by this: chat (the model's own template), tulu, plain (the prompt is continued as it is) or a file; chat where the model has one, else plain");
        var allowSpecial = new Option<bool>("--allow-special") { Description = "read special tokens' text in the prompt as those tokens" };
        Option<string> device = CommonOptions.Device();
        Option<string> products = CommonOptions.Products();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<bool> json = CommonOptions.Json();
        var command = new Command("generate", "Continue a prompt.") { model, adapter, prompt, template, allowSpecial };
        var sampling = new SamplingOptions(command);
        command.Options.Add(device);
        command.Options.Add(dtype);
        command.Options.Add(products);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            IReadOnlyList<string> stops = sampling.Stops(parsed);
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!);
            using LoadedModel loaded = LoadedModel.Load(parsed.GetValue(model)!, backend, adapter: parsed.GetValue(adapter));
            MessageLayout? layout = Layout(parsed.GetValue(template), loaded);
            int[] ids = layout is null
                ? loaded.Tokenizer.Encode(parsed.GetValue(prompt)!, allowSpecial: parsed.GetValue(allowSpecial))
                : new ExampleEncoder(loaded.Tokenizer, int.MaxValue, parsed.GetValue(allowSpecial), layout).EncodePrompt(
                    new DataExample { Index = 0, Place = "--prompt", Messages = [new ChatMessage("user", parsed.GetValue(prompt)!)] });
            loaded.TurnEnd = layout is null ? null : ExampleLoader.TurnEnd(loaded.Tokenizer, layout);
            if (ids.Length == 0)
                throw new UserException("--prompt: empty, and the tokenizer puts no token in front; expected a text");

            bool asJson = parsed.GetValue(json);
            var text = new StringBuilder();
            StreamingDecoder decoder = loaded.Tokenizer.StartDecoding();

            // Shown with what follows it: a prompt or an option that is refused leaves nothing on standard output.
            string given = layout is null ? string.Concat(ids.Select(decoder.Add)) : "";
            var stream = new StoppingDecoder(decoder, stops);
            int[] generated = new Generator(loaded.Decoder).Generate(
                [ids],
                sampling.Read(parsed, loaded),
                (_, id) =>
                {
                    Show(stream.Add(id));
                    return !stream.Stopped;
                },
                cancellation: interruption.Token)[0];
            Show(stream.Finish());
            Console.Out.WriteLine(asJson ? JsonSerializer.Serialize(new { Prompt = ids, Generated = generated, Text = text.ToString() }, Json.Compact) : "");

            void Show(string part)
            {
                string shown = given + part;
                given = "";
                text.Append(shown);
                if (!asJson)
                {
                    Console.Out.Write(shown);
                    Console.Out.Flush();
                }
            }
        });
        return command;
    }

    // Null where the prompt is continued as it is. A model that was trained without markers continues, too.
    private static MessageLayout? Layout(string? name, LoadedModel model)
    {
        MessageLayout? layout = name is null or "auto" ? ExampleLoader.Own(model.Source.Path, model.Adapter) : ExampleLoader.Layout(name, model.Source.Path, model.Adapter);
        return layout == MessageLayout.Plain ? null : layout;
    }
}

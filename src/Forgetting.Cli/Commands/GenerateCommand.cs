using System.CommandLine;
using System.Text;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Serving;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting generate</c>: continues a prompt, or answers it, and prints the text as it comes.</summary>
internal static class GenerateCommand
{
    public static Subcommand Entry { get; } = new("generate", "Continue a prompt.", Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model();
        Option<string?> adapter = CommonOptions.Adapter();
        Option<string?> baseDtype = CommonOptions.BaseDtype();
        var prompt = new Option<string>("--prompt")
        {
            Description = "text to continue; nothing for an unconditional text",
            HelpName = "TEXT",
            DefaultValueFactory = _ => "",
        };
        Option<string?> template = CommonOptions.Template(
            "answer the prompt as a user's message laid out by this: chat (the model's own template), tulu, "
            + "plain (the prompt is continued as it is) or a file; chat where the model has one, else plain");
        var allowSpecial = new Option<bool>("--allow-special") { Description = "read special tokens' text in the prompt as those tokens" };
        Option<string> device = CommonOptions.Device();
        Option<string> products = CommonOptions.Products();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<bool> json = CommonOptions.Json();
        command.Fill(model, adapter, baseDtype, prompt, template, allowSpecial);
        var sampling = new SamplingOptions(command);
        command.Options.Add(device);
        command.Options.Add(dtype);
        command.Options.Add(products);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            using var interruption = new Interruption();
            using IBackend backend = Devices.Open(parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!);
            using LoadedModel loaded = LoadedModel.Load(
                parsed.GetValue(model)!, backend, adapter: parsed.GetValue(adapter), baseType: CommonOptions.BaseType(parsed, baseDtype));
            MessageLayout? layout = loaded.AnswerLayout(parsed.GetValue(template));
            int[] ids = loaded.EncodePrompt(parsed.GetValue(prompt)!, layout, parsed.GetValue(allowSpecial), "--prompt");
            loaded.TurnEnd = layout is null ? null : ChatLayout.TurnEnd(loaded.Tokenizer, layout);
            bool asJson = parsed.GetValue(json);
            var text = new StringBuilder();
            StreamingDecoder decoder = loaded.Tokenizer.StartDecoding();

            // Shown with what follows it: a prompt or an option that is refused leaves nothing on standard output.
            string given = layout is null ? string.Concat(ids.Select(decoder.Add)) : "";
            using ServedModel served = ServedModel.Alone(loaded);
            int[] generated = served.Continue(ids, sampling.Read(parsed, loaded), decoder, Show, interruption.Token).Drawn;
            Console.Out.WriteLine(
                asJson ? JsonSerializer.Serialize(new { Prompt = ids, Generated = generated, Text = text.ToString() }, Json.Compact) : "");

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
    }
}

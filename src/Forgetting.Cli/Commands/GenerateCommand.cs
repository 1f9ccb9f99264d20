using System.CommandLine;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Models;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting generate</c>: continues a prompt and prints it as it comes.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        Option<string> model = CommonOptions.Model();
        var prompt = new Option<string>("--prompt") { Description = "text to continue; nothing for an unconditional text", HelpName = "TEXT", DefaultValueFactory = _ => "" };
        var count = new Option<int>("--max-new-tokens") { Description = "most tokens to generate", DefaultValueFactory = _ => 256 };
        var temperature = new Option<double>("--temperature") { Description = "divisor of the logits, 0 for greedy", DefaultValueFactory = _ => 0 };
        var topK = new Option<int>("--top-k") { Description = "draw among the k most probable tokens, 0 for all", DefaultValueFactory = _ => 0 };
        var topP = new Option<double>("--top-p") { Description = "draw among the fewest tokens with this mass, 1 for all", DefaultValueFactory = _ => 1 };
        var penalty = new Option<double>("--repetition-penalty") { Description = "divides the logits of tokens already there, 1 for none", DefaultValueFactory = _ => 1 };
        Option<ulong> seed = CommonOptions.Seed();
        Option<string> device = CommonOptions.Device();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<bool> json = CommonOptions.Json();
        var command = new Command("generate", "Continue a prompt.") { model, prompt, count, temperature, topK, topP, penalty, seed, device, dtype, json };
        command.SetAction(parsed =>
        {
            using var interruption = new Interruption();
            using IBackend backend = BackendFactory.Create(parsed.GetValue(device)!, dtype: parsed.GetValue(dtype));
            using LoadedModel loaded = LoadedModel.Load(parsed.GetValue(model)!, backend);
            int[] ids = loaded.Tokenizer.Encode(parsed.GetValue(prompt)!);
            if (ids.Length == 0)
                throw new UserException("--prompt: empty, and the tokenizer puts no token in front; expected a text");

            var options = new GenerationOptions
            {
                MaxNewTokens = parsed.GetValue(count),
                Temperature = parsed.GetValue(temperature),
                TopK = parsed.GetValue(topK),
                TopP = parsed.GetValue(topP),
                RepetitionPenalty = parsed.GetValue(penalty),
                Seed = parsed.GetValue(seed),
                StopIds = [.. loaded.Decoder.Config.EosTokenIds.Union(loaded.Tokenizer.EosIds)],
            };
            bool asJson = parsed.GetValue(json);
            Func<int, int, bool>? stream = null;
            if (!asJson)
            {
                var decoder = loaded.Tokenizer.StartDecoding();
                foreach (int id in ids)
                {
                    Console.Out.Write(decoder.Add(id));
                }

                stream = (_, id) =>
                {
                    Console.Out.Write(decoder.Add(id));
                    Console.Out.Flush();
                    return true;
                };
            }

            int[] generated = new Generator(loaded.Decoder).Generate([ids], options, stream, cancellation: interruption.Token)[0];
            if (asJson)
            {
                Console.Out.WriteLine(JsonSerializer.Serialize(
                    new { Prompt = ids, Generated = generated, Text = loaded.Tokenizer.Decode([.. ids, .. generated]) }, Json.Compact));
            }
            else
            {
                Console.Out.WriteLine();
            }
        });
        return command;
    }
}

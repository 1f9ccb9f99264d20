using System.CommandLine;
using Forgetting.Checkpoints.Gguf;
using Forgetting.Methods;
using Forgetting.Runs;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting export</c>: writes a model for other programs.</summary>
internal static class ExportCommand
{
    public static Command Create()
    {
        Option<string> model = CommonOptions.Model("checkpoint: a Hugging Face folder, a llama2.c .bin, a run, or a PEFT adapter");
        var format = CommonOptions.Among(new Option<string>("--format") { Description = "format of the file", DefaultValueFactory = _ => "gguf" }, "gguf");
        var type = CommonOptions.Among(new Option<string>("--type") { Description = "element type of the weights", DefaultValueFactory = _ => "f16" }, "f32", "f16", "bf16", "q8_0");
        Option<string> output = CommonOptions.Out("file to write");
        Option<bool> overwrite = CommonOptions.Overwrite();
        var command = new Command("export", "Write a model for llama.cpp and ollama.") { model, format, type, output, overwrite };
        command.SetAction(parsed =>
        {
            string file = parsed.GetValue(output)!;
            using OutputClaim claim = OutputClaim.OfFile(file, parsed.GetValue(overwrite));
            GgufExport.WriteModel(parsed.GetValue(model)!, file, Enum.Parse<GgufType>(parsed.GetValue(type)!, ignoreCase: true));
            Console.Out.WriteLine(file);
        });
        return command;
    }
}

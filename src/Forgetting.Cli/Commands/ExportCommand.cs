using System.CommandLine;
using Forgetting.Checkpoints;
using Forgetting.Checkpoints.Gguf;
using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.Runs;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting export</c>: writes a model or an adapter for other programs.</summary>
internal static class ExportCommand
{
    public static Subcommand Entry { get; } = new(
        "export", "Write a model or an adapter for llama.cpp and ollama, or a model in 4 bits for transformers.", Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model("checkpoint, run, or PEFT adapter, whose base its files name");
        Option<string?> adapter = CommonOptions.Adapter();
        adapter.Description = "PEFT adapter of the model, to be written instead of it";
        var format = new Option<string>("--format")
        {
            Description = "gguf, or bitsandbytes: a folder with matrices in NF4", DefaultValueFactory = _ => "gguf",
        };
        var type = new Option<string>("--type") { Description = "element type of the weights", DefaultValueFactory = _ => "f16" };
        CommonOptions.Among(format, "gguf", "bitsandbytes");
        CommonOptions.Among(type, "f32", "f16", "bf16", "q8_0");
        Option<string> output = CommonOptions.Out(
            "file to write, beside which a Modelfile for ollama comes to lie; or of bitsandbytes the folder");
        Option<bool> overwrite = CommonOptions.Overwrite();
        command.Fill(model, adapter, format, type, output, overwrite);
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(format) == "bitsandbytes")
            {
                WriteQuantized(
                    parsed.GetValue(model)!, parsed.GetValue(output)!, parsed.GetValue(overwrite),
                    parsed.GetResult(type) is { Implicit: false } ? "--type" : parsed.GetValue(adapter) is null ? null : "--adapter");
                return;
            }

            string path = parsed.GetValue(model)!, file = parsed.GetValue(output)!, modelfile = Modelfile.PathOf(file);
            using OutputClaim first = OutputClaim.OfFile(file, parsed.GetValue(overwrite));
            using OutputClaim second = OutputClaim.OfFile(modelfile, parsed.GetValue(overwrite));
            GgufType kind = Enum.Parse<GgufType>(parsed.GetValue(type)!, ignoreCase: true);
            if (parsed.GetValue(adapter) is { } given)
                GgufExport.WriteAdapter(path, given, file, kind);
            else if (PeftConfig.IsIn(path))
                GgufExport.WriteAdapter(PeftConfig.ReadBase(path), path, file, kind);
            else
                GgufExport.WriteModel(path, file, kind);

            Console.Out.WriteLine(file);
            Console.Out.WriteLine(modelfile);
        });
    }

    private static void WriteQuantized(string model, string folder, bool overwrite, string? unused)
    {
        if (unused is not null)
            throw new UserException($"--format is bitsandbytes with {unused}, of which it makes no use; expected a whole model, by merge");

        using OutputClaim claim = OutputClaim.OfFolder(folder, overwrite);
        using Checkpoint source = Checkpoint.Open(model);
        string name = ModelCard.NameOf(source.Path);
        BitsAndBytesWriter.Write(
            folder, source, new ModelCard(name, $"The model {name} in NF4.", null, IsAdapter: false).AddWhereMissing);
        Console.Out.WriteLine(folder);
    }
}

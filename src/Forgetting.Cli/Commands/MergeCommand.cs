using System.CommandLine;
using System.Globalization;
using Forgetting.Backends;
using Forgetting.Backends.Selection;
using Forgetting.Checkpoints;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting merge</c>: adds a PEFT adapter into a checkpoint's weights.</summary>
internal static class MergeCommand
{
    public static Subcommand Entry { get; } = new(
        "merge",
        "Merge a PEFT adapter into its base checkpoint, and check that taking it out again gives the base.",
        Fill);

    private static void Fill(Command command)
    {
        Option<string> model = CommonOptions.Model("base checkpoint");
        var adapter = new Option<string>("--adapter") { Description = "folder of a PEFT adapter", HelpName = "DIR", Required = true };
        Option<string> output = CommonOptions.Out("folder for the merged checkpoint", "DIR");
        var saveDtype = new Option<SaveDtype>(
            "--save-dtype")
        { Description = "type of the merged weights: source (the base's), fp32, bf16 or fp16", HelpName = "NAME" };
        Option<bool> overwrite = CommonOptions.Overwrite();
        command.Fill(model, adapter, output, saveDtype, overwrite);
        command.SetAction(parsed =>
        {
            using OutputClaim claim = OutputClaim.OfFolder(parsed.GetValue(output)!, parsed.GetValue(overwrite));
            using IBackend backend = BackendFactory.Create("cpu");
            using Checkpoint source = Checkpoint.Open(parsed.GetValue(model)!);
            using PeftAdapter peft = PeftAdapter.Open(parsed.GetValue(adapter)!);
            using var decoder = new Decoder(source.Config, backend, peft.Config);
            source.LoadInto(decoder.BaseParameters, backend);
            peft.LoadInto(decoder);
            Action<string> addFiles = ChatFiles.OfAdapter(peft.Path).AddTo;
            addFiles += ModelCard.Merged(source.Path, peft.Path).AddTo;
            MergeResult result =
                AdapterMerge.Write(parsed.GetValue(output)!, decoder, source, addFiles, parsed.GetValue(saveDtype).ToStoredType());
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{parsed.GetValue(output)}: taken apart again, "
                    + $"the merged weights differ from the base by at most {result.Difference:0.0e+0} of a layer's largest"));
            if (RoundingNote.From(result.RoundingLoss) is { } note)
                Console.Out.WriteLine(note);
        });
    }
}

using System.CommandLine;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting schema</c>: what a recipe may hold.</summary>
internal static class SchemaCommand
{
    public static Command Create()
    {
        var output = new Option<string?>("--out") { Description = "file to write instead of printing", HelpName = "FILE" };
        var command = new Command("schema", "Write the JSON schema of recipes, by which editors check and complete them.") { output };
        command.SetAction(parsed =>
        {
            string schema = RecipeSchema.Build().ToJsonString(Json.Indented) + "\n";
            if (parsed.GetValue(output) is { } file)
                AtomicFile.WriteText(file, schema);
            else
                Console.Out.Write(schema);
        });
        return command;
    }
}

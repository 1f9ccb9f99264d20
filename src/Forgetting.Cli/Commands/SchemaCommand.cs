using System.CommandLine;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting schema</c>: what a recipe may hold.</summary>
internal static class SchemaCommand
{
    public static Subcommand Entry { get; } = new(
        "schema",
        "Write the JSON schema of recipes, by which editors check and complete them.",
        Fill);

    private static void Fill(Command command)
    {
        var output = new Option<string?>("--out") { Description = "file to write instead of printing", HelpName = "FILE" };
        command.Fill(output);
        command.SetAction(parsed =>
        {
            string schema = RecipeSchema.Build().ToJsonString(Json.Indented) + "\n";
            if (parsed.GetValue(output) is { } file)
                AtomicFile.WriteText(file, schema);
            else
                Console.Out.Write(schema);
        });
    }
}

using System.CommandLine;
using System.Text.Json.Nodes;
using Forgetting.Cli;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;
using YamlDotNet.RepresentationModel;

namespace Forgetting.Tests.Cli;

/// <summary>Help and what else is derived from the attributes of settings.</summary>
[Collection(CommandCollection.Name)]
public sealed class HelpTests
{
    private static readonly string[] s_common =
    [
        "--model", "--out", "--method", "--data", "--epochs", "--batch-size", "--learning-rate", "--lora-rank", "--reference-data",
        "--forget-prompts", "--valid-data", "--recipe", "--resume", "--watch", "--tensorboard", "--ranks", "--collective-timeout",
        "--json", "--help",
    ];

    public static TheoryData<string> Commands => ["", .. CommandLine.Create().Subcommands.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Commands))]
    public void Help_fits_80_columns_and_names_every_option(string name)
    {
        string[] command = name.Length == 0 ? [] : [name];
        string help = Help([.. command, "--help"]), all = name is "tune" or "run" ? Help([.. command, "--help", "all"]) : help;
        Assert.All((help + all).Split('\n'), line => Assert.True(line.Length <= 80, line));
        Command? found = CommandLine.Create().Subcommands.SingleOrDefault(c => c.Name == name);
        foreach (Option option in found?.Options ?? [])
        {
            Assert.Contains($"  {option.Name}", all, StringComparison.Ordinal);
        }

        Assert.Equal(
            found?.Options.Count(o => o.Required) ?? 0,
            help.Replace("(REQUIRED, here", "", StringComparison.Ordinal).Split("(REQUIRED)").Length - 1);
    }

    [Fact]
    public void Tune_shows_what_most_people_need_and_the_rest_in_groups()
    {
        string help = Help("tune", "--help");
        Assert.Equal(
            s_common, help.Split('\n').Where(l => l.StartsWith("  --", StringComparison.Ordinal)).Select(l => l.Trim().Split(' ')[0]));
        Assert.Contains("learning-with-forgetting", help, StringComparison.Ordinal);
        Assert.Equal(3, help.ReplaceLineEndings(" ").Split("REQUIRED").Length - 1);

        string lora = Help("tune", "--help", "lora");
        Assert.StartsWith("LoRA:\n  --lora-rank N", lora, StringComparison.Ordinal);
        Assert.DoesNotContain("--epochs", lora, StringComparison.Ordinal);
        CommandResult unknown = CommandResult.Of("tune", "--help", "lroa");
        Assert.Equal(
            (2, "error: --help is \"lroa\", expected all or a group of options; the nearest is lora\n"), (unknown.ExitCode, unknown.Error));
    }

    [Fact]
    public void One_thing_has_one_name_and_one_wording_in_all_commands()
    {
        string[] former = ["--batch-tokens", "--kind", "--few-shot", "--alpha", "--interval", "--schedule", "--select", "--forget"];
        foreach (Command command in CommandLine.Create().Subcommands)
        {
            Assert.DoesNotContain(command.Options, o => former.Contains(o.Name));
            foreach (Option option in command.Options.Where(o => o.Name is "--device" or "--dtype" or "--products"))
            {
                Assert.StartsWith(Recipe.Find(option.Name[2..])!.Help, option.Description, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void The_schema_knows_every_key_and_value_of_the_recipes()
    {
        JsonNode properties = JsonNode.Parse(CommandResult.Of("schema").Output)!["properties"]!;
        Assert.Equal(Recipe.Settings.Select(s => s.Name).Concat(["sweep", "seeds"]), properties.AsObject().Select(p => p.Key));
        foreach (string file in Directory.GetFiles(Repository.Path("recipes"), "*.yaml"))
        {
            using var reader = new StreamReader(file);
            var yaml = new YamlStream();
            yaml.Load(reader);
            Assert.All((YamlMappingNode)yaml.Documents[0].RootNode, pair => Assert.NotNull(properties[((YamlScalarNode)pair.Key).Value!]));
        }

        Assert.Equal(
            TrainingMethod.All.Select(m => m.Name), properties["method"]!["enum"]!.AsArray().Select(v => v!.GetValue<string>()));
        Assert.Equal((0.0, 1.0), (
            properties["lora-dropout"]!["minimum"]!.GetValue<double>(),
            properties["lora-dropout"]!["exclusiveMaximum"]!.GetValue<double>()));
        Assert.Equal(24, properties["batch-size"]!["default"]!.GetValue<int>());
    }

    [Fact]
    public void A_setting_may_be_set_by_its_key()
    {
        using var folder = new TemporaryFolder();
        string recipe = folder.Write("r.yaml", "model: m\ndata: d\nout: o\nsweep:\n  rho: [0.5, 0.6]\n");
        Assert.Equal("p/rho=0.5\np/rho=0.6\n", CommandResult.Of("run", recipe, "--list", "--set", "out=p", "--set", "epochs=2").Output);
        Assert.Contains(
            "--set rho is given, and", CommandResult.Of("run", recipe, "--list", "--set", "rho=0.7").Error, StringComparison.Ordinal);
        Assert.Equal(
            "error: --set: \"epoch\" is no setting; the nearest is epochs\n",
            CommandResult.Of("run", recipe, "--list", "--set", "epoch=2").Error);
        Assert.Equal(
            "error: --set epochs is \"two\", expected a whole number\n",
            CommandResult.Of("run", recipe, "--list", "--set", "epochs=two").Error);

        // A folder is all recipes in it.
        folder.Write("b.yaml", "model: m\ndata: d-{seed}\nout: q\nseeds: [4]\n");
        folder.Write("notes.md", "no recipe");
        Assert.Equal("q/seed-4\no/rho=0.5\no/rho=0.6\n", CommandResult.Of("run", folder.Path, "--list").Output);
    }

    private static string Help(params string[] arguments)
    {
        CommandResult result = CommandResult.Of(arguments);
        Assert.True(result.ExitCode == 0, result.Error);
        return result.Output;
    }
}

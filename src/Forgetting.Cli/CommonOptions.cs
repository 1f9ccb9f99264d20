using System.CommandLine;
using System.CommandLine.Parsing;
using Forgetting.Backends;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Cli;

/// <summary>Options that several commands share, each made anew for a command because an option belongs to one.</summary>
internal static class CommonOptions
{
    /// <summary>Names of devices that a shell offers.</summary>
    public static readonly string[] DeviceNames = ["auto", "cpu", "cuda", "cuda-emu", "cuda-ptx"];

    public static Option<string> Model(string description = "checkpoint: a Hugging Face folder, a GGUF file or a llama2.c .bin") =>
        new("--model") { Description = description, HelpName = "PATH", Required = true };

    public static Option<string> Out(string description, string helpName = "FILE") =>
        new("--out") { Description = description, HelpName = helpName, Required = true };

    public static Option<bool> Overwrite() => new("--overwrite") { Description = "replace what --out names, where it is there already" };

    public static Option<string> Device()
    {
        var option = new Option<string>("--device")
        {
            Description = Recipe.Find("device")!.Help,
            HelpName = "NAME",
            DefaultValueFactory = _ => "auto",
        };
        option.CompletionSources.Add(DeviceNames);
        option.Validators.Add(result =>
        {
            foreach (Token token in result.Tokens.Where(t => !DeviceName.TryParse(t.Value, out _)))
            {
                result.AddError($"{option.Name} is \"{token.Value}\", expected {DeviceName.Expected}");
            }
        });
        return option;
    }

    public static Option<string?> Dtype()
    {
        var option = new Option<string?>("--dtype") { Description = Recipe.Find("dtype")!.Help };
        return Among(option, "fp32", "bf16");
    }

    public static Option<string> Products()
    {
        var option = new Option<string>("--products")
        {
            Description = Recipe.Find("products")!.Help,
            DefaultValueFactory = _ => "auto",
        };
        return Among(option, "auto", "managed", "onednn");
    }

    public static Option<string?> Adapter() => new("--adapter") { Description = "PEFT adapter of the model", HelpName = "DIR" };

    public static Option<string?> BaseDtype() => Among(
        new Option<string?>("--base-dtype") { Description = Recipe.Find("base-dtype")!.Help }, "nf4");

    /// <summary>The element type that <see cref="BaseDtype"/> names.</summary>
    public static DType? BaseType(ParseResult parsed, Option<string?> baseDtype) =>
        new LoraSettings { BaseDtype = parsed.GetValue(baseDtype) }.BaseType;

    public static Option<string?> Template(string description) => new("--template") { Description = description, HelpName = "NAME|FILE" };

    public static Option<bool> Json() => new("--json") { Description = "print JSON for machines" };

    /// <summary>An option that takes no other values than these.</summary>
    public static Option<T> Among<T>(Option<T> option, params string[] values)
    {
        option.HelpName ??= string.Join('|', values);
        option.CompletionSources.Add(values);
        string expected = values.Length == 1 ? values[0] : $"{string.Join(", ", values.SkipLast(1))} or {values[^1]}";
        option.Validators.Add(result =>
        {
            foreach (Token token in result.Tokens.Where(t => !values.Contains(t.Value)))
            {
                result.AddError($"{option.Name} is \"{token.Value}\", expected {expected}");
            }
        });
        return option;
    }

    public static Option<ulong> Seed(ulong value = 42) =>
        new("--seed") { Description = "seed of everything random", HelpName = "N", DefaultValueFactory = _ => value };
}

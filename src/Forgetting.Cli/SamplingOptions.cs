using System.CommandLine;
using Forgetting.Checkpoints;
using Forgetting.Models;

namespace Forgetting.Cli;

/// <summary>How text is generated, as options of a command.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<int> _count =
        new("--max-new-tokens") { Description = "most tokens to generate", HelpName = "N", DefaultValueFactory = _ => 256 };
    private readonly Option<double> _temperature =
        new("--temperature") { Description = "divisor of the logits, 0 for greedy", HelpName = "X", DefaultValueFactory = _ => 0 };
    private readonly Option<int> _topK =
        new("--top-k") { Description = "draw among the N most probable tokens, 0 for all", HelpName = "N", DefaultValueFactory = _ => 0 };
    private readonly Option<double> _topP = new("--top-p")
    {
        Description = "draw among the fewest tokens whose probabilities sum to X, 1 for all",
        HelpName = "X",
        DefaultValueFactory = _ => 1,
    };
    private readonly Option<double> _penalty = new("--repetition-penalty")
    {
        Description = "make tokens that are already there less likely by this factor on their logits, 1 for none",
        HelpName = "X",
        DefaultValueFactory = _ => 1,
    };
    private readonly Option<string[]> _stops = new("--stop")
    {
        Description = "text that ends the answer and is not part of it; may be given several times",
        HelpName = "TEXT",
        DefaultValueFactory = _ => [],
    };
    private readonly Option<ulong> _seed = CommonOptions.Seed();

    /// <summary>Adds the options to a command.</summary>
    public SamplingOptions(Command command)
    {
        _stops.Validators.Add(result =>
        {
            if (result.Tokens.Any(token => token.Value.Length == 0))
                result.AddError("--stop: empty, expected a text");
        });
        foreach (Option option in new Option[] { _count, _temperature, _topK, _topP, _penalty, _stops, _seed })
        {
            command.Options.Add(option);
        }
    }

    /// <summary>What the command line says; every end token that the model's files name ends the text.</summary>
    public GenerationOptions Read(ParseResult parsed, LoadedModel model) => new()
    {
        MaxNewTokens = parsed.GetValue(_count),
        Temperature = parsed.GetValue(_temperature),
        TopK = parsed.GetValue(_topK),
        TopP = parsed.GetValue(_topP),
        RepetitionPenalty = parsed.GetValue(_penalty),
        Seed = parsed.GetValue(_seed),
        StopIds = model.EndIds,
        StopTexts = parsed.GetValue(_stops)!,
    };
}

// A method of one's own: learns only the half of the tokens that the model finds hardest, and leaves out the rest:
// dotnet run --project samples/CustomMethod -- MODEL DATA.jsonl OUT
using System.Text.Json;
using Forgetting;
using Forgetting.Core;
using Forgetting.Methods;
using Forgetting.Training;

if (args is not [var path, var data, var output])
{
    Console.Error.WriteLine("usage: CustomMethod MODEL DATA.jsonl OUT");
    return 2;
}

try
{
    using LanguageModel model = LanguageModel.Load(path);
    var options = new TrainingOptions { Method = TrainingMethod.Ignore, Out = output, Schedule = new ScheduleSettings { Steps = 20 } };
    FineTuneResult result = model.FineTune(data, options, method: new HardTokens());
    Console.WriteLine($"{result.Summary.Method}: {result.Summary.PositiveTokens} tokens learnt, {result.Summary.NegativeTokens} left out");
    return 0;
}
catch (UserException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}

/// <summary>Signs by the loss under the base model, which a stage measures once and a resumed run reads.</summary>
internal sealed class HardTokens : IMethod
{
    public string Name => "hard-tokens";

    public string Folder => "hard-tokens";

    public IReadOnlyList<MethodStage> Stages =>
    [
        new()
        {
            Name = "losses", Result = "losses.json", Announce = _ => "measuring what the model finds hard", Inputs = run => run.Inputs,
            Run = run => File.WriteAllText(LossesPath(run), JsonSerializer.Serialize(run.Losses(run.Options.Model, run.Options.Adapter))),
        },
    ];

    public MethodResult Apply(MethodRun run, MethodResult result)
    {
        float[][] losses = JsonSerializer.Deserialize<float[][]>(File.ReadAllText(LossesPath(run)))!;
        float[] ordered = [.. losses.SelectMany((example, i) => example.Where((_, t) => run.Responses[i][t])).Order()];
        float median = ordered[ordered.Length / 2];
        return result with
        {
            Signs = [.. losses.Select((example, i) => example.Select((loss, t) => Sign(run.Responses[i][t], loss >= median)).ToArray())],
        };
    }

    private static sbyte Sign(bool response, bool hard) => (sbyte)(!response ? 0 : hard ? 1 : -1);

    private static string LossesPath(MethodRun run) => Path.Combine(run.Folder, "losses.json");
}

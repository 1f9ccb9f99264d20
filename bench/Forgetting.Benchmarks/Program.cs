using System.CommandLine;
using Forgetting.Benchmarks;
using Forgetting.Core;

switch (args)
{
    case ["logits", string model, string ids, string outFile]:
        LogitsDump.Run(model, ids, outFile);
        return 0;
    case ["step" or "fisher" or "score" or "generate" or "growth" or "load" or "roofline" or "launches", ..]:
        try
        {
            var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false };
            return new RootCommand
            {
                StepCommand.Create(),
                FisherCommand.Create(),
                ScoreCommand.Create(),
                GenerateCommand.Create(),
                GrowthCommand.Create(),
                LoadCommand.Create(),
                RooflineCommand.Create(),
                LaunchesCommand.Create(),
            }
                .Parse(args)
                .Invoke(configuration);
        }
        catch (UserException error)
        {
            Console.Error.WriteLine($"error: {error.Message}");
            return 2;
        }

    default:
        return MicroBenchmarks.Run(args);
}

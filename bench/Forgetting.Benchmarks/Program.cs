using System.CommandLine;
using BenchmarkDotNet.Running;
using Forgetting.Benchmarks;

switch (args)
{
    case ["logits", string model, string ids, string outFile]:
        LogitsDump.Run(model, ids, outFile);
        return 0;
    case ["step", ..]:
        return new RootCommand { StepCommand.Create() }.Parse(args).Invoke();
    default:
        BenchmarkSwitcher.FromAssembly(typeof(LogitsDump).Assembly).Run(args);
        return 0;
}

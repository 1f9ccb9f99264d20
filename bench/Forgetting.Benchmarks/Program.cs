using BenchmarkDotNet.Running;
using Forgetting.Benchmarks;

if (args is ["logits", string model, string ids, string outFile])
    LogitsDump.Run(model, ids, outFile);
else
    BenchmarkSwitcher.FromAssembly(typeof(LogitsDump).Assembly).Run(args);

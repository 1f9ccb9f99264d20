using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace Forgetting.Benchmarks;

/// <summary>Runs the BenchmarkDotNet classes; what did not run is a failure.</summary>
internal static class MicroBenchmarks
{
    /// <summary>For building the project that BenchmarkDotNet generates: its two minutes run out on a busy machine.</summary>
    private static readonly TimeSpan s_buildTimeout = TimeSpan.FromMinutes(30);

    // With these BenchmarkDotNet says something and runs nothing.
    private static readonly string[] s_informative = ["--help", "--version", "--info", "--list"];

    /// <summary>Runs what the arguments choose.</summary>
    /// <param name="args">BenchmarkDotNet's own.</param>
    /// <returns>0, or 1 if any of it did not run to its end, or nothing was chosen.</returns>
    public static int Run(string[] args)
    {
        IConfig config = ManualConfig.Create(DefaultConfig.Instance).WithBuildTimeout(s_buildTimeout);
        Summary[] summaries = [.. BenchmarkSwitcher.FromAssembly(typeof(MicroBenchmarks).Assembly).Run(args, config)];
        if (args.Any(arg => s_informative.Contains(arg)))
            return 0;

        int chosen = summaries.Sum(summary => summary.BenchmarksCases.Length);
        int ran = summaries.Where(summary => !summary.HasCriticalValidationErrors)
            .Sum(summary => summary.Reports.Count(report => report.Success));
        if (ran > 0 && ran == chosen)
            return 0;

        Console.Error.WriteLine(chosen == 0
            ? "error: no benchmark ran"
            : $"error: {chosen - ran} of {chosen} benchmarks did not run; what went wrong is said above");
        return 1;
    }
}

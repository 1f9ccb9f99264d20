using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Runtime;
using System.Text.Json.Nodes;
using TorchSharp;

namespace Forgetting.Peers;

/// <summary>Shape of the work, as <c>StepSettings</c> of Forgetting.Benchmarks has it.</summary>
internal sealed record Workload(
    bool Gpt2, int Dim, int Layers, int Heads, int Mlp, int Vocabulary, int Batch, int Length, int LoraRank, int Steps, int Warmup)
{
    public string Name => $"{(Gpt2 ? "gpt2 " : "")}{Dim}x{Layers}";

    /// <summary>Elements of the blocks' linear layers.</summary>
    public double BlockWeights => Layers * ((4.0 * Dim * Dim) + ((Gpt2 ? 2.0 : 3.0) * Dim * Mlp));

    /// <summary>Elements of the head.</summary>
    public double HeadWeights => (double)Vocabulary * Dim;

    /// <summary>Of the forward pass of one sequence: half of the scores are masked.</summary>
    public double AttentionOperations(int length) => 2.0 * Layers * Dim * length * (length + 1);
}

/// <summary>The options that all commands share, timing, and the line that is printed.</summary>
internal sealed class WorkloadOptions
{
    private readonly Option<string> _family = new("--family") { DefaultValueFactory = _ => "llama" };
    private readonly Option<bool> _json = new("--json");
    private readonly Dictionary<string, Option<int>> _numbers = [];

    public WorkloadOptions(Command command, int steps, int warmup, int batch = 4)
    {
        command.Options.Add(_family);
        command.Options.Add(_json);
        (string Name, int Value)[] numbers =
        [
            ("dim", 288), ("layers", 6), ("heads", 6), ("mlp", 768), ("vocab", 32000), ("batch", batch), ("length", 256), ("lora-rank", 0),
            ("steps", steps), ("warmup", warmup), ("threads", Environment.ProcessorCount),
        ];
        foreach ((string name, int value) in numbers)
            Add(command, name, value);
    }

    /// <summary>A further number.</summary>
    public Option<int> Add(Command command, string name, int value)
    {
        var option = new Option<int>("--" + name) { DefaultValueFactory = _ => value };
        _numbers.Add(name, option);
        command.Options.Add(option);
        return option;
    }

    /// <summary>What was asked for. From here on PyTorch has its threads and its random numbers.</summary>
    public Workload Read(ParseResult parsed)
    {
        int Number(string name) => parsed.GetValue(_numbers[name]);
        GCSettings.LatencyMode = GCLatencyMode.SustainedLowLatency;
        torch.set_num_threads(Number("threads"));
        torch.random.manual_seed(1);
        return new Workload(
            parsed.GetValue(_family) == "gpt2", Number("dim"), Number("layers"), Number("heads"), Number("mlp"), Number("vocab"),
            Number("batch"), Number("length"), Number("lora-rank"), Number("steps"), Number("warmup"));
    }

    /// <summary>Prints what was measured.</summary>
    /// <param name="operations">Floating-point operations that the work needs; 0 where they are not counted.</param>
    public void Print(
        ParseResult parsed, string work, double tokens, Timing timing, double operations = 0,
        params (string Name, double Value)[] more)
    {
        var result = new JsonObject
        {
            ["program"] = "pytorch",
            ["work"] = work,
            ["dtype"] = "fp32",
            ["threads"] = torch.get_num_threads(),
            ["products"] = $"PyTorch {torch.__version__} by TorchSharp",
            ["gemm_gflops"] = Timing.ProductRate(),
            ["ms"] = timing.Median,
            ["best_ms"] = timing.Best,
            ["processor_ms"] = timing.Processor,
            ["tokens_per_second"] = tokens / timing.Median * 1e3,
        };
        if (operations > 0)
            result["gflops"] = operations / timing.Median / 1e6;
        foreach ((string name, double value) in more)
            result[name] = value;
        Console.WriteLine(
            parsed.GetValue(_json)
                ? result.ToJsonString()
                : string.Join('\n', result.Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Key,-18} {p.Value}"))));
    }
}

/// <summary>Milliseconds of a call: median, best, and median of processor time.</summary>
internal readonly record struct Timing(double Median, double Best, double Processor)
{
    /// <summary>Times <paramref name="work"/>; what it makes of PyTorch's is freed after each call, in the time.</summary>
    public static Timing Of(Workload workload, Action work)
    {
        List<double> times = [], processor = [];
        using var process = Process.GetCurrentProcess();
        for (int step = -workload.Warmup; step < workload.Steps; step++)
        {
            process.Refresh();
            TimeSpan used = process.TotalProcessorTime;
            long start = Stopwatch.GetTimestamp();
            using (torch.NewDisposeScope())
                work();
            double elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            process.Refresh();
            if (step >= 0)
            {
                times.Add(elapsed);
                processor.Add((process.TotalProcessorTime - used).TotalMilliseconds);
            }
        }

        times.Sort();
        processor.Sort();
        return new Timing(times[times.Count / 2], times[0], processor[processor.Count / 2]);
    }

    /// <summary>Best of some products of 1024 × 1024 × 1024, GFLOP/s.</summary>
    public static double ProductRate()
    {
        using torch.Tensor a = torch.rand(1024, 1024), b = torch.rand(1024, 1024);
        double best = double.MaxValue;
        for (int i = 0; i < 8; i++)
        {
            long start = Stopwatch.GetTimestamp();
            using torch.Tensor c = torch.mm(a, b);
            if (i > 0)
                best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return 2 * Math.Pow(1024, 3) / best / 1e9;
    }
}

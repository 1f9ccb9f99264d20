using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>
/// What a command measured: a line of JSON that <c>bench/alternate.py</c> and <c>bench/peers/gpu_report.py</c> read, or one for people.
/// </summary>
internal record BenchmarkResult
{
    public static JsonSerializerOptions Json { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    public BenchmarkResult(IBackend backend, string work, Timing timing, int steps, double tokens, double? operations = null)
    {
        Work = work;
        Device = backend.Name;
        Dtype = ((backend as CpuBackend)?.OperandType ?? backend.StorageType) == DType.BFloat16 ? "bf16" : "fp32";
        Threads = (backend as CpuBackend)?.Threads;
        Products = WorkloadOptions.Products(backend);
        GemmGflops = Peak.Gemm(backend);
        Steps = steps;
        Ms = timing.Median;
        BestMs = timing.Best;
        ProcessorMs = timing.Processor;
        TokensPerSecond = tokens / timing.Median * 1e3;
        Gflops = operations / timing.Median / 1e6;
    }

    public string Program => "forgetting";

    public string Work { get; }

    public string Device { get; }

    public string Dtype { get; }

    public int? Threads { get; }

    public string Products { get; }

    /// <summary>Rate of one large product (<see cref="Peak.Gemm"/>).</summary>
    public double? GemmGflops { get; }

    public int Steps { get; }

    /// <summary>Median.</summary>
    public double Ms { get; }

    public double BestMs { get; }

    public double ProcessorMs { get; }

    public double TokensPerSecond { get; }

    /// <summary>Operations that the work needs, over its time.</summary>
    public double? Gflops { get; }

    /// <summary>Bytes that the card has less while the work is there.</summary>
    public long? PeakBytes { get; init; }

    public double? Loss { get; init; }

    /// <summary>Gigabytes a second of weights that generation reads; each pass reads all of them once.</summary>
    public double? WeightGbPerS { get; init; }

    /// <summary>Gigabytes a second that a sum reads (<see cref="Peak.Read"/>).</summary>
    public double? ReadGbPerS { get; init; }

    /// <summary>The line of JSON.</summary>
    public static void PrintJson<T>(T result)
        where T : BenchmarkResult => Console.WriteLine(JsonSerializer.Serialize(result, Json));

    /// <summary>One line on standard output.</summary>
    public void Print(bool json)
    {
        if (json)
            PrintJson(this);
        else
            Console.WriteLine(ToString());
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        string rate = Gflops is { } gflops ? $", {gflops:F1} GFLOP/s" : "";
        string peak = GemmGflops is { } gemm ? $" (product of 1024: {gemm:F1} GFLOP/s)" : "";
        string memory = WeightGbPerS is { } read ? $", weights at {read:F1} GB/s (a sum: {ReadGbPerS:F1} GB/s)" : "";
        return $"{Work}: median {Ms:F1} ms (best {BestMs:F1}; {ProcessorMs:F0} ms of processor), "
            + $"{TokensPerSecond:F0} tokens/s{rate}{peak}{memory}, "
            + $"{(Threads is { } threads ? $"{threads} threads, " : "")}{Products}, {Dtype}{(Loss is { } loss ? $", loss {loss:F4}" : "")}";
    }
}

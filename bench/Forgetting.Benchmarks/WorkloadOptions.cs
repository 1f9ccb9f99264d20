using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;

namespace Forgetting.Benchmarks;

/// <summary>The options that say what is timed and where, added to a command.</summary>
internal sealed class WorkloadOptions
{
    private readonly Option<string> _family =
        new Option<string>("--family") { Description = "blocks of the model", DefaultValueFactory = _ => "llama" }.AcceptOnlyFromAmong(
            "llama", "gpt2");
    private readonly Option<int> _dim, _layers, _heads, _keyValueHeads, _mlp, _vocab, _batch, _length, _steps, _warmup, _threads;
    private readonly Option<string> _device =
        new("--device") { Description = "cpu, cuda, cuda:N, cuda-emu or cuda-ptx", DefaultValueFactory = _ => "cpu" };
    private readonly Option<string?> _dtype =
        new("--dtype") { Description = "fp32 or bf16: storage type on cuda and cuda-emu, operands of products on cpu" };
    private readonly Option<string> _products =
        new("--products") { Description = "what computes products on cpu: auto, managed or onednn", DefaultValueFactory = _ => "auto" };
    private readonly Option<bool> _json = new("--json") { Description = "one line of JSON" };

    public WorkloadOptions(Command command, int steps, int warmup, int batch = 4)
    {
        StepSettings shape = new(Batch: batch);
        _dim = Number("--dim", shape.Dim);
        _layers = Number("--layers", shape.Layers);
        _heads = Number("--heads", shape.Heads);
        _keyValueHeads = Number("--kv-heads", 0, "as many as --heads where 0");
        _mlp = Number("--mlp", shape.Mlp);
        _vocab = Number("--vocab", shape.Vocab);
        _batch = Number("--batch", shape.Batch);
        _length = Number("--length", shape.Length);
        _steps = Number("--steps", steps);
        _warmup = Number("--warmup", warmup);
        _threads = Number("--threads", Environment.ProcessorCount);
        Option[] all =
        [
            _family, _dim, _layers, _heads, _keyValueHeads, _mlp, _vocab, _batch, _length, _steps, _warmup, _threads, _device, _dtype,
            _products, _json,
        ];
        foreach (Option option in all)
            command.Options.Add(option);
    }

    public static Option<int> Number(string name, int value, string? description = null) =>
        new(name) { Description = description, DefaultValueFactory = _ => value };

    public int Steps(ParseResult parsed) => parsed.GetValue(_steps);

    public int Warmup(ParseResult parsed) => parsed.GetValue(_warmup);

    public bool Json(ParseResult parsed) => parsed.GetValue(_json);

    public StepSettings Settings(ParseResult parsed) => new(
        parsed.GetValue(_dim), parsed.GetValue(_layers), parsed.GetValue(_heads), parsed.GetValue(_mlp), parsed.GetValue(_vocab),
        parsed.GetValue(_batch), parsed.GetValue(_length), KeyValueHeads: parsed.GetValue(_keyValueHeads),
        Gpt2: parsed.GetValue(_family) == "gpt2");

    public IBackend Backend(ParseResult parsed) =>
        BackendFactory.Create(parsed.GetValue(_device)!, parsed.GetValue(_threads), parsed.GetValue(_dtype), parsed.GetValue(_products)!);

    /// <summary>What computes: the card, or how the processor multiplies.</summary>
    public static string Products(IBackend backend) => backend switch
    {
        CpuBackend cpu => cpu.ProductsDescription,
        CudaBackend cuda => $"{cuda.DeviceName}, {cuda.StorageType}",
        _ => backend.Name,
    };

    /// <summary>Bytes free on the card, or null on the processor.</summary>
    public static long? FreeBytes(IBackend backend) => backend is CudaBackend cuda ? cuda.Device.FreeBytes : null;
}

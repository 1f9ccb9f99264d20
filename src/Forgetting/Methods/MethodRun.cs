using System.Diagnostics;
using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>A run as a method sees it: examples, settings, and the folder for what its stages leave.</summary>
public sealed class MethodRun
{
    private readonly IMethod _method;
    private StageLog? _log;

    internal MethodRun(
        IMethod method, TrainingOptions options, IBackend backend, IReadOnlyList<string> others, ITrainingObserver? observer,
        ICommunicator ranks, CancellationToken cancellation)
    {
        _method = method;
        Options = options;
        Backend = backend;
        Others = others;
        Observer = observer;
        Ranks = ranks;
        Cancellation = cancellation;
    }

    /// <summary>The run's settings, all resolved.</summary>
    public TrainingOptions Options { get; }

    /// <summary>The method's folder in that of the run.</summary>
    public string Folder => Path.Combine(Options.Out, _method.Folder);

    /// <summary>Per example, its token ids.</summary>
    public IReadOnlyList<IReadOnlyList<int>> TokenIds => field ??= [.. Examples.Select(e => e.Ids)];

    /// <summary>Per example, per token: whether it is part of a response, which is what is trained on.</summary>
    public IReadOnlyList<IReadOnlyList<bool>> Responses => field ??= [.. Examples.Select(e => e.Response)];

    /// <summary>What every stage depends on, by name: element type, base model, adapter, and the examples' tokens.</summary>
    public IReadOnlyDictionary<string, string> Inputs =>
        BaseInputs().Add("examples", TrainingCheckpoint.Fingerprint(TrainingSet.AllPositive(Examples))).Parts;

    /// <summary>Ends the run when it is requested; stages of many seconds look at it.</summary>
    public CancellationToken Cancellation { get; }

    internal IReadOnlyList<EncodedExample> Examples { get; init; } = [];

    /// <summary>What a reference model is trained on; empty where none is.</summary>
    internal IReadOnlyList<EncodedExample> ForReference { get; set; } = [];

    /// <summary>What is learnt beside the examples.</summary>
    internal IReadOnlyList<EncodedExample> Further { get; set; } = [];

    internal IBackend Backend { get; }

    internal IReadOnlyList<string> Others { get; }

    internal ITrainingObserver? Observer { get; }

    /// <summary>Share the work of the stages; what they leave is written by the first (<see cref="Write"/>).</summary>
    internal ICommunicator Ranks { get; }

    /// <summary>The run's inputs; there from when the run's folder is.</summary>
    internal Provenance Provenance { get; private set; } = null!;

    /// <summary>Seconds that the stages took in this process.</summary>
    internal double StageSeconds { get; private set; }

    /// <summary>The stages' log.</summary>
    internal StageLog Log => _log ??= new StageLog(Folder, [.. Others.Select(o => Path.Combine(o, _method.Folder))], Observer, Ranks);

    /// <summary>Per example, per token: cross-entropy under a model, nats; 0 for tokens that are no response.</summary>
    /// <param name="model">A model's folder or file; <see cref="TrainingOptions.Model"/> for the base.</param>
    /// <param name="adapter">Folder of a PEFT adapter of it, or null.</param>
    /// <exception cref="UserException">The model cannot be loaded, an example does not fit, or a loss is not finite.</exception>
    public IReadOnlyList<float[]> Losses(string model, string? adapter = null) => Losses(Examples, model, adapter);

    /// <summary>The same for other examples than the run's.</summary>
    internal IReadOnlyList<float[]> Losses(IReadOnlyList<EncodedExample> examples, string model, string? adapter)
    {
        DType? baseType = model == Options.Model ? Options.Lora.BaseType : null;
        using LoadedModel loaded = LoadedModel.Load(model, Backend, adapter: adapter, baseType: baseType);
        return Scorer.Losses(loaded.Decoder, examples, Options.Compute.MicroBatchTokens, allTokens: false, Observer, Ranks, Cancellation);
    }

    /// <summary>Writes what a stage leaves, on the first rank; the others have computed the same. It is there when the stage is
    /// done.</summary>
    internal void Write(Action write)
    {
        if (Ranks.IsFirst())
            write();
    }

    /// <summary>Ordinary fine-tuning with the run's settings.</summary>
    internal void TrainPlainly(IReadOnlyList<EncodedExample> examples, string folder) =>
        PlainTuning.Train(Options, examples, folder, Backend, Observer, Ranks, Cancellation);

    /// <summary>Examples of a file.</summary>
    /// <param name="options">The run's settings, or what of them holds for the file.</param>
    internal IReadOnlyList<EncodedExample> Encode(string path, TrainingOptions options) =>
        ExampleLoader.LoadForRun(path, options, Observer);

    /// <summary>Element type, base model and adapter.</summary>
    internal Fingerprint BaseInputs() => Provenance.AddTo(BaseTypes(), "model", "adapter");

    private Fingerprint BaseTypes()
    {
        Fingerprint types = new Fingerprint().Add("dtype", Options.Compute.Dtype);
        return Options.Lora.BaseDtype is { } baseType ? types.Add("base-dtype", baseType) : types;
    }

    /// <summary>Runs the method's stages and applies it.</summary>
    internal MethodResult Execute(Provenance provenance, MethodResult result)
    {
        Provenance = provenance;
        long started = Stopwatch.GetTimestamp();
        foreach (MethodStage stage in _method.Stages)
        {
            Execute(stage);
        }

        StageSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        result = _method.Apply(this, result);
        CheckSigns(result.Set);
        return result;
    }

    private void CheckSigns(TrainingSet set)
    {
        for (int i = 0; i < set.Examples.Count; i++)
        {
            EncodedExample example = set.Examples[i];
            sbyte[] signs = i < set.Signs.Count ? set.Signs[i] : [];
            if (signs.Length != example.Length)
            {
                throw new UserException(
                    $"method {_method.Name}: example {i} has {signs.Length} signs, expected {example.Length}, one per token");
            }

            for (int t = 0; t < signs.Length; t++)
            {
                if (example.Response[t] ? signs[t] is < -1 or > 1 : signs[t] != 0)
                {
                    throw new UserException(
                        $"method {_method.Name}: example {i}, token {t}: the sign is {signs[t]}, "
                        + $"expected {(example.Response[t] ? "1, 0 or -1" : "0, since it is no response")}");
                }
            }
        }
    }

    private void Execute(MethodStage stage) => Log.Run(stage.Name, stage.Announce(this), stage.Result, stage.Inputs(this), () =>
    {
        foreach (MethodStage within in stage.Within)
        {
            Execute(within);
        }

        stage.Run(this);
    });
}

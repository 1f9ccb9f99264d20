using Forgetting.Backends.Cpu;
using Forgetting.Backends.Selection;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting;

/// <summary>What a fine-tuning left.</summary>
/// <param name="Summary">The run in figures.</param>
/// <param name="Metrics">Every optimiser step.</param>
/// <param name="Folder">Folder with the run's records: <c>run.yaml</c>, <c>metrics.jsonl</c>, <c>model/</c> and
/// what else the method leaves.</param>
/// <param name="ReportPath">The report, a self-contained HTML page.</param>
public sealed record FineTuneResult(TuneSummary Summary, IReadOnlyList<StepMetrics> Metrics, string Folder, string ReportPath);

/// <content>Fine-tuning.</content>
public sealed partial class LanguageModel
{
    private const string DataFileName = "data.jsonl";

    /// <summary>
    /// Fine-tunes the model on a data file; from then on it is the tuned one. With <see cref="LoraSettings.Rank"/> above 0 a new adapter is
    /// trained and a given one is continued, else all weights are trained. After an exception the model is as it was.
    /// </summary>
    /// <param name="data">
    /// Examples, JSON Lines: <c>prompt</c> and <c>completion</c>, or <c>messages</c>; with
    /// <see cref="TrainingMethod.Unlearn"/> those that must go.
    /// </param>
    /// <param name="options">
    /// The settings; null for the defaults, which are token forgetting with a reference model that is trained on a held-out part of the
    /// data (arXiv 2508.04329). <see cref="TrainingOptions.Out"/> is where the run leaves its records; where it is not given, they are kept
    /// until the model is disposed. Model, adapter, data, template and device are this model's and are not given.
    /// </param>
    /// <param name="progress">Follows the run; or null.</param>
    /// <param name="method">
    /// What gives tokens their signs, in place of the methods of this library; <see cref="TrainingOptions.Method"/> then says whether
    /// negative tokens are forgotten or ignored. Or null. To resume, it has to be given again.
    /// </param>
    /// <param name="resume">Continue what an interrupted run left in <see cref="TrainingOptions.Out"/>, to the same bits.</param>
    /// <param name="cancellation">Ends the run after the step in progress, with a checkpoint.</param>
    /// <exception cref="UserException">A setting or the data is bad, the folder holds another run, a value is not finite, or the disk is
    /// full; names the setting, or the file and its line.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; it can be resumed.</exception>
    public FineTuneResult FineTune(
        string data, TrainingOptions? options = null, ITrainingObserver? progress = null, IMethod? method = null, bool resume = false,
        CancellationToken cancellation = default) => Locked(() =>
    {
        ArgumentNullException.ThrowIfNull(data);
        return Tune(data, Settings(options), progress, method, resume, cancellation);
    });

    /// <summary>Fine-tunes the model on examples; the run's folder keeps them as <c>data.jsonl</c>.</summary>
    /// <inheritdoc cref="FineTune(string, TrainingOptions?, ITrainingObserver?, IMethod?, bool, CancellationToken)"/>
    public FineTuneResult FineTune(
        IEnumerable<TrainingExample> data, TrainingOptions? options = null, ITrainingObserver? progress = null, IMethod? method = null,
        bool resume = false, CancellationToken cancellation = default) => Locked(() =>
    {
        ArgumentNullException.ThrowIfNull(data);
        TrainingOptions settings = Settings(options);
        string file = System.IO.Path.Combine(settings.Out, DataFileName);
        bool writes = WriteData(file, data, began: HasRun(settings), resume);
        try
        {
            return Tune(file, settings, progress, method, resume, cancellation);
        }
        catch (UserException) when (writes && !HasRun(settings))
        {
            // Refused before it began: nothing stays behind.
            Temporary.Delete(file);
            throw;
        }
    });

    private static bool HasRun(TrainingOptions settings) => File.Exists(System.IO.Path.Combine(settings.Out, RunFolder.RecordName));

    // A file that stands there is kept: it is compared, or the run refuses the folder. Returns whether the file was written.
    private static bool WriteData(string file, IEnumerable<TrainingExample> data, bool began, bool resume)
    {
        byte[] lines = [.. data.SelectMany(JsonLines.Line)];
        if (began && (!resume || !File.Exists(file)))
            return false;

        if (File.Exists(file))
        {
            return File.ReadAllBytes(file).AsSpan().SequenceEqual(lines)
                ? false
                : throw new UserException(
                    $"{file}: differs from the examples that are given; "
                    + $"expected {(began ? "those that the run began with" : "no such file")}");
        }

        AtomicFile.Write(file, stream => stream.Write(lines));
        return true;
    }

    private FineTuneResult Tune(
        string data, TrainingOptions settings, ITrainingObserver? progress, IMethod? method, bool resume, CancellationToken cancellation)
    {
        settings = settings.HasForgetSet
            ? settings with { ForgetSet = settings.ForgetSet with { ForgetData = data } }
            : settings with { Data = settings.Data with { Path = data } };
        settings.Validate();

        // The run has the weights in memory once; beside a second copy of them it might not fit.
        Unload();
        TuneSummary summary = TuneRun.Execute(settings, _backend, resume, progress, method: method, cancellation: cancellation);
        string report = RunFiles.WriteReport(settings.Out);
        if (settings.Adapter is null && settings.Lora.Rank == 0)
            _path = System.IO.Path.Combine(settings.Out, "model");
        else
            _adapter = System.IO.Path.Combine(settings.Out, "adapter");

        _baseType = settings.Lora.BaseType;
        return new FineTuneResult(summary, RunFiles.Metrics(settings.Out), settings.Out, report);
    }

    // The given settings with what is this model's own.
    private TrainingOptions Settings(TrainingOptions? options)
    {
        TrainingOptions given = options ?? new TrainingOptions(), standard = new();
        RequireOwn("model", given.Model, standard.Model, _path);
        RequireOwn("adapter", given.Adapter ?? "", standard.Adapter ?? "", _adapter ?? "");
        RequireOwn("data", given.Data.Path, standard.Data.Path, "");
        RequireOwn("template", given.Data.Template, standard.Data.Template, _template);
        RequireOwn("device", given.Compute.Device, standard.Compute.Device, Device);
        RequireOwn("products", given.Compute.Products, standard.Compute.Products, (_backend as CpuBackend)?.Products ?? "");
        RequireOwn("dtype", given.Compute.Dtype ?? "", standard.Compute.Dtype ?? "", BackendFactory.DtypeOf(_backend));
        if (given.Out.Length == 0)
            _temporaryFolders.Add(Directory.CreateTempSubdirectory("forgetting-").FullName);

        return given with
        {
            Model = _path,
            Adapter = _adapter,
            Out = given.Out.Length > 0 ? given.Out : _temporaryFolders[^1],
            Data = given.Data with { Template = _template },
            Lora = given.Lora with { BaseDtype = given.Lora.BaseDtype ?? (_baseType is null ? null : "nf4") },
            Compute = given.Compute with { Device = Device, Dtype = BackendFactory.DtypeOf(_backend) },
        };
    }

    private static void RequireOwn(string setting, string given, string standard, string own)
    {
        if (given != standard && given != own)
        {
            throw new UserException(
                $"{setting} is \"{given}\", expected it not to be set: this model's {(own.Length > 0 ? $"is \"{own}\"" : "own is used")}");
        }
    }
}

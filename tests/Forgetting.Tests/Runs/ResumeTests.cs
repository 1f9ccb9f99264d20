using System.Runtime.InteropServices;
using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Runs;

/// <summary>What a run is resumed with, and from where. The model is a copy, to be changed.</summary>
[Collection(CommandCollection.Name)]
public sealed class ResumeTests : IDisposable
{
    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [SharedDataTheory]
    [InlineData("weights × 1.01", "model.safetensors has changed since the run began")]
    [InlineData("rope_theta", "config.json has changed since the run began")]
    [InlineData("data", "data.jsonl has changed since the run began")]
    [InlineData("reference data", "reference.jsonl has changed since the run began")]
    [InlineData("special tokens", "special_tokens_map.json is new since the run began")]
    [InlineData("chat template", "template was \"tulu\", found \"chat\"")]
    public void Other_inputs_are_refused_by_name_and_everything_stays(string change, string expected)
    {
        TrainingOptions options = Options() with { TokenForgetting = new() { ReferenceData = Lines("reference", 24, 32) } };
        Interrupt(options, what => what.StartsWith("training on", StringComparison.Ordinal));
        Assert.True(File.Exists(_folder["run", "scores.jsonl"]) && Directory.Exists(_folder["run", "reference", "model"]));
        string before = Contents();
        string? touched = change switch
        {
            "rope_theta" => Replace(_folder["hf", "config.json"], "10000.0", "500000.0"),
            "data" => Replace(options.Data.Path, "What", "Who"),
            "reference data" => Replace(options.TokenForgetting.ReferenceData!, "What", "Who"),
            "special tokens" => _folder.Write("hf/special_tokens_map.json", "{}"),
            "chat template" => _folder.Write("hf/chat_template.jinja", "{{ messages }}"),
            _ => null,
        };
        if (touched is null)
            Scale(_folder["hf", "model.safetensors"], 1.01f);

        UserException error = Assert.Throws<UserException>(() => TuneRun.Execute(options, _backend, resume: true));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Equal(before, Contents());

        string Contents() =>
            string.Join('\n', Directory.GetFiles(_folder["run"], "*", SearchOption.AllDirectories)
                .Order(StringComparer.Ordinal)
                .Select(f => $"{f} {Convert.ToHexString(File.ReadAllBytes(f)).GetHashCode(StringComparison.Ordinal)}"));
    }

    [SharedDataFact]
    public void Out_alone_resumes_from_any_folder_with_other_micro_batches()
    {
        TrainingOptions options = Options() with { Checkpoints = new() { Every = 1 } };
        TuneSummary whole = TuneRun.Execute(options with { Out = _folder["whole"] }, _backend);
        int steps = 0;
        Interrupt(options, what => what == "step" && ++steps == 6);

        // Moved with its inputs, of which run.yaml knows where they are seen from the run.
        Directory.CreateDirectory(_folder["moved"]);
        foreach (string name in new[] { "run", "hf", "data.jsonl" })
        {
            Directory.Move(_folder[name], _folder["moved", name]);
        }

        CommandResult result = CommandResult.Of("tune", "--resume", "--out", _folder["moved", "run"]);
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Equal(
            File.ReadAllBytes(_folder["whole", "model/model.safetensors"]),
            File.ReadAllBytes(_folder["moved", "run/model/model.safetensors"]));
        Assert.Equal(whole.Provenance!.Inputs.Select(i => i.Sha256), TuneSummary.Read(_folder["moved", "run"]).Provenance!.Inputs
            .Select(i => i.Sha256));

        // A finished run goes on; its reference stays what it was. Other memory is not another run; another seed is.
        result = CommandResult.Of(
            "tune", "--resume", "--out", _folder["moved", "run"], "--epochs", "3", "--micro-batch-tokens", "200", "--recompute");
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Equal(whole.Steps / 2 * 3, File.ReadAllLines(_folder["moved", "run/metrics.jsonl"]).Length);
        Assert.Equal(whole.Steps / 2 * 3, TuneSummary.Read(_folder["moved", "run"]).Steps);
        Assert.Equal(File.ReadAllBytes(_folder["whole", "scores.jsonl"]), File.ReadAllBytes(_folder["moved", "run/scores.jsonl"]));
        Refused("epochs was \"3\", found \"1\"", "--epochs", "1");
        Refused("seed was \"42\", found \"7\"", "--seed", "7");
        Assert.Contains(
            "--model and --data are missing", CommandResult.Of("tune", "--resume", "--out", _folder["nowhere"]).Error,
            StringComparison.Ordinal);

        File.WriteAllText(_folder["moved", "run/run.yaml"], File.ReadAllText(_folder["moved", "run/run.yaml"])
            .Replace("learning-rate: 0.005", "learning-rate: 0.5", StringComparison.Ordinal));
        Refused("run.yaml: was changed since the run wrote it");

        void Refused(string expected, params string[] more)
        {
            CommandResult bad = CommandResult.Of(["tune", "--resume", "--out", _folder["moved", "run"], .. more]);
            Assert.Equal(2, bad.ExitCode);
            Assert.Contains(expected, bad.Error, StringComparison.Ordinal);
        }
    }

    [SharedDataFact]
    public void Damaged_stages_are_refused_and_can_be_computed_again()
    {
        TrainingOptions options = Options();
        Interrupt(options, what => what.StartsWith("training on", StringComparison.Ordinal));
        byte[] scores = File.ReadAllBytes(_folder["run", "scores.jsonl"]);
        Flip(_folder["run", "scores.jsonl"]);
        UserException error = Assert.Throws<UserException>(() => TuneRun.Execute(options, _backend, resume: true));
        Assert.Equal(
            $"{_folder["run", "scores.jsonl"]}: is damaged: it is not what the run wrote; remove it to have it computed again",
            error.Message);
        File.Delete(_folder["run", "scores.jsonl"]);
        Flip(_folder["run", "reference/adapter/adapter_model.safetensors"]);
        error = Assert.Throws<UserException>(() => TuneRun.Execute(options, _backend, resume: true));
        Assert.StartsWith($"{_folder["run", "reference", "adapter"]}: is damaged", error.Message, StringComparison.Ordinal);
        Directory.Delete(_folder["run", "reference"], recursive: true);
        TuneRun.Execute(options, _backend, resume: true);
        Assert.Equal(scores, File.ReadAllBytes(_folder["run", "scores.jsonl"]));
    }

    [SharedDataFact]
    public void Runs_of_a_grid_share_the_reference_and_its_scores()
    {
        string[] grid = [_folder["first"], _folder["second"]];
        TrainingOptions options = Options(), other = options with { TokenForgetting = new() { LambdaMax = 0.5 } };
        TuneRun.Execute(options with { Out = grid[0] }, _backend, others: grid);
        TuneSummary shared = TuneRun.Execute(other with { Out = grid[1] }, _backend, others: grid);
        Assert.False(Directory.Exists(_folder["second", "reference"]));
        Assert.Equal(_folder["first", "reference", "model"], shared.Reference);
        TuneSummary alone = TuneRun.Execute(other with { Out = _folder["alone"] }, _backend);
        Assert.Equal(alone.Cut, shared.Cut);
        Assert.Equal(
            File.ReadAllBytes(_folder["alone", "model/model.safetensors"]),
            File.ReadAllBytes(_folder["second", "model/model.safetensors"]));
    }

    [SharedDataFact]
    public void A_dated_template_keeps_the_day_on_which_the_run_began()
    {
        string template = _folder.Write("dated.jinja", "{% for m in messages %}{{ strftime_now('%Y') }} {{ m.content }}{% endfor %}");
        TrainingOptions options = Dated("1999-12-31T23:59:59");
        Interrupt(options, what => what == "step");

        // Another day: the clock of this one is not asked.
        TuneSummary summary = TuneRun.Execute(Dated(null), _backend, resume: true);
        Assert.Equal(6, summary.Steps);
        Assert.Equal("1999-12-31T23:59:59", RunFolder.SettingsOf(_folder["run"])!.Data.TemplateDate);
        using LoadedModel model = LoadedModel.Load(options.Model, _backend);
        EncodedExample example = ExampleLoader.Load(options.Data.Path, model.Tokenizer, model.Decoder.Config, options)[0];
        Assert.StartsWith("1999 ", model.Tokenizer.Decode(example.Ids).TrimStart(), StringComparison.Ordinal);

        // Unless it is given, it is now; a template that does not ask has none.
        TuneRun.Execute(Dated(null) with { Out = _folder["now"] }, _backend);
        Assert.StartsWith(
            DateTime.Now.Year.ToString(System.Globalization.CultureInfo.InvariantCulture),
            RunFolder.SettingsOf(_folder["now"])!.Data.TemplateDate, StringComparison.Ordinal);
        Assert.Contains(
            "template-date is \"soon\"; expected a time",
            Assert.Throws<UserException>(() => TuneRun.Execute(Dated("soon") with { Out = _folder["soon"] }, _backend)).Message,
            StringComparison.Ordinal);

        TrainingOptions Dated(string? date)
        {
            TrainingOptions dated = Options();
            return dated with { Method = TrainingMethod.Full, Data = dated.Data with { Template = template, TemplateDate = date } };
        }
    }

    [SharedDataFact]
    public void The_record_says_what_the_run_came_from()
    {
        TuneSummary summary = TuneRun.Execute(Options() with { Method = TrainingMethod.Full, Schedule = new() { Steps = 1 } }, _backend);
        RunInput data = summary.Provenance!.Inputs.Single(i => i.Setting == "data");
        Assert.Equal((_folder["data.jsonl"], "../data.jsonl"), (data.Path, data.Relative));
        Assert.Equal(
            Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(_folder["data.jsonl"]))), data.Sha256);
        Assert.Equal(
            ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
            summary.Provenance.Inputs.Where(i => i.Setting == "model").Select(i => i.File));
        Assert.Matches("^[0-9]+[.][0-9]+", summary.Provenance.Version);
        string record = File.ReadAllText(_folder["run", "run.yaml"]);
        Assert.Contains($"sha256: {data.Sha256}", record, StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(_folder["run", "summary.json"]));
        Assert.Equal(summary.Provenance.Version, json.RootElement.GetProperty("provenance").GetProperty("version").GetString());

        // A recipe finds what lies beside it from wherever it is run.
        string recipe = _folder.Write("recipe.yaml", "model: hf\ndata: data.jsonl\nout: out\n");
        TrainingOptions read = Recipe.Read(recipe, new TrainingOptions());
        Assert.Equal((_folder["hf"], _folder["data.jsonl"], "out"), (read.Model, read.Data.Path, read.Out));
    }

    // Ends a run when the observer hears something.
    private void Interrupt(TrainingOptions options, Func<string, bool> ends)
    {
        using var source = new CancellationTokenSource();
        var observer = new Ears(what =>
        {
            if (ends(what))
                source.Cancel();
        });
        Assert.Throws<OperationCanceledException>(() => TuneRun.Execute(options, _backend, observer: observer, cancellation: source.Token));
    }

    private TrainingOptions Options()
    {
        if (!Directory.Exists(_folder["hf"]))
        {
            foreach (string file in Directory.GetFiles(SharedData.Path("stories260K", "hf")))
            {
                Directory.CreateDirectory(_folder["hf"]);
                File.Copy(file, _folder["hf", Path.GetFileName(file)]);
                File.SetAttributes(_folder["hf", Path.GetFileName(file)], FileAttributes.Normal);
            }
        }

        return new()
        {
            Model = _folder["hf"],
            Data = new()
            {
                Path = File.Exists(_folder["data.jsonl"]) ? _folder["data.jsonl"] : Lines("data", 0, 24), PromptField = "question",
                CompletionField = "answer",
            },
            Out = _folder["run"],
            Method = TrainingMethod.Forget,
            Schedule = new() { Epochs = 2, BatchSize = 8 },
            Lora = new() { Rank = 4 },
            Optimizer = new() { LearningRate = 5e-3 },
        };
    }

    private string Lines(string name, int from, int to) =>
        _folder.Write($"{name}.jsonl", string.Join('\n', File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(to).Skip(from)));

    private static string Replace(string path, string old, string by)
    {
        string text = File.ReadAllText(path);
        Assert.Contains(old, text, StringComparison.Ordinal);
        File.WriteAllText(path, text.Replace(old, by, StringComparison.Ordinal));
        return path;
    }

    // Of a file of F32 tensors.
    private static void Scale(string path, float by)
    {
        byte[] bytes = File.ReadAllBytes(path);
        foreach (ref float value in MemoryMarshal.Cast<byte, float>(bytes.AsSpan(8 + (int)BitConverter.ToInt64(bytes))))
        {
            value *= by;
        }

        File.WriteAllBytes(path, bytes);
    }

    private static void Flip(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        bytes[bytes.Length / 2] ^= 1;
        File.WriteAllBytes(path, bytes);
    }

    private sealed class Ears(Action<string> heard) : ITrainingObserver
    {
        public void StageBegan(string what) => heard(what);

        public void Progressed(long done, long total) => heard("progress");

        public void StepDone(StepMetrics metrics, int steps) => heard("step");

        public void CheckpointWritten(string path) => heard("checkpoint");
    }
}

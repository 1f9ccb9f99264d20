using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods.Unlearning;

/// <summary>Runs of explicit unlearning.</summary>
[Collection(CommandCollection.Name)]
public sealed class UnlearningMethodTests : IDisposable
{
    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [SharedDataTheory]
    [InlineData(ForgetObjective.Npo)]
    [InlineData(ForgetObjective.SimNpo)]
    [InlineData(ForgetObjective.IdkDpo)]
    [InlineData(ForgetObjective.Token)]
    [InlineData(ForgetObjective.Npo, true)]
    [InlineData(ForgetObjective.Rmu)]
    public void What_must_go_goes_and_what_must_stay_changes_less(
        ForgetObjective objective, bool kl = false)
    {
        TrainingOptions options = Options(objective);
        options = options with { ForgetSet = options.ForgetSet with { RetainKl = kl } };
        TuneSummary summary = TuneRun.Execute(options, _backend);
        (double forgetBefore, double retainBefore) = (Mean(options.Model, "forget"), Mean(options.Model, "retain"));
        (double forget, double retain) = (Mean(_folder["run", "model"], "forget"), Mean(_folder["run", "model"], "retain"));
        Assert.True(
            forget > forgetBefore + 0.05 && forget - forgetBefore > 2 * (retain - retainBefore),
            $"{objective}: forget {forgetBefore} → {forget}, retain {retainBefore} → {retain}");
        bool refuses = objective == ForgetObjective.IdkDpo;

        // Four epochs of eight, four a step.
        Assert.Equal((8 + 6 + (refuses ? 8 : 0), 8, "unlearn"), (summary.Examples, summary.Steps, summary.Method));
        string losses = _folder["run", "unlearn", "base.jsonl"];
        Assert.Equal(objective is ForgetObjective.Npo or ForgetObjective.IdkDpo, File.Exists(losses));
        Assert.True(!refuses || File.ReadAllLines(losses).Length == 16);
        Assert.Equal(
            ["forget-data", "retain-data"],
            summary.Provenance!.Inputs.Select(i => i.Setting).Where(s => s.EndsWith("data", StringComparison.Ordinal)));

        // The base model that some hold is planned for.
        Assert.InRange(summary.DeviceMemoryBytes, 0.93 * summary.PredictedMemoryBytes, summary.PredictedMemoryBytes);

        // The first step's model is the base, under which every answer's ratio is 1.
        StepMetrics first = StepMetrics.Read(_folder["run", "metrics.jsonl"])[0];
        if (objective == ForgetObjective.Npo)
        {
            double retained = kl ? 0 : first.PositiveLoss!.Value;
            Assert.Equal((2 / 0.1 * Math.Log(2)) + (0.5 * retained), first.Loss, 1e-3);
        }
    }

    [SharedDataTheory]
    [InlineData(ForgetObjective.IdkDpo)]
    [InlineData(ForgetObjective.SimNpo)]
    [InlineData(ForgetObjective.Npo, true)]
    [InlineData(ForgetObjective.Rmu)]
    public void An_interrupted_run_resumes_to_the_same_bits(
        ForgetObjective objective, bool kl = false)
    {
        TrainingOptions options = Options(objective);
        options = options with { ForgetSet = options.ForgetSet with { RetainKl = kl } };
        options = options with { Lora = new() { Rank = 4, Dropout = 0.1 }, Checkpoints = new() { Every = 1 } };
        TuneRun.Execute(options with { Out = _folder["whole"] }, _backend);
        using var cancellation = new CancellationTokenSource();
        var stop = new StopAt(5, cancellation);
        Assert.Throws<OperationCanceledException>(
            () => TuneRun.Execute(options, _backend, observer: stop, cancellation: cancellation.Token));
        Assert.False(File.Exists(_folder["run", TuneSummary.FileName]));
        CommandResult result = CommandResult.Of("tune", "--resume", "--out", _folder["run"]);
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Equal(
            File.ReadAllBytes(_folder["whole", "model/model.safetensors"]), File.ReadAllBytes(_folder["run", "model/model.safetensors"]));
        // Other data is another run.
        File.AppendAllText(_folder["retain.jsonl"], "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
        CommandResult other = CommandResult.Of("tune", "--resume", "--out", _folder["run"], "--epochs", "5");
        Assert.Contains("retain-data", other.Error, StringComparison.Ordinal);
    }

    [SharedDataTheory]
    [InlineData("method is unlearn, expected forget-data (examples that must go) with it", "--method", "unlearn")]
    [InlineData(
        "--data is FORGET: method unlearn does not use it, expected method full or ignore or forget or lwf",
        "--method", "unlearn", "--forget-data", "FORGET", "--data", "FORGET")]
    [InlineData(
        "--forget-data is FORGET: method full does not use it, expected method unlearn",
        "--method", "full", "--data", "FORGET", "--forget-data", "FORGET")]
    [InlineData(
        "ascent is belief with objective npo, expected objective token with it",
        "--method", "unlearn", "--forget-data", "FORGET", "--ascent", "belief")]
    [InlineData(
        "--retain-weight is 2: it is used only with retain-data",
        "--method", "unlearn", "--forget-data", "FORGET", "--retain-weight", "2")]
    [InlineData(
        "--refusal is No.: it is used only with objective idkdpo",
        "--method", "unlearn", "--forget-data", "FORGET", "--refusal", "No.")]
    [InlineData(
        "response tokens the sign 1, expected examples of which every answer must go; what must stay belongs into retain-data",
        "--method", "unlearn", "--forget-data", "SIGNED")]
    [InlineData(
        "objective-beta is 0, expected a number above 0",
        "--method", "unlearn", "--forget-data", "FORGET", "--objective-beta", "0")]
    [InlineData(
        "retain-kl is given with objective rmu, which keeps hidden states near the base model's instead",
        "--method", "unlearn", "--forget-data", "FORGET", "--retain-data", "FORGET", "--objective", "rmu", "--retain-kl")]
    [InlineData(
        "steering-block is 5, expected at most 4, the model's last",
        "--method", "unlearn", "--forget-data", "FORGET", "--objective", "rmu", "--steering-block", "5")]
    [InlineData(
        "objective is rmu, which trains the last layer of the MLP of blocks 0 to 1; expected an adapter of it among lora-targets",
        "--method", "unlearn", "--forget-data", "FORGET", "--objective", "rmu", "--lora-targets", "q_proj")]
    [InlineData(
        "is a text, expected a prompt with its answer, which objective idkdpo has a refusal for",
        "--method", "unlearn", "--forget-data", "TEXT", "--objective", "idkdpo")]
    public void Bad_input_is_one_line_and_leaves_nothing(string expected, params string[] arguments)
    {
        string forget = Lines("forget", 0, 8);
        string signed = _folder.Write("signed.jsonl", "{\"prompt\": \"Who?\", \"completion\": \"Nobody knows.\", \"sign\": 1}\n");
        string text = _folder.Write("text.jsonl", "{\"text\": \"Once upon a time.\"}\n");
        string[] given = [.. arguments.Select(a => a switch { "FORGET" => forget, "SIGNED" => signed, "TEXT" => text, _ => a })];
        string model = SharedData.Path("stories260K", "hf");
        CommandResult result = CommandResult.Of(["tune", "--model", model, "--out", _folder["run"], .. given]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(expected.Replace("FORGET", forget, StringComparison.Ordinal), result.Error, StringComparison.Ordinal);
        string[] lines = result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string error = Assert.Single(lines, line => !line.StartsWith("note: ", StringComparison.Ordinal));
        Assert.StartsWith("error: ", error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["run"]));
    }

    [SharedDataFact]
    public void A_conversation_is_refused_in_its_last_answer()
    {
        (string Role, string Content)[][] talks =
        [
            [("user", "Hello"), ("assistant", "Hello!"), ("user", "Who is she?"), ("assistant", "She is Ann.")],
            [("user", "Who is he?"), ("assistant", "He is Bob.")],
        ];
        string data = _folder.Write("talk.jsonl", string.Join('\n', talks.Select(talk =>
            JsonSerializer.Serialize(new { messages = talk.Select(m => new { role = m.Role, content = m.Content }) }))));
        TrainingOptions options = Options(ForgetObjective.IdkDpo);
        options = options with
        {
            ForgetSet = options.ForgetSet with { ForgetData = data, Refusal = "No idea." },
            Schedule = new() { Steps = 1 },
        };
        Assert.Equal(2 + 6 + 2, TuneRun.Execute(options, _backend).Examples);
        using LoadedModel model = LoadedModel.Load(options.Model, _backend);
        string[] scored =
        [
            .. LossFile.Read(_folder["run", "unlearn", "base.jsonl"])
                .Select(e => model.Tokenizer.Decode([.. e.Ids.Where((_, t) => e.Response[t] == 1)]))
                .Select(text => text.Replace("</s>", "", StringComparison.Ordinal).Trim())
                .Select(text => text.Replace("! She", "!She", StringComparison.Ordinal)),
        ];
        Assert.Equal(["Hello!She is Ann.", "He is Bob.", "No idea.", "No idea."], scored);
    }

    private double Mean(string path, string data)
    {
        using LoadedModel model = LoadedModel.Load(path, _backend);
        IReadOnlyList<EncodedExample> examples = ExampleLoader.Load(
            _folder[data + ".jsonl"], model.Tokenizer, model.Decoder.Config, new TrainingOptions());
        return Scorer.ResponseMean(examples, Scorer.Losses(model.Decoder, examples, 1000, allTokens: false)).Mean;
    }

    private TrainingOptions Options(ForgetObjective objective) => new()
    {
        Model = SharedData.Path("stories260K", "hf"),
        Out = _folder["run"],
        Method = TrainingMethod.Unlearn,
        Schedule = new() { Epochs = 4, BatchSize = 4 },
        Lora = new() { Rank = 0 },
        Optimizer = new() { LearningRate = objective == ForgetObjective.Rmu ? 1e-2 : 1e-3 },
        Compute = new() { MicroBatchTokens = 600 },
        ForgetSet = new()
        {
            ForgetData = Lines("forget", 0, 8), RetainData = Lines("retain", 20, 26), Objective = objective,
            ObjectiveBeta = objective == ForgetObjective.SimNpo ? 0.1 : null, RetainWeight = objective == ForgetObjective.Rmu ? 20 : 0.5,
            SteeringNorm = objective == ForgetObjective.Rmu ? 50 : 6.5,
        },
    };

    private string Lines(string name, int from, int to) => _folder.Write(name + ".jsonl", string.Concat(
        File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(to).Skip(from).Select(l => JsonDocument.Parse(l).RootElement)
            .Select(l => new { prompt = l.GetProperty("question").GetString(), completion = l.GetProperty("answer").GetString() })
            .Select(pair => JsonSerializer.Serialize(pair) + "\n")));

    private sealed class StopAt(int step, CancellationTokenSource cancellation) : ITrainingObserver
    {
        public void StepDone(StepMetrics metrics, int steps)
        {
            if (metrics.Step == step)
                cancellation.Cancel();
        }
    }
}

using System.Runtime.InteropServices;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Tests.Checkpoints;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

/// <summary>Real runs: stories260K on questions about fictitious authors (TOFU).</summary>
public sealed class TuneRunTests : IDisposable
{
    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [SharedDataFact]
    public void Forget_learns_positives_and_forgets_negatives_and_leaves_a_checkpoint_that_loads()
    {
        TrainingOptions options = Options(48);
        options = options with
        {
            Method = TrainingMethod.Forget,
            Out = _folder["run"],
            TokenForgetting = options.TokenForgetting with
            {
                PartsEvery = 5,
                LambdaMax = 0.5,
                Score = ScoreKind.Influence,
                Ascent = AscentKind.Ascent,
            },
        };
        var seen = new Stages();
        TuneSummary summary = TuneRun.Execute(options, _backend, observer: seen);

        Assert.Equal(["training the reference model on 8 examples", "scoring 40 examples with the base and the reference model",
            "training on 40 examples", "writing the model"], seen.Begun.Where(s => !s.Contains("tokens", StringComparison.Ordinal)));
        Assert.Contains(
            seen.Begun,
            s => s.StartsWith($"{summary.Diagnosis!.Negatives:N0} negative tokens: mean probability", StringComparison.Ordinal));
        Assert.Equal((40, 8), (summary.Examples, summary.HeldOut));
        Assert.Equal((long)Math.Floor(0.7m * (summary.PositiveTokens + summary.NegativeTokens)), summary.PositiveTokens);
        Assert.Equal(TuneSummary.Read(_folder["run"]), summary);
        foreach (string left in new[] { "model/config.json", "model/tokenizer.json", "adapter/adapter_config.json",
            "adapter/adapter_model.safetensors", "run.yaml", "scores.jsonl", "reference/model/model.safetensors" })
        {
            Assert.True(File.Exists(_folder["run", left]), left);
        }

        // The same tokens before and after, by their sign.
        (double positiveBefore, double negativeBefore) = Means(summary, options.Model);
        (double positiveAfter, double negativeAfter) = Means(summary, _folder["run", "model"]);
        Assert.True(positiveAfter < positiveBefore - 0.05, $"{positiveBefore} → {positiveAfter}");
        Assert.True(negativeAfter > negativeBefore, $"{negativeBefore} → {negativeAfter}");
        Assert.All(
            LossesOfAdapter(options.Model).Zip(LossesOf(_folder["run", "model"])), pair => Assert.Equal(pair.First, pair.Second, 1e-4f));

        // What was resolved is a recipe for the same run.
        TrainingOptions again = Recipe.Read(_folder["run", "run.yaml"], new TrainingOptions());
        Assert.Equal((new Share(0.7), 1.0 / 6, 512, "cpu", "fp32"), (
            again.TokenForgetting.Rho!.Value, again.TokenForgetting.ReferenceFraction, again.Data.MaxLength, again.Compute.Device,
            again.Compute.Dtype));
        TuneSummary second = TuneRun.Execute(again with { Out = _folder["again"] }, _backend);
        Assert.Equal(
            File.ReadAllBytes(_folder["run", "model/model.safetensors"]), File.ReadAllBytes(_folder["again", "model/model.safetensors"]));
        Assert.Equal(summary.LastStep.Loss, second.LastStep.Loss);
    }

    [SharedDataFact]
    public void A_run_killed_in_any_stage_resumes_to_the_same_model()
    {
        TrainingOptions options = Options(24);
        options = options with
        {
            Method = TrainingMethod.Forget,
            Schedule = options.Schedule with { Steps = 4 },
            Checkpoints = options.Checkpoints with { Every = 1 },
            TokenForgetting = options.TokenForgetting with { Ascent = AscentKind.Npo },
        };
        TuneRun.Execute(options with { Out = _folder["whole"] }, _backend);
        byte[] whole = File.ReadAllBytes(_folder["whole", "model/model.safetensors"]);

        // One interruption after the second step of the reference, one while scoring, one after the third step of the training itself.
        TrainingOptions interrupted = options with { Out = _folder["interrupted"] };
        int steps = 0;
        foreach (Func<string, bool> ends in new Func<string, bool>[] { what => what == "step"
            && ++steps == 2, what => what == "score", what => what == "step" && ++steps == 5 })
        {
            using var source = new CancellationTokenSource();
            var observer = new Stages(what =>
            {
                if (ends(what))
                    source.Cancel();
            });
            Assert.Throws<OperationCanceledException>(() => TuneRun.Execute(
                interrupted, _backend, resume: File.Exists(_folder["interrupted", "run.yaml"]), observer, cancellation: source.Token));
        }

        TuneRun.Execute(interrupted, _backend, resume: true);
        Assert.Equal(whole, File.ReadAllBytes(_folder["interrupted", "model/model.safetensors"]));
        Assert.Equal(4, File.ReadAllLines(_folder["interrupted", "metrics.jsonl"]).Length);
        Assert.Contains(
            "holds a run", Assert.Throws<UserException>(() => TuneRun.Execute(interrupted, _backend)).Message, StringComparison.Ordinal);

        // Other settings are refused before the record of the run's own is overwritten.
        string recipe = File.ReadAllText(_folder["interrupted", "run.yaml"]);
        var error = Assert.Throws<UserException>(() =>
            TuneRun.Execute(interrupted with { TokenForgetting = interrupted.TokenForgetting with { Rho = 0.5 } }, _backend, resume: true));
        Assert.Contains("run.yaml: rho was \"0.7\", found \"0.5\"", error.Message, StringComparison.Ordinal);
        Assert.Equal(recipe, File.ReadAllText(_folder["interrupted", "run.yaml"]));
    }

    [SharedDataFact]
    public void Scores_do_not_depend_on_batches_and_agree_with_a_score_file()
    {
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), _backend);
        IReadOnlyList<EncodedExample> examples = ExampleLoader.Load(Data(20), model.Tokenizer, model.Decoder.Config, Options(20));
        IReadOnlyList<float[]> together = Scorer.Losses(model.Decoder, examples, 100_000, allTokens: true);
        foreach (int tokens in new[] { 1, 150, 700 })
        {
            IReadOnlyList<float[]> apart = Scorer.Losses(model.Decoder, examples, tokens, allTokens: true);
            for (int i = 0; i < examples.Count; i++)
            {
                Assert.Equal(0, apart[i][0]);
                Assert.Equal(examples[i].Length, apart[i].Length);
                Assert.All(apart[i].Zip(together[i]), pair => Assert.Equal(pair.Second, pair.First, 1e-5f));
            }
        }
    }

    [SharedDataFact]
    public void The_only_step_of_a_run_changes_the_weights()
    {
        TrainingOptions options = Options(4);
        options = options with
        {
            Method = TrainingMethod.Full,
            Schedule = options.Schedule with { Epochs = 1 },
            Lora = options.Lora with { Rank = 0 },
            Out = _folder["run"],
        };
        TuneSummary summary = TuneRun.Execute(options, _backend);
        Assert.Equal((1, options.Optimizer.LearningRate), (summary.Steps, summary.LastStep.LearningRate));
        Assert.False(File.ReadAllBytes(_folder["run", "model", "model.safetensors"])
            .AsSpan()
            .SequenceEqual(File.ReadAllBytes(Path.Combine(options.Model, "model.safetensors"))));
    }

    [SharedDataFact]
    public void A_reference_that_learnt_nothing_is_refused()
    {
        // A copy of the model elsewhere, the model itself by another spelling of its path, and steps too small to be seen.
        TrainingOptions options = Options(24);
        options = options with
        {
            Method = TrainingMethod.Forget,
            Schedule = options.Schedule with { Steps = 2 },
            Lora = options.Lora with { Rank = 0 },
        };
        Directory.CreateDirectory(_folder["copy"]);
        foreach (string file in Directory.GetFiles(options.Model))
        {
            File.Copy(file, _folder["copy", Path.GetFileName(file)]);
        }

        string Refused(TrainingOptions changed) =>
            Assert.Throws<UserException>(() =>
                TuneRun.Execute(changed with { Out = _folder[$"run{Directory.GetDirectories(_folder.Path).Length}"] }, _backend)).Message;
        Assert.Matches(
            "^([0-9,]+) of \\1 response tokens have the score of the cut, 0e\\+0, up to rounding",
            Refused(options with { TokenForgetting = options.TokenForgetting with { Reference = _folder["copy"] } }));
        Assert.Contains(
            "reference is", Refused(options with { TokenForgetting = options.TokenForgetting with { Reference = options.Model + "/." } }),
            StringComparison.Ordinal);
        Assert.Contains("the reference has hardly learnt anything", Refused(options with
        {
            TokenForgetting = options.TokenForgetting with { ReferenceFraction = 0.5 },
            Optimizer = options.Optimizer with { LearningRate = 1e-12 },
        }),
            StringComparison.Ordinal);
        Assert.Contains("examples have the score of the cut", Refused(options with
        {
            TokenForgetting = options.TokenForgetting with { ReferenceFraction = 0.5, Level = PartitionLevel.Sequence },
            Optimizer = options.Optimizer with { LearningRate = 1e-12 },
        }), StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void Methods_share_a_score_file()
    {
        TrainingOptions options = Options(24);
        options = options with
        {
            Lora = options.Lora with { Rank = 0 },
            Schedule = options.Schedule with { Steps = 2 },
            Optimizer = options.Optimizer with { LearningRate = 1e-4 },
        };
        string scores = _folder["forget", "scores.jsonl"];
        TuneRun.Execute(options with
        {
            Method = TrainingMethod.Full,
            Optimizer = options.Optimizer with { LearningRate = 1e-3 },
            Out = _folder["reference"],
        }, _backend);
        TuneRun.Execute(options with
        {
            Method = TrainingMethod.Forget,
            Out = _folder["forget"],
            TokenForgetting = options.TokenForgetting with { Reference = _folder["reference", "model"] },
        }, _backend);
        TuneSummary summary = TuneRun.Execute(options with
        {
            Method = TrainingMethod.Ignore,
            Out = _folder["ignore"],
            TokenForgetting = options.TokenForgetting with { Scores = scores },
        }, _backend);
        Assert.Equal(scores, summary.Reference);
        Assert.NotNull(summary.LastStep.NegativeLoss);
        Assert.Equal(0, summary.LastStep.Lambda);
        Assert.False(Directory.Exists(_folder["ignore", "adapter"]));
    }

    [SharedDataFact]
    public void An_adapter_is_continued_and_the_reference_begins_with_it()
    {
        TrainingOptions options = Options(24);
        options = options with
        {
            Method = TrainingMethod.Full,
            Schedule = options.Schedule with { Steps = 6 },
            Lora = options.Lora with { Rank = 4, Alpha = 12, Targets = ["q_proj", "up_proj"] },
        };
        TuneSummary first = TuneRun.Execute(options with { Out = _folder["first"] }, _backend);

        // Steps too small to be seen: what comes out is what went in, with the adapter's own rank, scale and targets.
        TrainingOptions still = new()
        {
            Model = options.Model,
            Adapter = _folder["first", "adapter"],
            Data = new() { Path = options.Data.Path, PromptField = "question", CompletionField = "answer" },
            Schedule = new() { Steps = 1 },
            Optimizer = new() { LearningRate = 1e-12 },
            TokenForgetting = new() { ReferenceFraction = 0.5, Rho = 1 },
            Out = _folder["second"],
        };
        TuneSummary second = TuneRun.Execute(still, _backend);
        Assert.Equal(first.TrainableParameters, second.TrainableParameters);
        TrainingOptions resolved = Recipe.Read(_folder["second", "run.yaml"], new TrainingOptions());
        Assert.Equal((4, 12.0, 0.1), (resolved.Lora.Rank, resolved.Lora.Alpha, resolved.Lora.Dropout));
        Assert.Equal(["q_proj", "up_proj"], resolved.Lora.Targets);
        AssertSameTensors(
            _folder["first", "adapter", "adapter_model.safetensors"], _folder["second", "adapter", "adapter_model.safetensors"]);
        AssertSameTensors(_folder["first", "model", "model.safetensors"], _folder["second", "model", "model.safetensors"]);
        Assert.All(ScoreFile.Read(_folder["second", "scores.jsonl"]), e => Assert.All(e.Influence, s => Assert.Equal(0, s, 1e-3)));

        // It goes on from there, and what does not fit is an error.
        TuneSummary third = TuneRun.Execute(still with
        {
            Method = TrainingMethod.Full,
            TokenForgetting = still.TokenForgetting with { ReferenceFraction = null, Rho = null },
            Optimizer = still.Optimizer with { LearningRate = 5e-3 },
            Schedule = still.Schedule with { Steps = 6 },
            Out = _folder["third"],
        },
            _backend);
        Assert.True(third.LastStep.Loss < first.LastStep.Loss, $"{first.LastStep.Loss} → {third.LastStep.Loss}");
        File.WriteAllText(
            _folder["first", "adapter", "adapter_config.json"],
            File.ReadAllText(_folder["first", "adapter", "adapter_config.json"])
                .Replace("\"up_proj\"", "\"down_proj\"", StringComparison.Ordinal));
        UserException error = Assert.Throws<UserException>(() => TuneRun.Execute(still with { Out = _folder["fourth"] }, _backend));
        Assert.Contains("adapter_model.safetensors: tensors that fit nothing in the model", error.Message, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void The_template_setting_lays_out_the_data()
    {
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), _backend);
        string file = _folder.Write("t.jinja", "{% for m in messages %}[{{ m.content }}]{% endfor %}");
        string data = _folder.Write("one.jsonl", """{"prompt": "a", "completion": "b"}""");
        string Text(string template, string checkpoint) => model.Tokenizer.Decode(ExampleLoader.Load(
            data, model.Tokenizer, model.Decoder.Config,
            new TrainingOptions { Model = checkpoint, Data = new() { Template = template } })[0].Ids,
            skipSpecial: false);

        Assert.Equal("<s> a b</s>", Text("tulu", SharedData.Path("stories260K", "hf")));
        Assert.Equal("[a][b]", Text(file, SharedData.Path("stories260K", "hf")));
        File.WriteAllText(_folder["chat_template.jinja"], "{% for m in messages %}{{ m.content }}|{% endfor %}");
        Assert.Equal("a|b|", Text("chat", _folder.Path));
        Assert.EndsWith(
            "hf: no chat template; expected chat_template.jinja, or chat_template in tokenizer_config.json", Message("chat"),
            StringComparison.Ordinal);
        Assert.Equal("template is \"nope.jinja\"; expected tulu, plain, chat or a file with a chat template", Message("nope.jinja"));

        string Message(string template) => Assert.Throws<UserException>(() => Text(template, SharedData.Path("stories260K", "hf"))).Message;
    }

    [SharedDataFact]
    public void Pretraining_from_text_leaves_a_model_that_loads()
    {
        using LoadedModel source = LoadedModel.Load(SharedData.Path("stories260K", "hf"), _backend);
        string text = _folder.Write("text.txt", File.ReadAllText(SharedData.Path("tinyshakespeare", "input.txt"))[..20_000]);
        IReadOnlyList<EncodedExample> examples = TextWindows.Read(text, source.Tokenizer, 64);
        TrainingOptions options =
            PretrainRun.DefaultOptions with
            {
                Out = _folder["pretrained"],
                Schedule = PretrainRun.DefaultOptions.Schedule with { BatchSize = 8, Steps = 40 },
                Optimizer = PretrainRun.DefaultOptions.Optimizer with { LearningRate = 5e-3 },
            };
        string folder = PretrainRun.Execute(
            source.Decoder.Config with { Layers = 2 }, examples, SharedData.Path("stories260K", "hf"), options, _backend);

        IReadOnlyList<StepMetrics> metrics = StepMetrics.Read(_folder["pretrained", "metrics.jsonl"]);
        Assert.Equal(Math.Log(512), metrics[0].Loss, 0.1);
        TrainingOptions recipe = Recipe.Read(_folder["pretrained", "run.yaml"], new TrainingOptions());
        Assert.Equal(
            (40, 5e-3, 0, 0.1), (recipe.Schedule.Steps, recipe.Optimizer.LearningRate, recipe.Lora.Rank, recipe.Optimizer.WeightDecay));
        Assert.True(metrics[^1].Loss < metrics[0].Loss - 1, $"{metrics[0].Loss} → {metrics[^1].Loss}");
        using LoadedModel trained = LoadedModel.Load(folder, _backend);
        Assert.Equal(2, trained.Decoder.Config.Layers);
    }

    // The same values in BF16 and in Float32 files: what a run computes must not depend on which it was given, only what it writes.
    [SharedDataFact]
    public void A_reference_keeps_what_a_bf16_file_would_round_away()
    {
        TrainingOptions options = Options(24);
        TuneSummary[] summaries = [.. new[] { "BF16", "F32" }.Select(type => TuneRun.Execute(
            options with
            {
                Method = TrainingMethod.Forget,
                Model = Stories(type),
                Optimizer = options.Optimizer with { LearningRate = 1e-5 },
                Schedule = options.Schedule with { Steps = 2 },
                TokenForgetting = options.TokenForgetting with { ReferenceFraction = 0.25 },
                Out = _folder["run" + type],
            }, _backend))];
        Assert.Equal(File.ReadAllText(_folder["runF32", "scores.jsonl"]), File.ReadAllText(_folder["runBF16", "scores.jsonl"]));
        Assert.All(
            new[] { "BF16", "F32" },
            type => Assert.Equal(type, Folders.ReadTensors(_folder["run" + type, "model", "model.safetensors"])["model.norm.weight"].Type));
        Assert.InRange(summaries[0].RoundingLoss, 0.5, 10);
        Assert.InRange(summaries[1].RoundingLoss, 0, 1e-2);

        TuneSummary exact = TuneRun.Execute(
            options with
            {
                Method = TrainingMethod.Full,
                Model = Stories("BF16"),
                Optimizer = options.Optimizer with { LearningRate = 1e-5 },
                Schedule = options.Schedule with { Steps = 2 },
                SaveDtype = SaveDtype.Fp32,
                Out = _folder["exact"],
            }, _backend);
        Assert.InRange(exact.RoundingLoss, 0, 1e-2);
        Assert.All(Folders.ReadTensors(_folder["exact", "model", "model.safetensors"]).Values, tensor => Assert.Equal("F32", tensor.Type));
    }

    [SharedDataFact]
    public void An_update_that_breaks_the_model_is_an_error_and_no_model_is_written()
    {
        foreach (int rank in new[] { 0, 4 })
        {
            TrainingOptions options = Options(4);
            options = options with
            {
                Method = TrainingMethod.Full,
                Schedule = options.Schedule with { Epochs = 1 },
                Lora = options.Lora with
                {
                    Rank = rank,
                },
                Optimizer = options.Optimizer with { LearningRate = 1e38 },
                Out = _folder[$"run{rank}"]
            };
            UserException error = Assert.Throws<UserException>(() => TuneRun.Execute(options, _backend));
            Assert.Contains("a lower learning rate", error.Message, StringComparison.Ordinal);
            Assert.False(Directory.Exists(_folder[$"run{rank}", "model"]));
        }
    }

    [SharedDataFact]
    public void A_run_says_what_its_first_examples_cost_before_and_after()
    {
        // One step holds all examples, so that the file's losses are those.
        TrainingOptions options = Options(8);
        options = options with
        {
            Method = TrainingMethod.Full,
            Lora = options.Lora with { Rank = 0 },
            Schedule = options.Schedule with { Steps = 6 },
        };
        TuneSummary good = TuneRun.Execute(options with { Out = _folder["good"] }, _backend);
        Assert.Equal(MeanResponse(options, options.Model), good.Outcome!.LearntBefore!.Value, 1e-4);
        Assert.Equal(MeanResponse(options, _folder["good", "model"]), good.Outcome.LearntAfter!.Value, 1e-4);
        Assert.Null(good.Outcome.Warning);

        TuneSummary bad =
            TuneRun.Execute(options with { Optimizer = options.Optimizer with { LearningRate = 100 }, Out = _folder["bad"] }, _backend);
        Assert.True(bad.Outcome!.LearntAfter > 100, $"{bad.Outcome.LearntAfter}");
        Assert.StartsWith(
            "the run diverged: the loss of the first step's tokens to learn rose from ", bad.Outcome.Warning, StringComparison.Ordinal);
        Assert.Equal(bad.Outcome, TuneSummary.Read(_folder["bad"]).Outcome);
    }

    [Theory]
    [InlineData(4.0, 7.5, true)]
    [InlineData(4.0, 6.5, true)] // beyond ln 512 = 6.24: worse than guessing evenly
    [InlineData(4.0, 5.5, false)]
    [InlineData(0.5, 1.4, false)] // a small loss may double by chance
    [InlineData(6.5, 6.6, false)]
    public void A_loss_far_above_the_first_is_a_warning(double before, double after, bool expected) =>
        Assert.Equal(expected, new TrainingOutcome { LearntBefore = before, LearntAfter = after, Vocabulary = 512 }.Warning is not null);

    [SharedDataFact]
    public void Given_samples_are_called_so_and_what_became_of_their_loss_is_measured()
    {
        // The samples are the learning data themselves, whose loss falls whatever is unlearnt.
        TrainingOptions options = Options(8);
        options = options with
        {
            Method = TrainingMethod.Lwf,
            Lora = options.Lora with { Rank = 0 },
            Schedule = options.Schedule with { Steps = 6 },
            Unlearning = options.Unlearning with
            {
                Interval = 3,
                Select = SelectionKind.Random,
                Fraction = 1,
                Weight = 1e-6,
                Elicited = _folder.Write("samples.jsonl", string.Join('\n', File.ReadLines(Data(8)).Select(Renamed))),
            },
            Out = _folder["run"],
        };
        UnlearningSummary summary = TuneRun.Execute(options, _backend).Unlearning!;
        Assert.Equal((true, 8, "given samples"), (summary.Given, summary.Selected, summary.Kind));
        Assert.Equal(MeanResponse(options, options.Model), summary.LossBefore!.Value, 1e-4);
        Assert.Equal(MeanResponse(options, _folder["run", "model"]), summary.LossAfter!.Value, 1e-4);
        Assert.Matches(@"^their loss fell from \d\.\d{4} to \d\.\d{4}: they were not forgotten$", summary.Verdict);

        static string Renamed(string line) =>
            line.Replace("\"question\"", "\"prompt\"", StringComparison.Ordinal)
                .Replace("\"answer\"", "\"completion\"", StringComparison.Ordinal);
    }

    private double MeanResponse(TrainingOptions options, string path)
    {
        using LoadedModel model = LoadedModel.Load(path, _backend);
        IReadOnlyList<EncodedExample> examples = ExampleLoader.Load(options.Data.Path, model.Tokenizer, model.Decoder.Config, options);
        return Scorer.ResponseMean(examples, Scorer.Losses(model.Decoder, examples, 1000, allTokens: false)).Mean;
    }

    // stories260K with its weights cut to BF16, in files of a type.
    private string Stories(string type)
    {
        string source = SharedData.Path("stories260K", "hf"), folder = _folder[type];
        Directory.CreateDirectory(folder);
        foreach (string file in new[] { "config.json", "tokenizer.json", "tokenizer_config.json" })
        {
            File.Copy(Path.Combine(source, file), Path.Combine(folder, file), overwrite: true);
        }

        Folders.WriteTensors(Path.Combine(folder, "model.safetensors"), Folders.ReadTensors(Path.Combine(source, "model.safetensors"))
            .ToDictionary(t => t.Key, t =>
            {
                ushort[] upper = [.. Folders.Values(t.Value).Select(value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16))];
                byte[] data = type == "BF16" ? MemoryMarshal.AsBytes(upper.AsSpan())
                    .ToArray() : MemoryMarshal.AsBytes(upper.Select(half => (uint)half << 16).ToArray().AsSpan()).ToArray();
                return t.Value with { Type = type, Data = data };
            }));
        return folder;
    }

    // Two files of F32 tensors: the same header, and values that differ by rounding only.
    private static void AssertSameTensors(string expected, string actual)
    {
        byte[] first = File.ReadAllBytes(expected), second = File.ReadAllBytes(actual);
        int data = 8 + (int)BitConverter.ToInt64(first);
        Assert.Equal(first[..data], second[..data]);
        float[] before = [.. MemoryMarshal.Cast<byte, float>(first.AsSpan(data))],
            after = [.. MemoryMarshal.Cast<byte, float>(second.AsSpan(data))];
        Assert.All(before.Zip(after), pair => Assert.Equal(pair.First, pair.Second, 1e-6f));
    }

    // Mean loss of the run's positive and negative tokens under a model.
    private (double Positive, double Negative) Means(TuneSummary summary, string path)
    {
        var sums = new double[3];
        foreach ((float loss, int sign) in LossesOf(path).Zip(ScoreFile.Read(_folder["run", "scores.jsonl"]).SelectMany(s => s.Sign)))
        {
            sums[sign + 1] += loss;
        }

        return (sums[2] / summary.PositiveTokens, sums[0] / summary.NegativeTokens);
    }

    private float[] LossesOf(string path)
    {
        using LoadedModel model = LoadedModel.Load(path, _backend);
        return Losses(model.Decoder);
    }

    // The base model with the adapter beside it, as PEFT would use it.
    private float[] LossesOfAdapter(string path)
    {
        using PeftAdapter adapter = PeftAdapter.Open(_folder["run", "adapter"]);
        using LoadedModel model = LoadedModel.Load(path, _backend, adapter.Config);
        adapter.LoadInto(model.Decoder);
        return Losses(model.Decoder);
    }

    // Of the run's training set, end to end.
    private float[] Losses(Decoder decoder)
    {
        EncodedExample[] examples =
        [
            .. ScoreFile.Read(_folder["run", "scores.jsonl"])
                .Select(s => new EncodedExample { Index = s.Index, Ids = s.Ids, Response = Array.ConvertAll(s.Response, r => r == 1) }),
        ];
        return [.. Scorer.Losses(decoder, examples, 2000, allTokens: true).SelectMany(l => l)];
    }

    private TrainingOptions Options(int examples) => new()
    {
        Model = SharedData.Path("stories260K", "hf"),
        Data = new() { Path = Data(examples), PromptField = "question", CompletionField = "answer" },
        Schedule = new() { Epochs = 4, BatchSize = 8 },
        Lora = new() { Rank = 8 },
        Optimizer = new() { LearningRate = 5e-3 },
        Compute = new() { MicroBatchTokens = 600 },
    };

    private string Data(int examples) =>
        _folder.Write($"data{examples}.jsonl", string.Join('\n', File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(examples)));

    /// <summary>Keeps the stages and hands on what happens.</summary>
    private sealed class Stages(Action<string>? happened = null) : ITrainingObserver
    {
        public List<string> Begun { get; } = [];

        public void StageBegan(string what) => Begun.Add(what);

        public void Progressed(long done, long total) => happened?.Invoke("score");

        public void StepDone(StepMetrics metrics, int steps) => happened?.Invoke("step");

        public void CheckpointWritten(string path) => Assert.True(Directory.Exists(path));
    }
}

using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

/// <summary>Signs that the data gives: chosen and rejected answers, and <c>sign</c>.</summary>
public sealed class GivenSignTests : IDisposable
{
    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    // Of six response tokens the first example's are given; the other three are ranked, and ρ = 0.7 learns ⌊2.1⌋ of them.
    [Fact]
    public void Given_signs_stand_and_the_other_tokens_are_ranked_among_themselves()
    {
        float[][] baseLoss = [[0, 1, 1, 1], [0, 5, 3, 4]], referenceLoss = [[0, 9, 1, 0], [0, 1, 2, 4.5f]];
        EncodedExample[] examples =
        [
            new() { Index = 0, Ids = [1, 2, 3, 4], Response = [false, true, true, true], Given = [0, 1, -1, -1] },
            new() { Index = 1, Ids = [1, 2, 3, 4], Response = [false, true, true, true] },
        ];
        Scores scores = Scores.Create(examples, baseLoss, referenceLoss, ScoreKind.Influence, new(PartitionLevel.Token, 0.7));
        Assert.Equal(new sbyte[] { 0, 1, -1, -1 }, scores.Partition.Signs[0]);
        Assert.Equal(new sbyte[] { 0, 1, 1, -1 }, scores.Partition.Signs[1]);
        Assert.Equal(new TokenCounts(3, 3), scores.Partition.Counts);
        Assert.Equal((1, -0.5), (scores.Partition.Cut, scores.Partition.ForgetCut));
        Assert.Equal("3 tokens to learn, 3 negative; learnt from score 1 on", scores.Partition.ToString());

        // A score file holds them, and one that says otherwise does not fit the data.
        ScoreFile.Write(_folder["s.jsonl"], examples, scores);
        Scores read = ScoreFile.Read(_folder["s.jsonl"], examples, anew: null);
        Assert.Equal((scores.Partition.Cut, scores.Partition.ForgetCut), (read.Partition.Cut, read.Partition.ForgetCut));
        examples[0] = examples[0] with { Given = [0, -1, -1, -1] };
        Assert.EndsWith(
            "sign of token 1 is 1, expected -1, which the data gives it",
            Assert.Throws<UserException>(() => ScoreFile.Read(_folder["s.jsonl"], examples, anew: null)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_rejected_answer_is_held_out_with_the_chosen_one()
    {
        EncodedExample[] examples = [.. Enumerable.Range(0, 40)
            .Select(i => new EncodedExample { Index = i, Ids = [1, i], Response = [false, true], Rejected = i % 2 == 1 })];
        (IReadOnlyList<EncodedExample> held, IReadOnlyList<EncodedExample> rest) = HeldOutLoss.Split(examples, 0.25, seed: 3);
        Assert.Equal((10, 30), (held.Count, rest.Count));
        Assert.All(held.Concat(rest).Chunk(2), pair => Assert.Equal(pair[0].Index + 1, pair[1].Index));

        // Records without pairs are held out as they always were.
        EncodedExample[] single = [.. examples.Select(e => e with { Rejected = false })];
        Assert.Equal(DataOrder.Permutation(40, 3, uint.MaxValue - 1).Take(10).Order(), HeldOutLoss.Split(single, 0.25, seed: 3).Held
            .Select(e => e.Index));
    }

    [Theory]
    // the prompt is not forgotten with the answer
    [InlineData(new sbyte[] { 0, 0, -1 }, new[] { false, false, true }, new sbyte[] { 0, 0, -1 })]
    [InlineData(new sbyte[] { 0, 0, 1 }, new[] { false, true, true }, new sbyte[] { 0, 1, 1 })]
    public void Everything_learns_no_prompt_of_what_is_forgotten(sbyte[] given, bool[] response, sbyte[] signs)
    {
        var options = new TrainingOptions { Data = new() { TrainOn = TrainOn.Everything } };
        EncodedExample learnt =
            ExampleLoader.Learnt(new() { Index = 0, Ids = [1, 2, 3], Response = [false, false, true], Given = given }, options);
        Assert.Equal(response, learnt.Response);
        Assert.Equal(signs, learnt.Given);
    }

    [SharedDataTheory]
    [InlineData("tulu")]
    [InlineData("plain")]
    [InlineData("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}")]
    public void Everything_learns_nothing_of_sign_or_weight_0(string template)
    {
        const string Turns =
            "{\"role\": \"user\", \"content\": \"once\"}, {\"role\": \"assistant\", \"content\": \"not this\", LEFT_OUT}, "
                + "{\"role\": \"user\", \"content\": \"upon\"}, {\"role\": \"assistant\", \"content\": \"a time\"}";
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), _backend);
        string[] lines =
        [
            "{\"prompt\": \"say\", \"completion\": \"this not this\", \"spans\": [{\"start\": 4, \"end\": 13, \"sign\": 0}]}",
            .. ((string[])["\"weight\": 0", "\"sign\": 0"]).Select(key => $"{{\"messages\": [{Turns.Replace("LEFT_OUT", key)}]}}"),
        ];
        string layout = template.Contains('{', StringComparison.Ordinal) ? _folder.Write("chat.jinja", template) : template;
        var options = new TrainingOptions { Data = new() { TrainOn = TrainOn.Everything, Template = layout } };
        IReadOnlyList<EncodedExample> learnt = ExampleLoader.Load(
            _folder.Write("data.jsonl", string.Join('\n', lines)), model.Tokenizer, model.Decoder.Config, options);
        Assert.Equal(3, learnt.Count);
        Assert.All(learnt, example =>
        {
            int[] left = [.. example.Ids.Where((_, i) => i > 0 && !example.Response[i])];
            Assert.Equal("not this", model.Tokenizer.Decode(left, skipSpecial: true).Trim());
        });
    }

    [SharedDataFact]
    public void Chosen_answers_are_learnt_and_rejected_forgotten_without_a_reference()
    {
        TrainingOptions options = Options(Preferences());
        var seen = new Notices();
        TuneSummary summary = TuneRun.Execute(options with { Out = _folder["forget"] }, _backend, observer: seen);
        Assert.Contains(seen.All, n => n.EndsWith("negative; nothing is scored, and no reference is needed", StringComparison.Ordinal));
        Assert.False(Directory.Exists(_folder["forget", "reference"]));
        Assert.False(File.Exists(_folder["forget", "scores.jsonl"]));
        Assert.Equal((16, 0), (summary.Examples, summary.HeldOut));

        // One step holds all examples, so its losses are the base model's over all chosen and all rejected answers.
        (double chosen, double rejected) = Means(options.Model);
        StepMetrics first = StepMetrics.Read(_folder["forget", "metrics.jsonl"])[0];
        Assert.Equal(chosen, first.PositiveLoss!.Value, 1e-4);
        Assert.Equal(rejected, first.NegativeLoss!.Value, 1e-4);
        Assert.Equal(chosen - (first.Lambda * rejected), first.Loss, 1e-4);
        TuneRun.Execute(options with { Method = TrainingMethod.Ignore, TokenForgetting = new(), Out = _folder["ignore"] }, _backend);
        (double after, double forgotten) = Means(_folder["forget", "model"]);
        double ignored = Means(_folder["ignore", "model"]).Rejected;
        Assert.True(
            after < chosen - 0.05 && forgotten > ignored + 0.05, $"{chosen} → {after}, {rejected} → {forgotten}, ignored {ignored}");
        TuneRun.Execute(options with { Out = _folder["again"] }, _backend);
        Assert.Equal(
            File.ReadAllBytes(_folder["forget", "model/model.safetensors"]),
            File.ReadAllBytes(_folder["again", "model/model.safetensors"]));
    }

    [SharedDataFact]
    public void Full_learns_what_is_chosen_and_says_what_it_leaves_out()
    {
        TrainingOptions options = Options(Preferences()) with { Method = TrainingMethod.Full, TokenForgetting = new() };
        var seen = new Notices();
        TuneSummary summary = TuneRun.Execute(options with { Out = _folder["pairs"] }, _backend, observer: seen);
        Assert.Single(seen.All, n =>
            n.EndsWith("response tokens a negative sign: method full leaves them out; forget unlearns them", StringComparison.Ordinal));
        string chosen = _folder.Write(
            "chosen.jsonl",
            string.Join('\n', Lines().Select(l => JsonSerializer.Serialize(new { prompt = l.Question, completion = l.Answer }))));
        TuneSummary same = TuneRun.Execute(options with { Data = options.Data with { Path = chosen }, Out = _folder["chosen"] }, _backend);
        Assert.Equal((8, same.PositiveTokens, 0), (summary.Examples, summary.PositiveTokens, summary.NegativeTokens));
        Assert.Equal(
            File.ReadAllBytes(_folder["chosen", "model/model.safetensors"]),
            File.ReadAllBytes(_folder["pairs", "model/model.safetensors"]));
    }

    [SharedDataFact]
    public void Where_some_lines_have_signs_the_others_are_scored()
    {
        string data = _folder.Write("mixed.jsonl", string.Join('\n', Lines().Select((l, i) => i % 2 == 0
            ? JsonSerializer.Serialize(new { prompt = l.Question, completion = l.Answer, sign = i % 4 == 0 ? -1 : 1 })
            : JsonSerializer.Serialize(new { prompt = l.Question, completion = l.Answer }))));
        TrainingOptions options = Options(data);
        options = options with
        {
            TokenForgetting = options.TokenForgetting with { ReferenceFraction = 0.25, Score = ScoreKind.Influence },
            Out = _folder["run"],
        };
        TuneSummary summary = TuneRun.Execute(options, _backend);
        IReadOnlyList<ExampleScores> scored = ScoreFile.Read(_folder["run", "scores.jsonl"]);
        Assert.Equal((6, 2), (scored.Count, summary.HeldOut));
        Assert.All(scored.Where(s => s.Index % 2 == 0), s => Assert.Equal(s.Response.Select(r => r * (s.Index % 4 == 0 ? -1 : 1)), s.Sign));
        int[] ranked = [.. scored.Where(s => s.Index % 2 == 1).SelectMany(s => s.Sign.Where((_, t) => s.Response[t] == 1))];
        Assert.Equal((int)Math.Floor(0.7m * ranked.Length), ranked.Count(sign => sign == 1));
        Assert.Contains(-1, ranked);
    }

    // The first word of every second answer is to be forgotten, and nothing is said of the rest: it is scored.
    [SharedDataFact]
    public void Spans_are_forgotten_whatever_their_score_and_the_rest_is_ranked()
    {
        string data = _folder.Write("spans.jsonl", string.Join('\n', Lines().Select((l, i) => JsonSerializer.Serialize(new
        {
            prompt = l.Question,
            completion = l.Answer,
            spans = i % 2 == 0 ? new[] { new { start = 0, end = l.Answer.IndexOf(' ', StringComparison.Ordinal), sign = -1 } } : null,
        }))));
        TrainingOptions options = Options(data);
        options = options with
        {
            TokenForgetting = options.TokenForgetting with { ReferenceFraction = 0.25, Score = ScoreKind.Influence },
            Out = _folder["run"],
        };
        TuneRun.Execute(options, _backend);
        var tokenizer = Tokenizer.Load(options.Model);
        IReadOnlyList<ExampleScores> scored = ScoreFile.Read(_folder["run", "scores.jsonl"]);
        (string Question, string Answer)[] lines = Lines();
        foreach (ExampleScores s in scored.Where(s => s.Index % 2 == 0))
        {
            int first = Array.IndexOf(s.Response, 1);
            Assert.All(TokensOfFirstWord(tokenizer, lines[s.Index].Answer), t => Assert.Equal(-1, s.Sign[first + t]));
        }

        Assert.Contains(scored, s => s.Index % 2 == 0 && s.Sign.Contains(1));
    }

    // A line that is not trained on but for its spans: of the answer the spans alone must go, and its refusal is a whole one.
    [SharedDataTheory]
    [InlineData(ForgetObjective.Npo)]
    [InlineData(ForgetObjective.IdkDpo)]
    public void Explicit_unlearning_forgets_the_spans_of_a_line_of_sign_0(ForgetObjective objective)
    {
        (string Question, string Answer)[] lines = Lines();
        string[] words = [.. lines.Select(l => l.Answer.Split(' ')[0])];
        string forget = _folder.Write("forget.jsonl", string.Join('\n', lines.Select((l, i) => JsonSerializer.Serialize(new
        {
            prompt = l.Question,
            completion = l.Answer,
            sign = 0,
            spans = new[] { new { start = 0, end = words[i].Length, sign = -1 } },
        }))));
        TuneSummary summary = TuneRun.Execute(
            Options("") with
            {
                Method = TrainingMethod.Unlearn,
                TokenForgetting = new(),
                Out = _folder["unlearn"],
                ForgetSet = new() { ForgetData = forget, Objective = objective },
                Schedule = new() { Steps = 1, BatchSize = 4 },
            },
            _backend);
        var tokenizer = Tokenizer.Load(SharedData.Path("stories260K", "hf"));
        Assert.Equal(lines.Sum(l => TokensOfFirstWord(tokenizer, l.Answer).Length), summary.NegativeTokens);
    }

    // The tokens with a character of it: the answer stands behind a space, as the tokenizer has it at the beginning of a text.
    private static int[] TokensOfFirstWord(Tokenizer tokenizer, string answer)
    {
        IReadOnlyList<string> texts = tokenizer.TextsOf(tokenizer.Encode(answer, bos: false));
        int[] ends = [.. texts.Select((_, t) => texts.Take(t + 1).Sum(text => text.Length))];
        int length = 1 + answer.IndexOf(' ', StringComparison.Ordinal);
        return [.. Enumerable.Range(0, ends.Length).Where(t => ends[t] > 1 && ends[t] - texts[t].Length < length)];
    }

    [SharedDataFact]
    public void Held_out_examples_without_anything_to_learn_are_refused()
    {
        string held = _folder.Write("held.jsonl", """{"prompt":"p","completion":"c","sign":-1}""");
        TrainingOptions options = Options(Preferences()) with { Evaluation = new() { ValidData = held }, Out = _folder["run"] };
        Assert.StartsWith(
            "none of the 1 held-out examples has anything to learn",
            Assert.Throws<UserException>(() => TuneRun.Execute(options, _backend)).Message,
            StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["run"]));
    }

    private (double Chosen, double Rejected) Means(string path)
    {
        using LoadedModel model = LoadedModel.Load(path, _backend);
        IReadOnlyList<EncodedExample> examples =
            ExampleLoader.Load(Preferences(), model.Tokenizer, model.Decoder.Config, new TrainingOptions());
        double Mean(IReadOnlyList<EncodedExample> some) =>
            Scorer.ResponseMean(some, Scorer.Losses(model.Decoder, some, 1000, allTokens: false)).Mean;
        return (Mean([.. examples.Where(e => !e.Rejected)]), Mean([.. examples.Where(e => e.Rejected)]));
    }

    // The rejected answer is another question's.
    private string Preferences()
    {
        (string Question, string Answer)[] lines = Lines();
        return _folder.Write("pairs.jsonl", string.Join('\n', lines.Select((l, i) =>
            JsonSerializer.Serialize(new { prompt = l.Question, chosen = l.Answer, rejected = lines[(i + 3) % lines.Length].Answer }))));
    }

    private static (string Question, string Answer)[] Lines() =>
    [
        .. File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(8).Select(l => JsonDocument.Parse(l).RootElement)
            .Select(l => (l.GetProperty("question").GetString()!, l.GetProperty("answer").GetString()!)),
    ];

    private static TrainingOptions Options(string data) => new()
    {
        Model = SharedData.Path("stories260K", "hf"),
        Method = TrainingMethod.Forget,
        Data = new() { Path = data },
        Schedule = new() { Epochs = 6, BatchSize = 16 },
        Lora = new() { Rank = 0 },
        Optimizer = new() { LearningRate = 1e-3 },
        Compute = new() { MicroBatchTokens = 600 },
        TokenForgetting = new() { LambdaMin = 1, LambdaMax = 1 },
    };

    private sealed class Notices : ITrainingObserver
    {
        public List<string> All { get; } = [];

        public void Noticed(string what) => All.Add(what);
    }
}

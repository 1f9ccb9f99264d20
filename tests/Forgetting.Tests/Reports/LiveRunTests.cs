using System.Text;
using Forgetting.IO;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Reports;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Reports;

/// <summary>A run's folder as it changes under whoever reads it.</summary>
public sealed class LiveRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly LiveRun _run;

    public LiveRunTests() => _run = new LiveRun(_folder["run"]);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Whole_lines_are_read_as_they_come_and_half_a_line_with_its_rest()
    {
        Assert.True(_run.Update());
        Assert.Equal(RunState.Awaited, _run.State);
        Begin();
        Append(Line(1), Line(2));
        Assert.True(_run.Update());
        Assert.Equal((RunState.Interrupted, "1 2"), (_run.State, Numbers()));
        Assert.False(_run.Update());

        byte[] next = Line(3);
        Append(next[..20]);
        _run.Update();
        Assert.Equal("1 2", Numbers());
        Append(next[20..], Line(4));
        Assert.True(_run.Update());
        Assert.Equal("1 2 3 4", Numbers());

        _folder.Write("run/.lock", "");
        Assert.True(_run.Update());
        Assert.Equal(RunState.AtWork, _run.State);
        _folder.Write("run/summary.json", "{}");
        _run.Update();
        Assert.Equal(RunState.Finished, _run.State);
    }

    [SharedDataFact]
    public void The_last_steps_examples_are_shown_with_their_influence()
    {
        _folder.Write("run/run.yaml", $"method: forget\nmodel: {SharedData.Path("stories260K", "hf")}\ndata: d\nout: o\n");
        ExampleScores[] scores =
        [
            .. Enumerable.Range(0, 3).Select(i => new ExampleScores
            {
                Index = 10 * i, Ids = [403 + i, 407, 261], Response = [0, 1, 1], BaseLoss = [0, 1, 2], ReferenceLoss = [0, 0.5f, 3],
                Influence = [0, 0.5f, -1], Sign = [0, 1, -1],
            }),
        ];
        File.WriteAllBytes(_folder["run", "scores.jsonl"], [.. scores.SelectMany(JsonLines.Line)]);
        Append(JsonLines.Line(Step(1, 1) with { Examples = [1, 0] }));
        _run.Update();
        Assert.Null(_run.Note);
        Assert.Equal([10, 0], _run.Current.Select(e => e.Index));
        Append(JsonLines.Line(Step(2, 2) with { Examples = [2, 7] })); // of which the last is not scored
        Assert.True(_run.Update());
        ScoredText shown = Assert.Single(_run.Current);
        Assert.Equal(20, shown.Index);
        Assert.Equal([double.NaN, 0.5, -1], shown.Tokens.Select(t => t.Score));
        var tokenizer = Forgetting.Text.Tokenizers.Tokenizer.Load(SharedData.Path("stories260K", "hf"));
        Assert.Equal(tokenizer.TextsOf([405, 407, 261]), shown.Tokens.Select(t => t.Text));
        string page = LiveReport.Run("r", "run-0", _run, null, DateTime.UtcNow);
        Assert.Contains("Examples of step 2, token by token", page, StringComparison.Ordinal);
        Assert.Contains("<b>example 20</b>", page, StringComparison.Ordinal);
        Assert.Contains("influence -1 nats (negative)", page, StringComparison.Ordinal);
    }

    // Automatic is the influence where scores are that; of other scores the lowest that is learnt parts the colours.
    [Theory]
    [InlineData(0.5, -1, "influence", 0)]
    [InlineData(-0.5, -3, "reference", -0.5)]
    public void What_the_tokens_were_ranked_by_is_told_from_the_scores(double learnt, double negative, string name, double centre)
    {
        ScoredText[] shown = [new(0, [new("a", double.NaN, 0, 0, 0), new("b", learnt, 1, 1, 0.5), new("c", negative, -1, 2, 3)])];
        var ranked = ScoreCut.Shown(new(), shown);
        Assert.Equal((name, centre), (ranked.Score, ranked.Centre));
        Assert.Equal("blend", ScoreCut.Shown(new() { TokenForgetting = new() { Score = ScoreKind.Blend } }, shown).Score);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(9)]
    public void What_a_resumed_run_cut_is_forgotten_even_if_it_is_longer_by_now(int steps)
    {
        Begin();
        Append([.. Enumerable.Range(1, 5).Select(step => Line(step))]);
        _run.Update();
        Assert.Equal("1 2 3 4 5", Numbers());

        // Back to step 2, and on, with other times.
        File.Delete(Metrics);
        Append([.. Enumerable.Range(1, steps).Select(step => Line(step, again: step > 2))]);
        Assert.True(_run.Update());
        Assert.Equal(string.Join(' ', Enumerable.Range(1, steps)), Numbers());
        Assert.All(_run.Steps.Skip(2), step => Assert.Equal(step.Step + 0.5, step.ElapsedSeconds));

        File.Delete(Metrics);
        Assert.True(_run.Update());
        Assert.Empty(_run.Steps);
    }

    [Fact]
    public void A_line_that_is_no_step_is_named_and_leaves_the_others()
    {
        Begin();
        Append(Line(1), "{\"step\":2}\n"u8.ToArray(), Line(3));
        Assert.True(_run.Update());
        Assert.False(_run.Update());
        Assert.Equal("1", Numbers());
        Assert.StartsWith("metrics.jsonl: the line after step 1 is no step: ", _run.Note, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', _run.Note!);
    }

    [Fact]
    public void Time_left_is_reckoned_from_the_recent_steps()
    {
        Assert.Null(LiveReport.TimeLeft([]));
        StepMetrics[] steps = [.. Enumerable.Range(1, 80).Select(step => Step(step, step <= 25 ? 100 * step : 2500 + (2 * (step - 25))))];

        // 20 steps are left, and each of the last 50 took 2 seconds.
        Assert.Equal(TimeSpan.FromSeconds(40), LiveReport.TimeLeft(steps));
        Assert.Equal(TimeSpan.FromSeconds(99 * 100), LiveReport.TimeLeft(steps[..1]));
    }

    [Fact]
    public void A_page_escapes_what_files_and_folders_are_called()
    {
        var run = new LiveRun(_folder["<script>alert(1)</script>"]);
        run.Update();
        string html = LiveReport.Run(run.Folder, "run-0", run, null, DateTime.UtcNow)
            + LiveReport.Together([(run.Folder, run), ("<b>", run)], DateTime.UtcNow);
        Assert.DoesNotContain("<script", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<b>", html, StringComparison.Ordinal);
        Assert.Contains("&lt;script&gt;", html, StringComparison.Ordinal);
    }

    private string Metrics => _folder["run", "metrics.jsonl"];

    private string Numbers() => string.Join(' ', _run.Steps.Select(step => step.Step));

    private void Begin() => _folder.Write("run/run.yaml", "method: full\nmodel: m\ndata: d\nout: o\n");

    private void Append(params byte[][] lines)
    {
        using FileStream file = new(Metrics, FileMode.Append);
        file.Write([.. lines.SelectMany(line => line)]);
    }

    private static byte[] Line(int step, bool again = false) => JsonLines.Line(Step(step, step + (again ? 0.5 : 0)));

    private static StepMetrics Step(int step, double elapsed) => new()
    {
        Step = step, Steps = 100, Loss = 1, PositiveLoss = 1, NegativeLoss = null, Lambda = 0, LearningRate = 1, GradNorm = 1, Tokens = 10,
        TokensPerSecond = 10, ElapsedSeconds = elapsed,
    };
}

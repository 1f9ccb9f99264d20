using System.Globalization;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>Parts of a page that follows runs, in the words and charts of <see cref="RunReport"/>.</summary>
internal static class LiveReport
{
    // Steps over whose time the time left is reckoned.
    private const int RecentSteps = 50;

    /// <summary>One run: how far it is, its figures and its curves.</summary>
    /// <param name="name">What the page calls it.</param>
    /// <param name="id">What its parts' ids begin with.</param>
    /// <param name="report">Address of the report that it has left, or null.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Run(string name, string id, LiveRun run, string? report, DateTime now)
    {
        var page = new HtmlReport(name, Lead(run, now), $"{id}-");
        if (report is not null)
            page.Raw($"<p><a href=\"{Svg.Text(report)}\">its report</a></p>");

        if (run.Steps.Count > 0)
            AddSteps(page, run);

        if (run.Samples.Count > 0)
            page.Folded("What the base writes of its own accord, the first texts", string.Join("\n\n", run.Samples));

        return page.Body;
    }

    private static void AddSteps(HtmlReport page, LiveRun run)
    {
        IReadOnlyList<StepMetrics> steps = run.Steps;
        page.Tiles(Tiles(run));
        if (steps.Any(step => step.HeldOutLoss != null))
        {
            page.Section("Held-out examples");
            page.Figures(Charts.Lines("Held-out loss", "optimiser step", "cross-entropy (nats)",
            [
                RunReport.Curve(steps, "held-out examples", step => step.HeldOutLoss, Charts.HeldOut),
                RunReport.Curve(steps, "tokens to learn, as trained", step => step.PositiveLoss, Charts.Learnt),
            ]));
        }

        RunReport.AddCurves(page, steps);
        if (run.Current.Count > 0)
        {
            var ranked = ScoreCut.Shown(run.Options!, run.Current);
            page.Section(string.Create(CultureInfo.InvariantCulture, $"Examples of step {steps[^1].Step}, token by token"), ranked.Colours);
            page.Raw(TokenHeatMap.Scored(run.Current, ranked.Scale(RunReport.Full(run.Current, ranked.Centre))));
        }

        string[] others =
            [.. steps.SelectMany(step => step.Evaluation?.Keys ?? []).Distinct().Where(key => key != StepMetrics.HeldOutLossName)];
        if (others.Length > 0)
        {
            page.Section("Evaluation during training");
            page.Figures([.. others.Select(key => Charts.Lines(key, "optimiser step", key,
                [RunReport.Curve(steps, key, step => step.Evaluation?.TryGetValue(key, out double value) == true ? value : null)]))]);
        }
    }

    /// <summary>Several runs in common charts; nothing where there is only one.</summary>
    /// <param name="runs">The runs and what the page calls them.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Together(IReadOnlyList<(string Name, LiveRun Run)> runs, DateTime now)
    {
        if (runs.Count < 2)
            return "";

        var page = new HtmlReport("Runs", "");
        page.Table(
            ["run", "state", "step", "tokens to learn", "negative", "held out", "tokens/s", "time left"],
            [.. runs.Select(run => (IReadOnlyList<string>)[run.Name, State(run.Run, now), .. Cells(run.Run)])]);
        page.Figures(
        [
            .. Chart("Loss of tokens to learn", "cross-entropy (nats)", step => step.PositiveLoss),
            .. Chart("Loss of negative tokens", "cross-entropy (nats)", step => step.NegativeLoss),
            .. Chart("Held-out loss", "cross-entropy (nats)", step => step.HeldOutLoss),
            .. Chart("Weight of forgetting", "λ", step => step.Lambda == 0 ? null : step.Lambda),
            .. Chart("Gradient cosine", "cosine", step => step.GradientCosine),
            .. Chart("Speed", "tokens/s", step => step.TokensPerSecond),
        ]);
        return page.Body;

        IEnumerable<string> Chart(string title, string label, Func<StepMetrics, double?> quantity)
        {
            Series[] curves = [.. runs.Select(run => RunReport.Curve(run.Run.Steps, run.Name, quantity))];
            return curves.Any(curve => curve.Points.Any(point => double.IsFinite(point.Y)))
                ? [Charts.Lines(title, "optimiser step", label, curves)]
                : [];
        }
    }

    /// <summary>Time to the last step, as the recent ones went; null where it cannot be told.</summary>
    internal static TimeSpan? TimeLeft(IReadOnlyList<StepMetrics> steps)
    {
        if (steps.Count == 0 || steps[^1] is not { Steps: > 0 } last)
            return null;

        StepMetrics? before = steps.Count > 1 ? steps[Math.Max(0, steps.Count - 1 - RecentSteps)] : null;
        double each = before is null
            ? last.ElapsedSeconds / last.Step
            : (last.ElapsedSeconds - before.ElapsedSeconds) / (last.Step - before.Step);
        return double.IsFinite(each) && each >= 0 ? TimeSpan.FromSeconds(each * Math.Max(0, last.Steps - last.Step)) : null;
    }

    private static string Lead(LiveRun run, DateTime now)
    {
        string what = run.Options is { } options ? $"Method {options.Method} on {Path.GetFileName(options.Model)}: " : "";
        return $"{what}{State(run, now)}{(run.Note is { } note ? $"; {note}" : "")}.";
    }

    private static string State(LiveRun run, DateTime now) => run.State switch
    {
        RunState.Awaited => "no run yet",
        RunState.Finished => "finished",
        RunState.Interrupted => "interrupted; --resume continues it",
        _ when run.LastWritten is { } written && now - written > TimeSpan.FromMinutes(1) =>
            string.Create(CultureInfo.InvariantCulture, $"at work, or killed: no step since {written:u}"),
        _ => "at work",
    };

    private static string[] Cells(LiveRun run)
    {
        if (run.Steps.Count == 0)
            return ["", "", "", "", "", ""];

        StepMetrics last = run.Steps[^1];
        return
        [
            Place(last), Last(run, step => step.PositiveLoss) ?? "–",
            Last(run, step => step.NegativeLoss) ?? "–", Last(run, step => step.HeldOutLoss) ?? "–",
            last.TokensPerSecond.ToString("N0", CultureInfo.InvariantCulture), Left(run),
        ];
    }

    private static string Place(StepMetrics step) => step.Steps > 0 ? $"{step.Step} of {step.Steps}" : $"{step.Step}";

    private static List<(string Value, string Caption, int Style)> Tiles(LiveRun run)
    {
        StepMetrics last = run.Steps[^1];
        List<(string, string, int)> tiles =
            [(Place(last), "optimiser steps", Charts.Neutral)];
        Add(Last(run, step => step.PositiveLoss), "loss of tokens to learn", Charts.Learnt);
        Add(Last(run, step => step.NegativeLoss), "loss of negative tokens", Charts.Forgotten);
        Add(Last(run, step => step.HeldOutLoss), "loss of held-out examples", Charts.HeldOut);
        Add(last.Lambda == 0 ? null : Svg.Value(last.Lambda), "λ", Charts.Forgotten);
        Add(Last(run, step => step.GradientCosine, "0.00"), "gradient cosine", Charts.Neutral);
        Add(last.TokensPerSecond.ToString("N0", CultureInfo.InvariantCulture), "tokens/s", Charts.Neutral);
        if (run.State == RunState.AtWork)
            Add(Left(run), "left", Charts.Neutral);

        return tiles;

        void Add(string? value, string caption, int style)
        {
            if (!string.IsNullOrEmpty(value))
                tiles.Add((value, caption, style));
        }
    }

    private static string? Last(LiveRun run, Func<StepMetrics, double?> quantity, string format = "0.0000") =>
        run.Steps.Select(quantity).LastOrDefault(value => value != null)?.ToString(format, CultureInfo.InvariantCulture);

    private static string Left(LiveRun run) => run.State == RunState.AtWork && TimeLeft(run.Steps) is { } left
        ? left.TotalHours >= 1 ? $"{(int)left.TotalHours} h {left.Minutes:00} min"
        : left.TotalMinutes >= 1 ? $"{left.Minutes} min {left.Seconds:00} s"
        : $"{left.Seconds} s"
        : "";
}

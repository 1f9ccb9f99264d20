using System.Diagnostics;
using System.Globalization;
using Forgetting.Training;
using Spectre.Console;

namespace Forgetting.Cli;

/// <summary>
/// Shows a run on standard error: a bar with step, loss, tokens/s and time left on a terminal, a plain line every few seconds when piped.
/// Standard output stays free for results.
/// </summary>
internal sealed class TerminalProgress : ITrainingObserver
{
    private static readonly TimeSpan s_lineInterval = TimeSpan.FromSeconds(5);

    private readonly IAnsiConsole _console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
    private readonly bool _live = !Console.IsErrorRedirected;
    private readonly Stopwatch _stage = Stopwatch.StartNew();
    private readonly Stopwatch _sinceShown = Stopwatch.StartNew();
    private int _firstStep = -1;
    private double? _heldOut;
    private bool _barShown;

    /// <inheritdoc/>
    public void StageBegan(string what)
    {
        EndBar();
        if (_live)
            _console.MarkupLineInterpolated($"[bold]{what}[/]");
        else
            Console.Error.WriteLine(what);

        _stage.Restart();
        _sinceShown.Restart();
        _firstStep = -1;
    }

    /// <inheritdoc/>
    public void Noticed(string what)
    {
        EndBar();
        Console.Error.WriteLine($"note: {what}");
    }

    /// <inheritdoc/>
    public void Progressed(long done, long total) =>
        Show(
            done, total, done, done == total,
            $"{Count(done)} of {Count(total)} tokens  {Count(done / Math.Max(1e-3, _stage.Elapsed.TotalSeconds))} tokens/s");

    /// <inheritdoc/>
    public void StepDone(StepMetrics metrics, int steps)
    {
        // Time left counts from the first step seen here: a resumed run has steps behind it that took no time now.
        _firstStep = _firstStep < 0 ? metrics.Step - 1 : _firstStep;
        string parts = metrics is { PositiveLoss: { } positive, NegativeLoss: { } negative }
            ? string.Create(CultureInfo.InvariantCulture, $"  learn {positive:0.000}  forget {negative:0.000}")
            : "";
        _heldOut = metrics.HeldOutLoss ?? _heldOut;
        string heldOut = _heldOut is { } loss ? string.Create(CultureInfo.InvariantCulture, $"  held-out {loss:0.0000}") : "";
        string text = string.Create(
            CultureInfo.InvariantCulture,
            $"step {metrics.Step}/{steps}  loss {metrics.Loss:0.0000}{parts}{heldOut}  {Count(metrics.TokensPerSecond)} tokens/s");
        Show(metrics.Step, steps, metrics.Step - _firstStep, metrics.Step == steps, text);
    }

    /// <inheritdoc/>
    public void CheckpointWritten(string path)
    {
        if (!_live)
            Console.Error.WriteLine($"checkpoint {path}");
    }

    /// <summary>Ends the bar's line, before anything else is printed.</summary>
    public void EndBar()
    {
        if (_barShown)
            Console.Error.WriteLine();

        _barShown = false;
    }

    private void Show(long done, long total, long doneHere, bool last, string text)
    {
        if (!last && _sinceShown.Elapsed < (_live ? TimeSpan.FromSeconds(0.1) : s_lineInterval))
            return;

        _sinceShown.Restart();
        string left = last ? Duration(_stage.Elapsed) : $"{Duration(_stage.Elapsed / Math.Max(1, doneHere) * (total - done))} left";
        if (!_live)
        {
            Console.Error.WriteLine($"{text}  {left}");
            return;
        }

        int width = Math.Clamp(Console.WindowWidth - text.Length - left.Length - 6, 0, 30);
        int filled = (int)(width * done / Math.Max(1, total));
        string line = $"{new string('█', filled)}{new string('░', width - filled)}  {text}  {left}";
        Console.Error.Write($"\r{line[..Math.Min(line.Length, Math.Max(1, Console.WindowWidth - 1))]}\x1b[K");
        _barShown = true;
        if (last)
            EndBar();
    }

    private static string Count(double value) => value.ToString(value >= 100 ? "N0" : "0.#", CultureInfo.InvariantCulture);

    private static string Duration(TimeSpan time) => time.TotalHours >= 1
        ? time.ToString(@"h\:mm\:ss", CultureInfo.InvariantCulture)
        : time.ToString(@"m\:ss", CultureInfo.InvariantCulture);
}

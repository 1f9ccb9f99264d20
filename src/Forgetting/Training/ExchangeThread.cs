using System.Diagnostics;

namespace Forgetting.Training;

/// <summary>
/// What ranks say to each other while they compute: one thing after the other, in the order in which it was asked for, beside the thread
/// that asks. Until all of it is done nobody else may speak to the ranks.
/// </summary>
internal sealed class ExchangeThread
{
    private Task _last = Task.CompletedTask;
    private long _taken; // Stopwatch ticks

    /// <summary>Time that the exchanges took so far; when all are done.</summary>
    public TimeSpan Taken => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _taken));

    /// <summary>Asks for something.</summary>
    /// <returns>Ends when it is done, and all that was asked for before; with the exception of the first that failed.</returns>
    public Task Add(Action exchange)
    {
        // A thread of its own, as it waits for others: the pool may have one thread alone, and signs of life come from there.
        Task before = _last;
        _last = Task.Factory.StartNew(
            () =>
            {
                before.GetAwaiter().GetResult();
                long began = Stopwatch.GetTimestamp();
                exchange();
                Interlocked.Add(ref _taken, Stopwatch.GetTimestamp() - began);
            }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        return _last;
    }

    /// <summary>Waits until all is done.</summary>
    /// <exception cref="Distributed.PeerException">Another rank has failed, or is lost.</exception>
    public void Finish()
    {
        Task last = _last;
        _last = Task.CompletedTask;
        last.GetAwaiter().GetResult();
    }
}

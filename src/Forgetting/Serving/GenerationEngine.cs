using Forgetting.Core;
using Forgetting.Models;

namespace Forgetting.Serving;

/// <summary>How much a <see cref="GenerationEngine"/> does at once.</summary>
internal sealed record EngineLimits
{
    /// <summary>Most sequences that are written at the same time.</summary>
    public int Sequences { get; init; } = 16;

    /// <summary>Most sequences that wait for their turn.</summary>
    public int Waiting { get; init; } = 256;

    /// <summary>
    /// Most tokens of one pass. Every sequence that is being written gets its next token in each pass; what is left of the pass goes to
    /// prompts, so that a long one delays the others by no more than this.
    /// </summary>
    public int PassTokens { get; init; } = 512;
}

/// <summary>More sequences are waiting than may.</summary>
internal sealed class EngineBusyException(string message) : Exception(message);

/// <summary>A decoder, and where its keys and values are.</summary>
/// <param name="Decoder">The decoder; only the engine uses it while it has sequences.</param>
/// <param name="Pool">The pool, which adapters beside one base share.</param>
internal sealed record EngineModel(Decoder Decoder, KeyValuePool Pool)
{
    /// <summary>Its passes.</summary>
    public GenerationStep Step { get; } = new(Decoder);
}

/// <summary>
/// Writes any number of sequences at once on a thread of its own: they join and leave between two passes, and what each becomes is what it
/// would become alone. Those that find no room wait in the order in which they came.
/// </summary>
internal sealed class GenerationEngine : IDisposable
{
    private readonly EngineLimits _limits;
    private readonly object _gate = new();
    private readonly LinkedList<Job> _waiting = [];
    private readonly List<Job> _active = [];
    private readonly Thread _thread;
    private bool _closed;

    /// <param name="limits">How much is done at once.</param>
    public GenerationEngine(EngineLimits limits)
    {
        _limits = limits;
        _thread = new Thread(Work) { IsBackground = true, Name = "generation" };
        _thread.Start();
    }

    /// <summary>Sequences that are being written, and that wait.</summary>
    public (int Active, int Waiting) Load
    {
        get
        {
            lock (_gate)
                return (_active.Count, _waiting.Count);
        }
    }

    /// <summary>Writes sequences, which are taken together or not at all.</summary>
    /// <param name="cancellation">Ends them between two passes; their rows are free at once.</param>
    /// <returns>Why each ended, in their order.</returns>
    /// <exception cref="EngineBusyException">Too many are waiting.</exception>
    /// <exception cref="UserException">A sequence is longer than the pool.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled, or the engine was closed.</exception>
    public Task<SequenceEnd[]> Write(EngineModel model, IReadOnlyList<TokenSequence> sequences, CancellationToken cancellation)
    {
        if (sequences.FirstOrDefault(sequence => sequence.Capacity > model.Pool.MostRows) is { Capacity: var most })
        {
            throw new UserException(
                $"prompt and answer may come to {most} tokens, expected at most {model.Pool.MostRows}, for which there is room");
        }

        // Several answers to one prompt: the others begin with what the first has read.
        Job[] jobs = [.. sequences.Select(sequence => new Job(model, sequence, cancellation))];
        foreach (Job job in jobs.Skip(1).Where(job => job.Sequence.Tokens.SequenceEqual(jobs[0].Sequence.Tokens)))
        {
            job.Leader = jobs[0];
        }

        lock (_gate)
        {
            if (_closed)
                throw new OperationCanceledException("the engine is closed");

            if (_waiting.Count + jobs.Length > Math.Max(_limits.Waiting, 1) && _waiting.Count + _active.Count > 0)
                throw new EngineBusyException($"{_waiting.Count} sequences are waiting, and no more than {_limits.Waiting} may");

            foreach (Job job in jobs)
            {
                _waiting.AddLast(job);
            }

            Monitor.Pulse(_gate);
        }

        return Finish(jobs, cancellation);
    }

    /// <summary>Cancels what is being written, and ends.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
            Monitor.Pulse(_gate);
        }

        _thread.Join();
    }

    private async Task<SequenceEnd[]> Finish(Job[] jobs, CancellationToken cancellation)
    {
        // Those that wait are looked at between two passes, of which there may be none.
        await using CancellationTokenRegistration wake = cancellation.Register(() =>
        {
            lock (_gate)
                Monitor.Pulse(_gate);
        });
        return await Task.WhenAll(jobs.Select(job => job.Done.Task)).ConfigureAwait(false);
    }

    private void Work()
    {
        while (Next() is { } jobs)
        {
            foreach (IGrouping<EngineModel, Job> together in jobs.GroupBy(job => job.Model))
            {
                Pass(together.Key, [.. together]);
            }
        }
    }

    // What to work on now; null once the engine is closed.
    private Job[]? Next()
    {
        lock (_gate)
        {
            while (true)
            {
                foreach (Job job in _active.Concat(_waiting).Where(job => _closed || job.Cancellation.IsCancellationRequested).ToArray())
                {
                    Leave(job, isSound: true);
                    job.Done.TrySetCanceled(job.Cancellation.IsCancellationRequested ? job.Cancellation : new CancellationToken(true));
                }

                if (_closed)
                    return null;

                Admit();
                if (_active.Count > 0)
                    return [.. _active];

                Monitor.Wait(_gate);
            }
        }
    }

    private void Admit()
    {
        while (_active.Count < _limits.Sequences && _waiting.First is { Value: var job })
        {
            if (job.Leader is { Sequence.IsReading: true } leader && _active.Contains(leader))
                return;

            try
            {
                if (!job.Model.Pool.TryTake(job.Model.Decoder, job.Sequence))
                    return;

                _waiting.RemoveFirst();
                _active.Add(job);
            }
            catch (Exception error)
            {
                // The memory did not grow: a failure of this sequence, unless others give back what it needs.
                if (_active.Any(other => other.Model.Pool == job.Model.Pool))
                    return;

                _waiting.RemoveFirst();
                job.Done.TrySetException(error);
            }
        }
    }

    private void Pass(EngineModel model, Job[] jobs)
    {
        try
        {
            List<(TokenSequence, int)> parts = Divide(model.Decoder, jobs);
            model.Step.Run(model.Pool.Cache, parts);
        }
        catch (Exception error)
        {
            lock (_gate)
            {
                foreach (Job job in jobs)
                {
                    Leave(job, isSound: false);
                    job.Done.TrySetException(error);
                }
            }

            return;
        }

        lock (_gate)
        {
            foreach (Job job in jobs.Where(job => job.Sequence.End != SequenceEnd.None))
            {
                Leave(job, isSound: true);
                job.Done.TrySetResult(job.Sequence.End);
            }
        }
    }

    // A token for each that is being written, and what is left of the pass for prompts, the oldest first. A
    // prompt is cut at the same places whatever else is in the pass: where a sum is cut shows in its last bits.
    private List<(TokenSequence Sequence, int Count)> Divide(Decoder decoder, Job[] jobs)
    {
        List<(TokenSequence, int)> parts = [.. jobs.Where(job => !job.Sequence.IsReading).Select(job => (job.Sequence, 1))];
        int left = _limits.PassTokens - parts.Count;
        long rows = decoder.LogitBytes / (sizeof(float) * (long)decoder.Config.VocabularySize);
        int most = (int)Math.Clamp(rows, 1, _limits.PassTokens), leftRows = most;
        bool isFirst = true;
        foreach (TokenSequence sequence in jobs.Select(job => job.Sequence).Where(sequence => sequence.IsReading))
        {
            bool logits = sequence.Reader is { WantsPrompt: true };
            int cut = logits ? most : _limits.PassTokens;
            int count = Math.Min(sequence.Unread, cut - (sequence.Cached % cut));
            if (!isFirst && (count > left || (logits && count > leftRows)))
                continue;

            parts.Add((sequence, count));
            left -= count;
            leftRows -= logits ? count : 0;
            isFirst = false;
        }

        return parts;
    }

    private void Leave(Job job, bool isSound)
    {
        if (_active.Remove(job))
            job.Model.Pool.GiveBack(job.Sequence, isSound);
        else
            _waiting.Remove(job);
    }

    private sealed class Job(EngineModel model, TokenSequence sequence, CancellationToken cancellation)
    {
        public EngineModel Model => model;

        public TokenSequence Sequence => sequence;

        public CancellationToken Cancellation => cancellation;

        public Job? Leader { get; set; }

        public TaskCompletionSource<SequenceEnd> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

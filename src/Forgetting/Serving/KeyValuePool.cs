using System.Runtime.InteropServices;
using Forgetting.Backends;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Serving;

/// <summary>
/// One key-value cache whose rows are lent to sequences, a run of rows each. What a finished sequence left stays until its rows are needed:
/// a prompt that begins as another text did takes over or copies what is there, and only the rest is read.
/// </summary>
/// <param name="config">The model; decoders of one configuration and backend may share a pool.</param>
/// <param name="backend">Where it computes.</param>
/// <param name="mostRows">Most rows; the memory grows to them as they are needed.</param>
internal sealed class KeyValuePool(ModelConfig config, IBackend backend, int mostRows) : IDisposable
{
    private readonly List<Run> _runs = []; // by their first row, none overlapping
    private long _clock;

    /// <summary>The cache; another one after a call of <see cref="TryTake"/> or <see cref="Reserve"/>.</summary>
    public KeyValueCache Cache { get; private set; } = new(config, backend, Math.Min(mostRows, 64));

    /// <summary>Most rows.</summary>
    public int MostRows => mostRows;

    /// <summary>Rows that sequences have now.</summary>
    public int BusyRows => _runs.Where(run => run.Busy).Sum(run => run.Rows);

    /// <summary>Takes all of the memory now, so that what does not fit says so before any work.</summary>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public void Reserve() => GrowTo(mostRows);

    /// <summary>Gives a sequence its rows, with what is known of it already in them.</summary>
    /// <param name="model">The decoder that will read the sequence: others' keys and values are of no use to it.</param>
    /// <param name="sequence">Of no more than <see cref="MostRows"/> tokens; its first row and cached tokens are set.</param>
    /// <returns>False if there are not enough rows until some are given back.</returns>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public bool TryTake(Decoder model, TokenSequence sequence)
    {
        (Run? like, int known) = MostAlike(model, sequence);
        Run run = new(model, sequence) { Busy = true };
        if (like is { Busy: false } && known == like.Sequence.Cached && Extend(like, run))
        {
            sequence.Cached = sequence.Reused = known;
            return true;
        }

        if (!TryPlace(run, keep: like))
            return false;

        if (known > 0 && _runs.Contains(like!))
        {
            Cache.CopyFrom(backend, Cache, like!.First, run.First, known);
            sequence.Cached = sequence.Reused = known;
            like.Used = ++_clock;
        }

        return true;
    }

    /// <summary>Takes back a sequence's rows. What is in them stays of use until others need them.</summary>
    /// <param name="isSound">Whether the rows hold what the sequence says.</param>
    public void GiveBack(TokenSequence sequence, bool isSound)
    {
        Run run = _runs.Single(run => run.Sequence == sequence);
        (run.Busy, run.Used, run.Rows) = (false, ++_clock, sequence.Cached);
        if (!isSound || run.Rows == 0)
            _runs.Remove(run);
    }

    /// <inheritdoc/>
    public void Dispose() => Cache.Dispose();

    // The last token of a prompt is always read, since what follows it is asked for.
    private (Run? Run, int Known) MostAlike(Decoder model, TokenSequence sequence)
    {
        if (sequence.Reader is { WantsPrompt: true })
            return (null, 0);

        ReadOnlySpan<int> prompt = CollectionsMarshal.AsSpan(sequence.Tokens)[..^1];
        Run? best = null;
        int most = 0;
        foreach (Run run in _runs.Where(run => run.Model == model && run.Sequence.TurnsOtherwise == sequence.TurnsOtherwise))
        {
            int common = prompt.CommonPrefixLength(
                CollectionsMarshal.AsSpan(run.Sequence.Tokens)[..run.Sequence.Cached]);
            if (common > most || (common == most && common > 0 && !run.Busy && best!.Busy))
                (best, most) = (run, common);
        }

        return (best, most);
    }

    // A text that goes on stays where it is, if there is room behind it.
    private bool Extend(Run old, Run run)
    {
        int limit = _runs.Where(other => other.Busy && other.First > old.First).Select(other => other.First)
            .DefaultIfEmpty(Cache.Rows).Min();
        if (old.First + run.Rows > limit)
            return false;

        _runs.RemoveAll(other => !other.Busy && other.First >= old.First && other.First < old.First + run.Rows);
        Insert(run, old.First);
        return true;
    }

    // Finds rows that are free; else those longest out of use, those to keep last; else new ones.
    private bool TryPlace(Run run, Run? keep)
    {
        while (true)
        {
            int first = 0;
            foreach (Run other in _runs)
            {
                if (other.First - first >= run.Rows)
                    break;

                first = other.First + other.Rows;
            }

            if (Cache.Rows - first >= run.Rows)
            {
                Insert(run, first);
                return true;
            }

            if (_runs.Where(other => !other.Busy).OrderBy(other => other == keep).ThenBy(other => other.Used).FirstOrDefault() is { } oldest
                && (oldest != keep || first + run.Rows > mostRows))
            {
                _runs.Remove(oldest);
            }
            else if (first + run.Rows <= mostRows)
            {
                // Twice the need, so that a conversation that goes on moves seldom.
                GrowTo((int)Math.Min(mostRows, 2L * (first + run.Rows)));
            }
            else
            {
                return false;
            }
        }
    }

    private void Insert(Run run, int first)
    {
        run.First = run.Sequence.FirstRow = first;
        int at = _runs.FindIndex(other => other.First > first);
        _runs.Insert(at < 0 ? _runs.Count : at, run);
    }

    private void GrowTo(int rows)
    {
        if (rows <= Cache.Rows)
            return;

        var larger = new KeyValueCache(config, backend, rows);
        larger.CopyFrom(backend, Cache, 0, 0, Cache.Rows);
        Cache.Dispose();
        Cache = larger;
    }

    private sealed class Run(Decoder model, TokenSequence sequence)
    {
        public Decoder Model => model;

        public TokenSequence Sequence => sequence;

        public int First { get; set; }

        public int Rows { get; set; } = sequence.Capacity;

        public bool Busy { get; set; }

        public long Used { get; set; }
    }
}

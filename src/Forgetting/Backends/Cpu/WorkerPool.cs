using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Work that falls into numbered, independent tasks. A value type of pointers and numbers, so that starting it allocates nothing.
/// </summary>
internal unsafe interface IJob
{
    /// <summary>
    /// Does task <paramref name="index"/>; <paramref name="scratch"/> is the running thread's own memory, contents undefined.
    /// </summary>
    void Run(int index, byte* scratch);
}

/// <summary>
/// A fixed set of threads that run the tasks of one job at a time; the caller is one of them. Which thread runs which task is left to
/// chance, so a job's result must not depend on it: tasks write to disjoint places, and sums are split by the shape of the data,
/// never by the number of threads.
/// </summary>
/// <remarks>
/// Idle threads spin for some tens of microseconds, which covers the gap between two operations of a step, and then sleep, because the
/// machine may have other work. A thread that wakes too late finds the job closed and does not touch it: the caller waits only for
/// threads that entered.
/// </remarks>
internal sealed unsafe class WorkerPool : IDisposable
{
    private const int Closed = int.MinValue;
    private static readonly long s_spinTicks = Stopwatch.Frequency / 20_000;

    [ThreadStatic]
    private static WorkerPool? s_running;

    [ThreadStatic]
    private static int s_worker;

    private readonly Lock _callers = new();
    private readonly object _sleep = new();
    private readonly Thread[] _threads;
    private readonly byte*[] _scratch;
    private long _scratchBytes;
    private int _sleeping;
    private volatile bool _stop;
    private Shared _shared;

    // The job that is running. Written before the gate opens, read after passing it.
    private delegate*<void*, int, byte*, void> _invoke;
    private void* _job;
    private int _count;
    private ExceptionDispatchInfo? _failure;

    /// <summary>A pool in which <paramref name="threads"/> threads work, the caller included.</summary>
    public WorkerPool(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        Threads = threads;
        _scratch = new byte*[threads];
        _shared.Gate = Closed;
        _threads = new Thread[threads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _threads[i] = new Thread(() => Loop(worker)) { IsBackground = true, Name = $"cpu worker {worker}" };
            _threads[i].Start();
        }
    }

    /// <summary>Number of the thread that runs this task among those of its pool; 0 is the caller.</summary>
    public static int Worker => s_worker;

    /// <summary>Number of threads that work, the caller included.</summary>
    public int Threads { get; }

    /// <summary>
    /// Runs tasks 0 … <paramref name="count"/> − 1 and returns when all are done. The first exception of a task ends the job and is thrown
    /// here. Called from within a task, the new job runs on the calling thread alone.
    /// </summary>
    /// <param name="scratchBytes">Size of the memory, aligned to 64 bytes, that every running thread gets.</param>
    public void Run<TJob>(TJob job, int count, long scratchBytes = 0)
        where TJob : unmanaged, IJob
    {
        if (count <= 0)
            return;

        if (s_running == this)
        {
            RunNested(job, count, scratchBytes);
            return;
        }

        lock (_callers)
        {
            ObjectDisposedException.ThrowIf(_stop, this);
            EnsureScratch(scratchBytes);
            WorkerPool? outer = s_running;
            s_running = this;
            try
            {
                if (count == 1 || Threads == 1)
                {
                    for (int i = 0; i < count; i++)
                    {
                        job.Run(i, _scratch[0]);
                    }
                }
                else
                {
                    RunShared(&Invoke<TJob>, &job, count);
                }
            }
            finally
            {
                s_running = outer;
            }
        }
    }

    /// <summary>Ends the threads. A job that is running is finished first.</summary>
    public void Dispose()
    {
        lock (_callers)
        {
            if (_stop)
                return;

            _stop = true;
            lock (_sleep)
            {
                Interlocked.Increment(ref _shared.Epoch);
                Monitor.PulseAll(_sleep);
            }

            foreach (Thread thread in _threads)
            {
                thread.Join();
            }

            FreeScratch();
        }
    }

    private static void Invoke<TJob>(void* job, int index, byte* scratch)
        where TJob : unmanaged, IJob => ((TJob*)job)->Run(index, scratch);

    private static void RunNested<TJob>(TJob job, int count, long scratchBytes)
        where TJob : unmanaged, IJob
    {
        byte* scratch = scratchBytes == 0 ? null : (byte*)NativeMemory.AlignedAlloc((nuint)scratchBytes, 64);
        try
        {
            for (int i = 0; i < count; i++)
            {
                job.Run(i, scratch);
            }
        }
        finally
        {
            NativeMemory.AlignedFree(scratch);
        }
    }

    private void RunShared(delegate*<void*, int, byte*, void> invoke, void* job, int count)
    {
        _invoke = invoke;
        _job = job;
        _count = count;
        _shared.Next = 0;
        _shared.Left = 0;
        Volatile.Write(ref _shared.Gate, 0);
        Interlocked.Increment(ref _shared.Epoch);
        Wake(Math.Min(count, Threads) - 1);

        Participate(_scratch[0]);

        // No thread may enter once the job's memory, which is on this stack, is about to go; those inside are waited for.
        int entered = Interlocked.Or(ref _shared.Gate, Closed);
        SpinWait wait = default;
        while (Volatile.Read(ref _shared.Left) != entered)
        {
            wait.SpinOnce(sleep1Threshold: -1);
        }

        ExceptionDispatchInfo? failure = _failure;
        _failure = null;
        failure?.Throw();
    }

    private void Participate(byte* scratch)
    {
        int index;
        while ((index = Interlocked.Increment(ref _shared.Next) - 1) < _count && Volatile.Read(ref _failure) == null)
        {
            try
            {
                _invoke(_job, index, scratch);
            }
#pragma warning disable CA1031 // Whatever a task throws belongs to the caller of Run.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(exception), null);
            }
        }
    }

    private void Loop(int worker)
    {
        s_running = this;
        s_worker = worker;
        int seen = 0;
        while (true)
        {
            AwaitEpochAfter(seen);
            if (_stop)
                return;

            seen = Volatile.Read(ref _shared.Epoch);
            if (TryEnter())
            {
                Participate(_scratch[worker]);
                Interlocked.Increment(ref _shared.Left);
            }
        }
    }

    private bool TryEnter()
    {
        int gate = Volatile.Read(ref _shared.Gate);
        while ((gate & Closed) == 0)
        {
            int before = Interlocked.CompareExchange(ref _shared.Gate, gate + 1, gate);
            if (before == gate)
                return true;

            gate = before;
        }

        return false;
    }

    private void AwaitEpochAfter(int seen)
    {
        long end = Stopwatch.GetTimestamp() + s_spinTicks;
        do
        {
            if (Volatile.Read(ref _shared.Epoch) != seen)
                return;

            Thread.SpinWait(10);
        }
        while (Stopwatch.GetTimestamp() < end);

        lock (_sleep)
        {
            Interlocked.Increment(ref _sleeping);
            while (Volatile.Read(ref _shared.Epoch) == seen)
            {
                Monitor.Wait(_sleep);
            }

            Interlocked.Decrement(ref _sleeping);
        }
    }

    private void Wake(int threads)
    {
        // The epoch was raised by a locked instruction, and a thread counts itself asleep by one before it looks at the epoch
        // a last time: either it sees the new epoch or it is seen here.
        if (Volatile.Read(ref _sleeping) == 0)
            return;

        lock (_sleep)
        {
            for (int i = 0; i < threads; i++)
            {
                Monitor.Pulse(_sleep);
            }
        }
    }

    private void EnsureScratch(long bytes)
    {
        if (bytes <= _scratchBytes)
            return;

        FreeScratch();
        for (int i = 0; i < _scratch.Length; i++)
        {
            _scratch[i] = (byte*)HostHeap.Allocate((nuint)bytes);
        }

        _scratchBytes = bytes;
    }

    private void FreeScratch()
    {
        for (int i = 0; i < _scratch.Length; i++)
        {
            NativeMemory.AlignedFree(_scratch[i]);
            _scratch[i] = null;
        }

        _scratchBytes = 0;
    }

    // What threads write while others read, a cache-line pair each.
    [StructLayout(LayoutKind.Explicit, Size = 640)]
    private struct Shared
    {
        [FieldOffset(128)]
        public int Epoch;

        [FieldOffset(256)]
        public int Gate;

        [FieldOffset(384)]
        public int Next;

        [FieldOffset(512)]
        public int Left;
    }
}

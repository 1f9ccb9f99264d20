using Forgetting.Backends.Cpu;
using Xunit;

namespace Forgetting.Tests.Backends;

public sealed unsafe class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public void Every_task_runs_once_in_every_job(int threads)
    {
        using var pool = new WorkerPool(threads);
        foreach (int count in new[] { 0, 1, 2, 3, 7, 100, 1000 })
        {
            // Many jobs in a row, so that threads come late, stay over and sleep.
            for (int repeat = 0; repeat < 50; repeat++)
            {
                int[] hits = new int[count + 1];
                fixed (int* p = hits)
                {
                    pool.Run(new Hit(p), count, 256);
                }

                Assert.Equal(Enumerable.Repeat(1, count), hits.Take(count));
                Assert.Equal(0, hits[count]);
            }

            Thread.Sleep(2);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void An_exception_of_a_task_reaches_the_caller_and_the_pool_goes_on(int threads)
    {
        using var pool = new WorkerPool(threads);
        for (int repeat = 0; repeat < 20; repeat++)
        {
            InvalidOperationException exception = Assert.Throws<InvalidOperationException>(() => pool.Run(new Failing(13), 40));
            Assert.Equal("task 13", exception.Message);
            int[] hits = new int[40];
            fixed (int* p = hits)
            {
                pool.Run(new Hit(p), 40, 64);
            }

            Assert.All(hits, h => Assert.Equal(1, h));
        }
    }

    [Fact]
    public void A_job_started_by_a_task_runs_within_it()
    {
        using var pool = new WorkerPool(3);
        PoolOfNested = pool;
        int[] hits = new int[8 * 5];
        fixed (int* p = hits)
        {
            pool.Run(new Nested(p), 8, 64);
        }

        Assert.All(hits, h => Assert.Equal(1, h));
    }

    [Fact]
    public void Callers_on_several_threads_take_turns()
    {
        using var pool = new WorkerPool(2);
        long[] totals = new long[4];
        Parallel.For(0, totals.Length, caller =>
        {
            for (int repeat = 0; repeat < 200; repeat++)
            {
                int[] hits = new int[9];
                fixed (int* p = hits)
                {
                    pool.Run(new Hit(p), 9, 64);
                }

                totals[caller] += hits.Sum();
            }
        });
        Assert.All(totals, total => Assert.Equal(200 * 9, total));
    }

    [ThreadStatic]
    private static int s_depth;

    private static WorkerPool? PoolOfNested { get; set; }

    private readonly struct Hit(int* hits) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            // Scratch belongs to this thread while the task runs.
            new Span<byte>(scratch, 64).Fill((byte)index);
            Thread.SpinWait(20);
            Assert.True(new Span<byte>(scratch, 64).IndexOfAnyExcept((byte)index) < 0);
            Interlocked.Increment(ref hits[index]);
        }
    }

    private readonly struct Failing(int bad) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            if (index == bad)
                throw new InvalidOperationException($"task {index}");
        }
    }

    private readonly struct Nested(int* hits) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            s_depth++;
            PoolOfNested!.Run(new Hit(hits + (index * 5)), 5, 64);
            s_depth--;
            Assert.Equal(0, s_depth);
        }
    }
}

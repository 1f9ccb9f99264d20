using System.Runtime.InteropServices;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Backends.Cpu.OneDnn;
using Forgetting.Backends.Selection;
using Forgetting.Core;
using Forgetting.Operations;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>
/// oneDNN, whichever version this machine has, under the same checks as the managed products. Types of operands that it
/// has no instructions for are left out.
/// </summary>
public sealed unsafe class OneDnnMatMulTests
{
    public static TheoryData<int, int, int> Sizes => new()
    {
        { 1, 1, 1 }, { 1, 300, 31 }, { 5, 17, 9 }, { 16, 33, 64 }, { 17, 33, 64 }, { 64, 48, 20 }, { 65, 257, 33 }, { 130, 600, 7 },
        { 200, 96, 700 }, { 40, 30, 1100 }, { 20, 33, 2100 }, { 70, 330, 100 }, { 3, 5, 0 },
    };

    [OneDnnTheory]
    [MemberData(nameof(Sizes))]
    public void Agrees_with_a_triple_loop(int m, int n, int k)
    {
        using var pool = new WorkerPool(2);
        foreach (DType type in Types())
        {
            using var products = new OneDnnMatMul(pool, Library, type);
            foreach ((bool ta, bool tb) in new[] { (false, false), (false, true), (true, false), (true, true) })
            {
                foreach ((float alpha, float beta) in new[] { (1f, 0f), (1f, 1f), (0.5f, 1f), (-2f, 0.25f) })
                {
                    MatMulCheck.Against(products, ta, tb, m, n, k, alpha, beta);
                }
            }
        }
    }

    [OneDnnTheory]
    [InlineData(288, 768, 0)]
    [InlineData(768, 288, 1)]
    [InlineData(300, 75, 1)]
    [InlineData(64, 50, 0)]
    [InlineData(4200, 340, 1)]
    public void A_row_has_the_same_bits_in_every_batch_with_every_number_of_threads_and_packed_or_not(int k, int n, float beta)
    {
        const int M = 150;
        float[] a = MatMulCheck.Values(M * k, 1), b = MatMulCheck.Values(n * k, 2), before = MatMulCheck.Values(M * n, 3);
        foreach (DType type in Types())
        {
            float[]? expected = null;
            foreach (int threads in new[] { 1, 2, 5 })
            {
                using var pool = new WorkerPool(threads);
                using var products = new OneDnnMatMul(pool, Library, type);
                foreach ((int rows, bool packed) in new[] { (M, true), (M, false), (64, true), (63, true), (17, false), (16, true),
                    (1, true) })
                {
                    float[] c = [.. before];
                    fixed (float* pa = a, pb = b, pc = c)
                    {
                        for (int row = 0; row < M; row += rows)
                        {
                            var product = new Product(
                                false, true, Math.Min(rows, M - row), n, k, 1, pa + (row * k), k, pb, k, beta, pc + (row * n), n);
                            MatMulCheck.Run(products, product, packed);
                        }
                    }

                    expected ??= c;
                    Assert.Equal(expected, c);
                }
            }
        }
    }

    [OneDnnFact]
    public void A_result_larger_than_caches_has_the_same_bits()
    {
        using var pool = new WorkerPool(2);
        foreach (DType type in Types())
        {
            using var products = new OneDnnMatMul(pool, Library, type);
            MatMulCheck.LargerThanCaches(products);
        }
    }

    [OneDnnFact]
    public void The_library_computes_what_it_is_asked_to()
    {
        using var pool = new WorkerPool(1);
        foreach (DType type in Types())
        {
            foreach ((int n, int k) in new[] { (288, 288), (768, 288), (288, 768), (32000, 288) })
            {
                using var streams = new OneDnnMatMul(pool, Library, type);
                Assert.True(
                    streams.PackedBytes(new Product(false, true, 64, n, k, 1, null, k, null, k, 0, null, n)) > 0,
                    $"{Library.Name} refuses {k} x {n} in {type}");
            }
        }
    }

    [OneDnnFact]
    public void Operations_and_their_copies_of_weights_agree_with_the_plain_versions()
    {
        using var backend = new CpuBackend(new WorkerPool(2), pool => new OneDnnMatMul(pool, Library));
        foreach (OperationCase operation in OperationCases.All.Where(c => c.Operation == "Gemm"))
        {
            OperationRunner.Check(backend, operation with
            {
                Run = (b, tensors) =>
                {
                    if (tensors[1].DType == b.StorageType) // what is packed by itself has no copies
                        b.DeclareWeight(tensors[1]);

                    operation.Run(b, tensors);
                },
            });
        }
    }

    [OneDnnFact]
    public void A_provider_that_cannot_be_had_is_refused_in_one_line()
    {
        Assert.Contains(
            "products is \"mkl\"", Assert.Throws<UserException>(() => BackendFactory.Create("cpu", products: "mkl")).Message,
            StringComparison.Ordinal);
        using IBackend backend = BackendFactory.Create("cpu", products: "onednn");
        Assert.Equal("onednn", ((CpuBackend)backend).Products);
        if (!Library.HasBFloat16)
        {
            string message = Assert.Throws<UserException>(() => BackendFactory.Create("cpu", dtype: "bf16", products: "onednn")).Message;
            Assert.Contains("products is onednn with dtype bf16", message, StringComparison.Ordinal);
        }
    }

    /// <summary>What the kernel says of the processor decides, not what the library says.</summary>
    [OneDnnFact]
    public void Auto_takes_it_for_bf16_where_the_processor_is_faster_in_that_and_never_for_fp32()
    {
        if (!File.Exists("/proc/cpuinfo") || RuntimeInformation.ProcessArchitecture != Architecture.X64)
            return;

        string[] lines = File.ReadAllLines("/proc/cpuinfo");
        string[] flags = lines.First(l => l.StartsWith("flags", StringComparison.Ordinal)).Split(' ');
        bool intel =
            lines.Any(l => l.StartsWith("vendor_id", StringComparison.Ordinal) && l.EndsWith("GenuineIntel", StringComparison.Ordinal));
        bool faster = flags.Contains("amx_bf16") || (flags.Contains("avx512_bf16") && !intel);
        Assert.Equal(faster ? "onednn" : "managed", Chosen("bf16"));
        Assert.Equal("managed", Chosen("fp32"));

        static string Chosen(string dtype)
        {
            using IBackend backend = BackendFactory.Create("cpu", dtype: dtype);
            return ((CpuBackend)backend).Products;
        }
    }

    private static OneDnnLibrary Library => OneDnnLibrary.Find(out _)!;

    private static IEnumerable<DType> Types() => new[] { DType.Float32, DType.BFloat16 }.Where(Library.Supports);
}

/// <summary>A test that needs oneDNN.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OneDnnFactAttribute : FactAttribute
{
    /// <summary>Skips the test where the library is missing, with what was looked for.</summary>
    public OneDnnFactAttribute() => Skip = OneDnnLibrary.Find(out string missing) is null ? $"oneDNN: {missing}" : Skip;
}

/// <summary>A theory that needs oneDNN.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OneDnnTheoryAttribute : TheoryAttribute
{
    /// <summary>Skips the test where the library is missing, with what was looked for.</summary>
    public OneDnnTheoryAttribute() => Skip = OneDnnLibrary.Find(out string missing) is null ? $"oneDNN: {missing}" : Skip;
}

using System.Numerics;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>Single instructions of PTX, written out, against .NET's arithmetic and exact integers.</summary>
[Collection("emulation")]
public sealed class PtxInstructionTests(EmulationFixture emulation)
{
    private delegate ulong Expected(ulong a, ulong b, ulong c);

    private static readonly Dictionary<string, Expected> s_instructions = new()
    {
        ["add.s32 %r0, %r1, %r2;"] = (a, b, _) => (uint)(a + b),
        ["sub.s64 %rd0, %rd1, %rd2;"] = (a, b, _) => a - b,
        ["mul.lo.s32 %r0, %r1, %r2;"] = (a, b, _) => (uint)a * (uint)b,
        ["mul.hi.u32 %r0, %r1, %r2;"] = (a, b, _) => ((a & uint.MaxValue) * (b & uint.MaxValue)) >> 32,
        ["mul.hi.s32 %r0, %r1, %r2;"] = (a, b, _) => (uint)(((long)(int)a * (int)b) >> 32),
        ["mul.wide.s32 %rd0, %r1, %r2;"] = (a, b, _) => (ulong)((long)(int)a * (int)b),
        ["mad.lo.s32 %r0, %r1, %r2, %r3;"] = (a, b, c) => ((uint)a * (uint)b) + (uint)c,
        ["mad.wide.u32 %rd0, %r1, %r2, %rd3;"] = (a, b, c) => ((a & uint.MaxValue) * (b & uint.MaxValue)) + c,
        ["div.s32 %r0, %r1, %r2;"] = (a, b, _) => (int)b == 0 ? uint.MaxValue : (uint)((long)(int)a / (int)b),
        ["rem.u64 %rd0, %rd1, %rd2;"] = (a, b, _) => b == 0 ? a : a % b,
        ["min.s32 %r0, %r1, %r2;"] = (a, b, _) => (uint)Math.Min((int)a, (int)b),
        ["max.u32 %r0, %r1, %r2;"] = (a, b, _) => Math.Max((uint)a, (uint)b),
        ["shl.b32 %r0, %r1, %r3;"] = (a, _, c) => (uint)c > 31 ? 0 : (uint)a << (int)c,
        ["shr.s32 %r0, %r1, %r3;"] = (a, _, c) => (uint)((int)a >> (int)Math.Min((uint)c, 31)),
        ["shr.u64 %rd0, %rd1, 13;"] = (a, _, _) => a >> 13,
        ["bfi.b32 %r0, %r1, %r2, 5, 7;"] = (a, b, _) => ((uint)b & ~0xFE0u) | (((uint)a & 0x7F) << 5),
        ["prmt.b32 %r0, %r1, %r2, 8452;"] = (a, b, _) => // 0x2104
            ((a >> 16) & 0xFF) << 24 | ((a >> 8) & 0xFF) << 16 | (a & 0xFF) << 8 | (b & 0xFF),
        ["lop3.b32 %r0, %r1, %r2, %r3, 0x96;"] = (a, b, c) => (uint)(a ^ b ^ c),
        ["shf.l.wrap.b32 %r0, %r1, %r2, %r3;"] = (a, b, c) => (uint)(((b << 32 | (uint)a) << (int)(c & 31)) >> 32),
        ["popc.b32 %r0, %r1;"] = (a, _, _) => (ulong)BitOperations.PopCount((uint)a),
        ["clz.b32 %r0, %r1;"] = (a, _, _) => (ulong)BitOperations.LeadingZeroCount((uint)a),
        ["mov.b32 {%rs1, %rs2}, %r1; mov.b32 %r0, {%rs2, %rs1};"] = (a, _, _) => BitOperations.RotateLeft((uint)a, 16),
        ["setp.lt.s32 %p1, %r1, %r2; selp.b32 %r0, %r1, %r3, %p1;"] = (a, b, c) => (int)a < (int)b ? (uint)a : (uint)c,
        ["setp.ne.and.u32 %p1, %r1, %r2, !%p0; selp.b32 %r0, 1, 0, %p1;"] = (a, b, _) => (uint)a != (uint)b ? 1u : 0,
        ["setp.ltu.f32 %p1, %f1, %f2; selp.b32 %r0, 1, 0, %p1;"] = (a, b, _) => Single(a) >= Single(b) ? 0u : 1,
        ["setp.eq.f32 %p1, %f1, %f2; @%p1 mov.u32 %r0, 7; @!%p1 mov.u32 %r0, 8;"] = (a, b, _) => Single(a) == Single(b) ? 7u : 8,
        ["fma.rn.f32 %f0, %f1, %f2, %f3;"] = (a, b, c) => Bits(MathF.FusedMultiplyAdd(Single(a), Single(b), Single(c))),
        ["mul.f32 %f4, %f1, %f2; add.f32 %f0, %f4, %f3;"] = (a, b, c) => Bits(Single(Bits(Single(a) * Single(b))) + Single(c)),
        ["fma.rm.f32 %f0, %f1, %f2, %f3;"] = (a, b, c) => Bits(Directed(Single(a), Single(b), Single(c), down: true)),
        ["add.rz.f32 %f0, %f1, %f2;"] = (a, b, _) =>
            Bits(Directed(Single(a), 1, Single(b), down: (double)Single(a) + Single(b) > 0)),
        ["div.rn.f32 %f0, %f1, %f2;"] = (a, b, _) => Bits(Single(a) / Single(b)),
        ["sqrt.rn.f32 %f0, %f1;"] = (a, _, _) => Bits(MathF.Sqrt(Single(a))),
        ["min.f32 %f0, %f1, %f2;"] = (a, b, _) => Bits(float.MinNumber(Single(a), Single(b))),
        ["max.f32 %f0, %f1, %f2;"] = (a, b, _) => Bits(float.MaxNumber(Single(a), Single(b))),
        ["cvt.sat.f32.f32 %f0, %f1;"] = (a, _, _) => Bits(float.IsNaN(Single(a)) ? 0 : Math.Clamp(Single(a), 0, 1) + 0f),
        ["cvt.rzi.s32.f32 %r0, %f1;"] = (a, _, _) => (uint)(int)Single(a), // .NET saturates too
        ["cvt.rzi.u64.f32 %rd0, %f1;"] = (a, _, _) => (ulong)Single(a),
        ["cvt.rn.f32.s32 %f0, %r1;"] = (a, _, _) => Bits((int)a),
        ["cvt.s64.s32 %rd0, %r1;"] = (a, _, _) => (ulong)(int)a,
        ["cvt.rn.bf16.f32 %rs1, %f1; cvt.f32.bf16 %f0, %rs1;"] = (a, _, _) => Bits(NearestBFloat16(Single(a))),
        [".local: st.local.u32 [depot+4], %r1; mov.u64 %rd4, depot; cvta.local.u64 %rd4, %rd4; ld.u32 %r0, [%rd4+4];"] = (a, _, _) =>
            (uint)a,
    };

    private readonly EmulationFixture _emulation = emulation;

    public static TheoryData<string> Names => [.. s_instructions.Keys];

    [EmulationTheory]
    [MemberData(nameof(Names))]
    public void An_instruction_gives_the_bits_that_it_should(string instruction)
    {
        ulong[] interesting =
        [
            0, 1, 2, 31, 32, 33, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0x00800000, 0x4B800001,
            0xCF000000, 0x5F800000, 0x3F808000, 0x3F818000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFFFFFFFFFFFFFFF, 0x8000000000000000,
        ];
        var random = new Random(5);
        ulong[] a = new ulong[512], b = new ulong[512], c = new ulong[512];
        foreach (ulong[] values in (ulong[][])[a, b, c])
        {
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = random.Next(3) switch
                {
                    0 => interesting[random.Next(interesting.Length)],
                    1 => Bits((float)((random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-30, 40)))),
                    _ => (ulong)random.NextInt64() << random.Next(2),
                };
            }
        }

        ulong[] results = Run(instruction, a, b, c);
        for (int i = 0; i < results.Length; i++)
        {
            ulong expected = s_instructions[instruction](a[i], b[i], c[i]);
            bool same = results[i] == expected || (instruction.Contains("%f0", StringComparison.Ordinal) && float.IsNaN(Single(results[i]))
                && float.IsNaN(Single(expected)));
            Assert.True(same, $"{instruction} of {a[i]:x}, {b[i]:x} and {c[i]:x} gives {results[i]:x}, not {expected:x}");
        }
    }

    // The bounds that NVIDIA documents for these instructions; the interpreter keeps closer ones.
    [EmulationTheory]
    [InlineData("ex2.approx.ftz.f32 %f0, %f1;", -100, 100)]
    [InlineData("lg2.approx.f32 %f0, %f1;", 0, 1000)]
    [InlineData("rcp.approx.ftz.f32 %f0, %f1;", -1000, 1000)]
    [InlineData("rsqrt.approx.f32 %f0, %f1;", 0, 1000)]
    public void Approximations_are_near(string instruction, double low, double high)
    {
        var random = new Random(3);
        ulong[] a = [.. Enumerable.Range(0, 512).Select(_ => (ulong)Bits((float)(low + ((high - low) * random.NextDouble()))))];
        ulong[] results = Run(instruction, a, a, a);
        for (int i = 0; i < a.Length; i++)
        {
            double x = Single(a[i]);
            double expected =
                instruction[..3] switch { "ex2" => Math.Pow(2, x), "lg2" => Math.Log2(x), "rcp" => 1 / x, _ => 1 / Math.Sqrt(x) };
            Assert.Equal(expected, Single(results[i]), Math.Abs(expected) * 6e-8);
        }
    }

    [EmulationFact]
    public void Subnormal_numbers_are_flushed_where_the_instruction_says_so()
    {
        ulong[] tiny = [1, 0x80000001, 0x007FFFFF];
        Assert.Equal(tiny.Select(_ => (ulong)Bits(1)), Run("ex2.approx.ftz.f32 %f0, %f1;", tiny, tiny, tiny));
        Assert.Equal(
            [0, 0x80000000, 0],
            Run("mul.ftz.f32 %f0, %f1, %f1;".Replace("%f1, %f1", "%f1, 0f3F800000", StringComparison.Ordinal), tiny, tiny, tiny));
        Assert.Equal(tiny, Run("mul.f32 %f0, %f1, 0f3F800000;", tiny, tiny, tiny));
    }

    [EmulationTheory]
    [InlineData("forward")]
    [InlineData("reverse")]
    [InlineData("random:3")]
    public void Lanes_that_part_ways_meet_again(string order)
    {
        // Every lane goes round as often as its number says; the shuffle behind the loop needs them all.
        const string Text = """
            mov.u32 %r4, %laneid; mov.u32 %r0, 0;
            $loop: setp.ge.u32 %p1, %r0, %r4; @%p1 bra $done; add.s32 %r0, %r0, 1; bra.uni $loop;
            $done: shfl.sync.bfly.b32 %r0|%p1, %r0, 1, 31, -1;
            """;
        ulong[] zero = new ulong[64];
        Assert.Equal(Enumerable.Range(0, 64).Select(i => (ulong)(i % 32) ^ 1), Run(Text, zero, zero, zero, order));
    }

    [EmulationTheory]
    [InlineData("add.s32 %r0, %r1, %r8;", "add.s32 reads a register that was never written")]
    [InlineData(
        "setp.eq.u32 %p1, %r1, 5; @%p1 mov.u32 %r8, 1; mov.u32 %r9, %r8; st.global.u32 [%rd6], %r9;",
        "st.global.u32 reads a register that was never written")]
    [InlineData("@%p2 bra $end; $end: mov.u32 %r0, 1;", "predicate that was never written")]
    [InlineData(".local: st.local.u32 [depot], %r1; ld.local.u32 %r0, [depot+4];", "local memory that was never written")]
    [InlineData(".local: st.local.u32 [depot+16], %r1;", "16 bytes into the 16 bytes of local memory")]
    [InlineData(
        "mov.u32 %r0, %laneid; setp.lt.u32 %p1, %r0, 9; @%p1 exit; mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f4, %f5, %f6, "
        + "%f7}, {%r1, %r1, %r1, %r1}, {%r1, %r1}, {%f1, %f1, %f1, %f1};",
        "all 32 must take part")]
    public void Misuse_is_reported(string instruction, string message)
    {
        ulong[] values = [.. Enumerable.Range(0, 32).Select(i => (ulong)i)];
        Fault error = EmulationFixture.Fails(() => Run(instruction, values, values, values));
        Assert.Contains(message, error.Report, StringComparison.Ordinal);
    }

    [EmulationTheory]
    [InlineData("wmma.load.a.sync x, y;", "line 13 of the PTX: wmma.load.a.sync: the interpreter does not know this instruction")]
    [InlineData("add.s32 %r0, %r1;", "an operand is missing")]
    [InlineData("add.s32 %r0, %r1, %rd1;", "a register of another width")]
    [InlineData("bar.sync 1;", "only barrier 0")]
    [InlineData("bra $nowhere;", "no such label")]
    [InlineData("mov.u32 %r0, 5", "where ';' was expected")]
    public void Text_that_cannot_be_run_is_refused_with_its_line(string instruction, string message)
    {
        ulong[] values = new ulong[32];
        Fault error = EmulationFixture.Fails(() => Run(instruction, values, values, values));
        Assert.Equal(CUResult.ErrorInvalidImage, error.Error);
        Assert.Contains(message, error.Report, StringComparison.Ordinal);
    }

    // Runs the instructions with the inputs in %rd1 to %rd3, %r1 to %r3 and %f1 to %f3; the result is in %rd0, %r0 or %f0.
    private ulong[] Run(string instructions, ulong[] a, ulong[] b, ulong[] c, string order = "forward")
    {
        bool local = instructions.StartsWith(".local:", StringComparison.Ordinal);
        string body = local ? instructions[".local:".Length..] : instructions;
        string result = body.Contains("%rd0", StringComparison.Ordinal) ? ""
            : body.Contains("%f0", StringComparison.Ordinal) ? "mov.b32 %r0, %f0; cvt.u64.u32 %rd0, %r0;"
            : "cvt.u64.u32 %rd0, %r0;";
        string text = $$"""
            .version 8.4
            .target sm_90
            .address_size 64
            .visible .entry test(.param .u64 from, .param .u64 to, .param .u32 count) {
            .reg .pred %p<4>; .reg .b16 %rs<8>; .reg .b32 %r<16>; .reg .b64 %rd<16>; .reg .f32 %f<16>;
            {{(local ? ".local .align 8 .b8 depot[16];" : "")}}
            ld.param.u64 %rd5, [from]; ld.param.u64 %rd6, [to]; ld.param.u32 %r5, [count];
            mov.u32 %r6, %tid.x; mov.u32 %r7, %ctaid.x; mov.u32 %r10, %ntid.x; mad.lo.s32 %r6, %r7, %r10, %r6;
            setp.ge.u32 %p0, %r6, %r5; @%p0 ret;
            mul.wide.u32 %rd7, %r6, 24; add.s64 %rd5, %rd5, %rd7; mul.wide.u32 %rd7, %r6, 8; add.s64 %rd6, %rd6, %rd7;
            ld.global.u64 %rd1, [%rd5]; ld.global.u64 %rd2, [%rd5+8]; ld.global.u64 %rd3, [%rd5+16];
            cvt.u32.u64 %r1, %rd1; cvt.u32.u64 %r2, %rd2; cvt.u32.u64 %r3, %rd3; mov.b32 %f1, %r1; mov.b32 %f2, %r2; mov.b32 %f3, %r3;
            {{body}}
            {{result}}
            st.global.u64 [%rd6], %rd0;
            ret;
            }
            """;
        using var folder = new TemporaryFolder();
        _emulation.Begin(order);
        CUmodule module = _emulation.Context.LoadModule(folder.Write("test.ptx", text));
        try
        {
            using CudaDeviceVariable<ulong> from = EmulationFixture.Upload(a.SelectMany((x, i) => (ulong[])[x, b[i], c[i]]).ToArray()),
                to = new(a.Length);
            var kernel =
                new CudaKernel("test", module) { BlockDimensions = new dim3(64), GridDimensions = new dim3((uint)(a.Length + 63) / 64) };
            kernel.Run(from.DevicePointer, to.DevicePointer, a.Length);
            return EmulationFixture.Download(to);
        }
        finally
        {
            _emulation.Context.UnloadModule(module);
        }
    }

    private static float Single(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits);

    private static uint Bits(float x) => BitConverter.SingleToUInt32Bits(x);

    // The largest number of fp32 that is not above a·b + c, or the smallest not below, found with exact integers.
    private static float Directed(float a, float b, float c, bool down)
    {
        float guess = MathF.FusedMultiplyAdd(a, b, c);
        if (!float.IsFinite(a) || !float.IsFinite(b) || !float.IsFinite(c))
            return guess;

        BigInteger exact = (Scaled(a) * Scaled(b)) + (Scaled(c) << 149);
        while (guess == (down ? float.PositiveInfinity : float.NegativeInfinity)
            || (float.IsFinite(guess) && (down ? Scaled(guess) << 149 > exact : Scaled(guess) << 149 < exact)))
        {
            guess = down ? MathF.BitDecrement(guess) : MathF.BitIncrement(guess);
        }

        return guess;
    }

    // x · 2^149, an integer.
    private static BigInteger Scaled(float x)
    {
        uint bits = Bits(x);
        int exponent = (int)((bits >> 23) & 255);
        var mantissa = new BigInteger(exponent == 0 ? bits & 0x7FFFFF : (bits & 0x7FFFFF) | 0x800000);
        return (mantissa << Math.Max(0, exponent - 1)) * (x < 0 ? -1 : 1);
    }

    private static float NearestBFloat16(float x)
    {
        if (!float.IsFinite(x))
            return x;

        float low = Single(Bits(x) & 0xFFFF0000), high = Single((Bits(x) & 0xFFFF0000) + 0x10000);
        double before = Math.Abs((double)x - low),
            behind = float.IsFinite(high) ? Math.Abs((double)high - x) : Math.Pow(2, 128) - Math.Abs((double)x);
        bool up = behind < before || (behind == before && (Bits(low) & 0x10000) != 0);
        return up ? high : low;
    }
}

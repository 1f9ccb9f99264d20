using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Forgetting.Backends.Cpu;

/// <summary>The vectors that <see cref="CpuBackend"/> computes with on this machine.</summary>
internal static class VectorWidth
{
    /// <summary>Bits of the widest vectors that are fast: 512, 256, 128, or 0 without any.</summary>
    public static int Bits =>
        Vector512.IsHardwareAccelerated ? 512 : Avx.IsSupported
            || Vector256.IsHardwareAccelerated ? 256 : Vector128.IsHardwareAccelerated ? 128 : 0;

    /// <summary>The width with the instructions' name.</summary>
    public static string Description => Bits switch
    {
        512 => "512 bits (AVX-512)",
        256 => $"256 bits ({(Avx2.IsSupported ? "AVX2 with FMA" : "AVX")})",
        0 => "none (scalar)",
        _ => $"128 bits ({(AdvSimd.IsSupported ? "AdvSimd" : Sse.IsSupported ? "SSE" : "baseline")})",
    };
}

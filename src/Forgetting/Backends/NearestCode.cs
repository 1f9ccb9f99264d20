using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Forgetting.Backends;

/// <summary>The search of every quantisation here: which of some rising numbers a value is nearest to.</summary>
internal static class NearestCode
{
    /// <summary>Halfway between neighbours, each pair's sum rounded to Float32 before it is halved.</summary>
    public static float[] Midpoints(IReadOnlyList<float> map) => [.. map.Zip(map.Skip(1), (low, high) => (low + high) / 2)];

    /// <summary>
    /// The place of the nearest; of two that are equally near, the smaller: how many midpoints the value lies above. Without branches that
    /// no processor foresees.
    /// </summary>
    /// <param name="midpoints">Rising, one fewer than codes, of which there are a power of two.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Of(float value, ReadOnlySpan<float> midpoints)
    {
        int code = 0;
        ref float first = ref MemoryMarshal.GetReference(midpoints);
        for (int step = (midpoints.Length + 1) / 2; step > 0; step /= 2)
        {
            code += value > Unsafe.Add(ref first, code + step - 1) ? step : 0;
        }

        return code;
    }
}

using System.Runtime.InteropServices;

namespace Forgetting.Cuda;

/// <summary>
/// Named ranges on the timeline of NVIDIA's profilers (NVTX). Without its library, or before
/// <see cref="Enable"/>, a range costs a comparison.
/// </summary>
public static unsafe class Nvtx
{
    // CUDA 12.9 renamed the library.
    private static readonly string[] s_names =
        OperatingSystem.IsWindows() ? ["nvToolsExt64_1.dll"] : ["libnvToolsExt.so.1", "libnvtx3interop.so.1"];

    private static delegate* unmanaged<byte*, int> s_push;
    private static delegate* unmanaged<int> s_pop;

    /// <summary>Looks for the library; ranges begin to count if it is there.</summary>
    /// <returns>Whether it is.</returns>
    public static bool Enable()
    {
        if (s_push == null)
        {
            foreach (string name in s_names)
            {
                if (NativeLibrary.TryLoad(name, out nint library) && NativeLibrary.TryGetExport(library, "nvtxRangePushA", out nint begin)
                    && NativeLibrary.TryGetExport(library, "nvtxRangePop", out nint end))
                {
                    s_pop = (delegate* unmanaged<int>)end;
                    s_push = (delegate* unmanaged<byte*, int>)begin;
                    break;
                }
            }
        }

        return s_push != null;
    }

    /// <summary>Begins a range of the calling thread, which ends when the result is disposed; ranges nest.</summary>
    /// <param name="name">A UTF-8 literal: the compiler puts a zero after it.</param>
    public static NvtxRange Range(ReadOnlySpan<byte> name)
    {
        if (s_push == null)
            return default;

        fixed (byte* text = name)
        {
            s_push(text);
        }

        return new NvtxRange(true);
    }

    internal static void End() => s_pop();
}

/// <summary>A range begun by <see cref="Nvtx.Range"/>.</summary>
public readonly ref struct NvtxRange
{
    private readonly bool _begun;

    internal NvtxRange(bool begun) => _begun = begun;

    /// <summary>Ends the range.</summary>
    public void Dispose()
    {
        if (_begun)
            Nvtx.End();
    }
}

using System.Runtime.InteropServices;

namespace Forgetting.Backends.Cpu;

/// <summary>Settings of the C library's heap.</summary>
internal static partial class HostHeap
{
    private const int MmapThreshold = -3; // M_MMAP_THRESHOLD of mallopt(3)
    private const int LargeBlock = 128 << 10; // glibc's own before it adapts

    /// <summary>
    /// Makes large blocks go back to the system when they are freed. By default glibc keeps blocks of up to 32 MiB for later, so that the weights of one stage
    /// would stay resident in the next: holes that they leave cannot be filled by aligned blocks of the same size. Other C libraries do so by themselves or have no such setting.
    /// </summary>
    public static void ReturnLargeBlocks()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        try
        {
            _ = SetOption(MmapThreshold, LargeBlock);
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            // Not glibc.
        }
    }

    [LibraryImport("libc.so.6", EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);
}

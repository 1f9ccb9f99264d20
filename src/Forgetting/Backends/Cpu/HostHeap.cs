using System.Runtime.InteropServices;

namespace Forgetting.Backends.Cpu;

/// <summary>The C library's heap: its settings, and blocks of it.</summary>
internal static unsafe partial class HostHeap
{
    private const nuint CacheLine = 64;
    private const nuint HugePage = 2 << 20;
    private const int UseHugePages = 14; // MADV_HUGEPAGE of madvise(2)

    private const int MmapThreshold = -3; // M_MMAP_THRESHOLD of mallopt(3)
    private const int LargeBlock = 128 << 10; // glibc's own before it adapts

    /// <summary>
    /// Makes large blocks go back to the system when they are freed. By default glibc keeps blocks of up to 32 MiB for later, so that the
    /// weights of one stage would stay resident in the next: holes that they leave cannot be filled by aligned blocks of the same size.
    /// Other C libraries do so by themselves or have no such setting.
    /// </summary>
    public static void ReturnLargeBlocks()
    {
        if (!OperatingSystem.IsLinux())
            return;

        try
        {
            _ = SetOption(MmapThreshold, LargeBlock);
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            // Not glibc.
        }
    }

    /// <summary>
    /// A block aligned to cache lines. A large one on Linux begins at a huge page and asks for them: a tile of a product touches as many
    /// pages as it has rows, more than the processor keeps translations of. Freed by <see cref="NativeMemory.AlignedFree"/>.
    /// </summary>
    /// <exception cref="OutOfMemoryException">There is no such block.</exception>
    public static void* Allocate(nuint bytes)
    {
        if (bytes < 2 * HugePage || !OperatingSystem.IsLinux())
            return NativeMemory.AlignedAlloc(bytes, CacheLine);

        void* block = NativeMemory.AlignedAlloc(bytes, HugePage);
        try
        {
            // Advice: where it is not taken, nothing is lost but speed. What is left behind the last whole page stays as it is.
            _ = Advise(block, bytes / HugePage * HugePage, UseHugePages);
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            // Not glibc.
        }

        return block;
    }

    [LibraryImport("libc.so.6", EntryPoint = "madvise")]
    private static partial int Advise(void* start, nuint bytes, int advice);

    [LibraryImport("libc.so.6", EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);
}

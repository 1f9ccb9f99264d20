using System.Runtime.InteropServices;

namespace Forgetting.IO;

/// <summary>
/// Two folders change names in one system call, so that no moment is without either: <c>renameat2</c> with <c>RENAME_EXCHANGE</c> on
/// Linux (man 2 rename),
/// <c>renamex_np</c> with <c>RENAME_SWAP</c> on macOS.
/// </summary>
internal static partial class FolderExchange
{
    private const int CurrentFolder = -100; // AT_FDCWD; it does not matter, the paths being absolute
    private const uint Exchange = 2, Swap = 2;

    /// <summary>Exchanges two folders of the same disk, given by absolute paths.</summary>
    /// <returns>False where the system or the file system cannot; nothing has changed then.</returns>
    public static bool Try(string first, string second)
    {
        try
        {
            return OperatingSystem.IsLinux() ? RenameAt(CurrentFolder, first, CurrentFolder, second, Exchange) == 0
                : OperatingSystem.IsMacOS() && RenameSwap(first, second, Swap) == 0;
        }
        catch (EntryPointNotFoundException)
        {
            // A C library of before 2018.
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "renameat2", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int RenameAt(int firstFolder, string first, int secondFolder, string second, uint flags);

    [LibraryImport("libc", EntryPoint = "renamex_np", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int RenameSwap(string first, string second, uint flags);
}

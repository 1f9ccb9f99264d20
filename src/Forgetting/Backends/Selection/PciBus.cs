namespace Forgetting.Backends.Selection;

/// <summary>What Linux says of the cards in this machine, whether or not they have a driver.</summary>
internal static class PciBus
{
    public const string Folder = "/sys/bus/pci/devices";

    private const string Nvidia = "0x10de";
    private const string DisplayController = "0x03";

    /// <summary>Address of the first graphics card of NVIDIA's, or null.</summary>
    /// <param name="folder">Where the system lists its devices.</param>
    public static string? NvidiaCard(string folder)
    {
        try
        {
            return !Directory.Exists(folder)
                ? null
                : Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal)
                    .Where(device => Fact(device, "vendor") == Nvidia
                        && Fact(device, "class").StartsWith(DisplayController, StringComparison.Ordinal))
                    .Select(Path.GetFileName).FirstOrDefault();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null; // a container may hide it
        }
    }

    private static string Fact(string device, string name)
    {
        string path = Path.Combine(device, name);
        return File.Exists(path) ? File.ReadAllText(path).Trim() : "";
    }
}

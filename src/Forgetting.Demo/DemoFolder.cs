using Forgetting.Core;

namespace Forgetting.Demo;

/// <summary>The folder of one seed, which a demo fills anew each time.</summary>
internal static class DemoFolder
{
    // What every scenario writes before anything else.
    private const string Marker = "held-out.jsonl";

    /// <summary>Empties the folder of an earlier demo.</summary>
    /// <exception cref="UserException">It is not of a demo; what is in it stays.</exception>
    public static void Clear(string folder)
    {
        if (!Directory.Exists(folder))
            return;

        if (Directory.EnumerateFileSystemEntries(folder).Any() && !File.Exists(Path.Combine(folder, Marker)))
            throw new UserException($"{folder}: is not of a demo (it has no {Marker}), and would be emptied; choose another --out");

        Directory.Delete(folder, recursive: true);
    }
}

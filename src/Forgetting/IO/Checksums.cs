using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>The file <c>sha256sums</c> of a folder: a hash and a name a line, as <c>sha256sum --check</c> reads them, for every other
/// file in it.</summary>
internal static class Checksums
{
    /// <summary>Name of the file.</summary>
    public const string FileName = "sha256sums";

    /// <summary>Writes the file.</summary>
    /// <exception cref="UserException">A file cannot be read.</exception>
    /// <exception cref="IOException">Not writable or disk full.</exception>
    public static void Write(string folder) =>
        File.WriteAllText(
            Path.Combine(folder, FileName),
            string.Concat(Names(folder).Select(name => $"{FileHash.Of(Path.Combine(folder, name))}  {name}\n")));

    /// <summary>What is wrong with a folder: which file is not what was written; null where nothing is.</summary>
    /// <exception cref="UserException">A file cannot be read.</exception>
    public static string? Damaged(string folder)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            return $"{folder}: has no {FileName}, so it cannot be told whether it is whole";

        string[][] lines = [.. File.ReadAllLines(path).Select(line => line.Split("  ", 2))];
        string? missing = Names(folder).FirstOrDefault(name => !lines.Any(l => l.Length == 2 && l[1] == name));
        if (missing != null || Array.Exists(lines, l => l.Length != 2))
            return $"{path}: is damaged: expected a checksum for every file{(missing is null ? "" : $", {missing} has none")}";

        string[]? bad = Array.Find(lines, l => !File.Exists(Path.Combine(folder, l[1])) || FileHash.Of(Path.Combine(folder, l[1])) != l[0]);
        return bad is null ? null : $"{Path.Combine(folder, bad[1])}: is damaged: it does not have the checksum in {FileName}";
    }

    private static IEnumerable<string> Names(string folder) =>
        Directory.EnumerateFiles(folder).Select(f => Path.GetFileName(f)).Where(name => name != FileName).Order(StringComparer.Ordinal);
}

using Forgetting.Core;

namespace Forgetting.Data;

/// <summary>Files of data that a path names: one, or the shards of a folder.</summary>
internal static class DataFolder
{
    private static readonly string[] s_endings = [".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv"];

    // What Hugging Face's libraries write beside the data.
    private static readonly string[] s_others = ["dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"];

    /// <summary>The name of a file without the ending of what packed it.</summary>
    public static string Unpacked(string path) =>
        Path.GetExtension(path)
            .ToLowerInvariant() is ".gz" or ".gzip" or ".zst" or ".zstd" ? path[..^Path.GetExtension(path).Length] : path;

    /// <summary>
    /// The files in the order of their names: the path itself, or of a folder all data files in it and below, texts where there is nothing
    /// else. Of a folder whose files or folders are named by splits, as <c>train-00000-of-00002.parquet</c>, those of the training split.
    /// </summary>
    /// <exception cref="UserException">The folder holds no data.</exception>
    public static IReadOnlyList<string> Files(string path) =>
        !Directory.Exists(path) ? [path] : Split(path) is { Length: > 0 } files ? files
            : throw new UserException(
                Directory.EnumerateFiles(path, "*.arrow", SearchOption.AllDirectories).Any()
                    ? $"{path}: holds Arrow files, expected Parquet or JSON Lines: write them with to_parquet or to_json"
                    : $"{path}: holds no data files, expected names that end in {string.Join(", ", s_endings)} or .txt");

    /// <summary>How many data files of a folder belong to other splits than the training one, and are not read.</summary>
    public static int LeftOut(string path) => Directory.Exists(path) ? All(path).Length - Split(path).Length : 0;

    private static string[] Split(string folder)
    {
        string[] all = All(folder);
        string[] training = [.. all.Where(file => Path.GetRelativePath(folder, file).Split(Path.DirectorySeparatorChar).Any(IsTraining))];
        return training.Length > 0 ? training : all;
    }

    private static bool IsTraining(string name) =>
        name.StartsWith("train", StringComparison.OrdinalIgnoreCase) && (name.Length == 5 || !char.IsAsciiLetter(name[5]));

    private static string[] All(string folder)
    {
        string[] visible =
        [
            .. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
                .Where(file => Array.TrueForAll(
                    Path.GetRelativePath(folder, file).Split(Path.DirectorySeparatorChar), part => part[0] is not ('.' or '_')))
                .Where(file => !s_others.Contains(Path.GetFileName(file)))
                .Order(StringComparer.Ordinal),
        ];
        string[] data = [.. visible.Where(file => s_endings.Contains(Path.GetExtension(Unpacked(file)).ToLowerInvariant()))];
        return data.Length > 0
            ? data
            : [.. visible.Where(file => Path.GetExtension(Unpacked(file)).Equals(".txt", StringComparison.OrdinalIgnoreCase))];
    }
}

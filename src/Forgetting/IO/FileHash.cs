using System.Security.Cryptography;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>SHA-256 of files, in hexadecimal: to notice that one is no longer what it was.</summary>
internal static class FileHash
{
    // Configuration, tokenizer, chat template and weights; a model's folder may hold the same weights in other formats, which nobody reads.
    private static readonly string[] s_modelEndings = [".json", ".txt", ".jinja", ".model", ".safetensors"];

    // Weights that PyTorch pickled, which are read where there are no safetensors.
    private static readonly string[] s_pickled = ["pytorch_model", "adapter_model"];

    /// <summary>Hash of a file.</summary>
    /// <exception cref="UserException">It cannot be read.</exception>
    public static string Of(string path)
    {
        try
        {
            using var stream =
                new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 20, FileOptions.SequentialScan);
            return Convert.ToHexStringLower(SHA256.HashData(stream));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(path, error);
        }
    }

    /// <summary>The files of a checkpoint or an adapter (or of any other folder of that kind) that decide what it computes, with their
    /// hashes, by name; a file is its own only one.</summary>
    /// <exception cref="UserException">One cannot be read.</exception>
    public static IReadOnlyList<(string Name, string Hash)> OfModel(string path)
    {
        string[] files = [path];
        if (Directory.Exists(path))
        {
            string[] all = [.. Directory.EnumerateFiles(path).Where(f => Path.GetFileName(f)[0] != '.').Order(StringComparer.Ordinal)];
            bool pickled = !Array.Exists(all, f => Path.GetExtension(f) == ".safetensors");
            files = [.. all.Where(f => s_modelEndings.Contains(Path.GetExtension(f)) || (pickled && IsPickled(f)))];
        }

        try
        {
            return [.. files.AsParallel().AsOrdered().Select(f => (Path.GetFileName(f), Of(f)))];
        }
        catch (AggregateException error) when (error.InnerException is UserException first)
        {
            throw new UserException(first.Message, first);
        }
    }

    private static bool IsPickled(string file) =>
        Path.GetExtension(file) == ".bin" && s_pickled.Any(name => Path.GetFileName(file).StartsWith(name, StringComparison.Ordinal));

    /// <summary>One hash for all of <see cref="OfModel"/>.</summary>
    /// <exception cref="UserException">A file cannot be read.</exception>
    public static string OfAll(string path)
    {
        var all = new Fingerprint();
        foreach ((string name, string hash) in OfModel(path))
        {
            all.Add(name, hash);
        }

        return all.ToString();
    }
}

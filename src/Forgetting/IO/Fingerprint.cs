using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Forgetting.IO;

/// <summary>
/// Hash of everything a stage's result depends on, to tell whether a result on disk is still the one that would be computed. Settings and data count with
/// their contents, checkpoints (gigabytes) with the names, lengths and times of their files.
/// </summary>
internal sealed class Fingerprint
{
    private readonly StringBuilder _parts = new();

    /// <summary>Adds a setting or any other text.</summary>
    public Fingerprint Add(string name, string? value)
    {
        _parts.Append(CultureInfo.InvariantCulture, $"{name.Length}:{name}={value?.Length ?? -1}:{value};");
        return this;
    }

    /// <summary>Adds a number.</summary>
    public Fingerprint Add(string name, IFormattable value) => Add(name, value.ToString(null, CultureInfo.InvariantCulture));

    /// <summary>Adds the contents of a file.</summary>
    /// <exception cref="UserException">It cannot be read.</exception>
    public Fingerprint AddContents(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            return Add("contents", Convert.ToHexStringLower(SHA256.HashData(stream)));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(path, error);
        }
    }

    /// <summary>Adds a checkpoint, or a result of another stage: a file, or the files of a folder.</summary>
    public Fingerprint AddFiles(string path)
    {
        IEnumerable<string> files = Directory.Exists(path) ? Directory.EnumerateFiles(path).Order(StringComparer.Ordinal) : [path];
        foreach (FileInfo file in files.Select(f => new FileInfo(f)).Where(f => f.Exists))
        {
            Add(file.Name, file.Length).Add("time", file.LastWriteTimeUtc.Ticks);
        }

        return this;
    }

    /// <summary>The hash so far, in hexadecimal.</summary>
    public override string ToString() => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(_parts.ToString())));
}

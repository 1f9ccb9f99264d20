using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// Everything a result depends on, by name, to tell whether a result on disk is still the one that would be computed, and if not, why.
/// Files count with their contents.
/// </summary>
internal sealed class Fingerprint
{
    private readonly List<KeyValuePair<string, string>> _parts = [];

    /// <summary>What was added, in order; of several parts of one name all but the first have a number.</summary>
    public IReadOnlyDictionary<string, string> Parts
    {
        get
        {
            var parts = new Dictionary<string, string>();
            foreach ((string name, string value) in _parts)
            {
                string own = name;
                for (int i = 2; !parts.TryAdd(own, value); i++)
                {
                    own = string.Create(CultureInfo.InvariantCulture, $"{name} {i}");
                }
            }

            return parts;
        }
    }

    /// <summary>Adds a setting or any other text.</summary>
    public Fingerprint Add(string name, string? value)
    {
        _parts.Add(new(name, value ?? "none"));
        return this;
    }

    /// <summary>Adds a number.</summary>
    public Fingerprint Add(string name, IFormattable value) => Add(name, value.ToString(null, CultureInfo.InvariantCulture));

    /// <summary>Adds a file, or the files of a checkpoint.</summary>
    /// <param name="name">What they are to the result.</param>
    /// <exception cref="UserException">One cannot be read.</exception>
    public Fingerprint AddFiles(string name, string path)
    {
        foreach ((string file, string hash) in FileHash.OfModel(path))
        {
            Add($"{name} {file}", hash);
        }

        return this;
    }

    /// <summary>Adds all parts of another.</summary>
    public Fingerprint Add(Fingerprint other)
    {
        _parts.AddRange(other._parts);
        return this;
    }

    /// <summary>The hash of a fingerprint's parts, in hexadecimal.</summary>
    public static string Digest(IReadOnlyDictionary<string, string> parts)
    {
        var text = new StringBuilder();
        foreach ((string name, string value) in parts)
        {
            text.Append(CultureInfo.InvariantCulture, $"{name.Length}:{name}={value.Length}:{value};");
        }

        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    /// <summary>The hash so far, in hexadecimal.</summary>
    public override string ToString() => Digest(Parts);
}

using System.Globalization;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>Names and paths that come from files, such as a task's: they never lead out of the folder they are meant for.</summary>
internal static class PlainName
{
    private const int Longest = 100;

    /// <summary>A name that becomes part of a file's name.</summary>
    /// <param name="name">The name.</param>
    /// <param name="place">What an error begins with: where the name stands.</param>
    /// <exception cref="UserException">It has separators, control characters or what some system does not allow in file
    /// names, or is too long.</exception>
    public static string Check(string name, string place) =>
        name.Length is > 0 and <= Longest && name is not ("." or "..")
        && name.All(c => c is not ('/' or '\\' or ':' or '"' or '<' or '>' or '|') && !char.IsControl(c))
            ? name
            : throw new UserException(string.Create(
                CultureInfo.InvariantCulture,
                $"{place} is \"{name}\", which becomes part of a file's name; expected 1 to {Longest} characters without / \\ : "
                    + $"\" < > | and control characters"));

    /// <summary>A path below a folder that the user names.</summary>
    /// <exception cref="UserException">It is absolute, leads out of the folder, or has a null character.</exception>
    public static string CheckBelow(string path, string place) =>
        path.Length > 0 && !Path.IsPathRooted(path) && !path.Contains('\0', StringComparison.Ordinal)
        && !path.Split('/', '\\').Contains("..")
            ? path
            : throw new UserException($"{place} is \"{path}\"; expected a path below the data folder, without ..");
}

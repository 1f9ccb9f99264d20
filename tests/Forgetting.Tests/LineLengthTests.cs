using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests;

/// <summary>Two files of sources fit beside each other on a screen.</summary>
public sealed class LineLengthTests
{
    private const int Longest = 140;

    private static readonly string[] s_folders = ["kernels", "src", "tests", "bench", "samples", "tools"];

    // Data, texts for models and documentation are as they must be.
    private static readonly string[] s_kinds = [".cs", ".cu", ".cuh", ".cpp", ".h", ".py", ".sh", ".csproj", ".props", ".css"];

    [Fact]
    public void No_line_of_source_is_longer_than_140_columns()
    {
        string[] files =
        [
            .. from folder in s_folders
               from path in Directory.EnumerateFiles(Repository.Path(folder), "*", SearchOption.AllDirectories)
               where s_kinds.Contains(Path.GetExtension(path))
               where !Path.GetRelativePath(Repository.Path(), path).Split(Path.DirectorySeparatorChar).Any(part => part is "obj" or "bin")
               select path,
        ];
        Assert.True(files.Length > 500);
        Assert.Empty(
            from path in files
            from line in File.ReadLines(path).Index()
            where line.Item.Length > Longest
            select $"{Path.GetRelativePath(Repository.Path(), path)}:{line.Index + 1}: {line.Item.Length} columns");
    }
}

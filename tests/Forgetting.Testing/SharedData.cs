using Xunit;

namespace Forgetting.Testing;

/// <summary>Real models and data beside the repository (<c>../shared/data</c>). Tests that use them are skipped, with the reason, where it is absent.</summary>
public static class SharedData
{
    /// <summary>The folder, or null.</summary>
    public static string? Folder { get; } = Find();

    /// <summary>A file or folder below it.</summary>
    public static string Path(params string[] parts) =>
        System.IO.Path.Combine([Folder ?? throw new InvalidOperationException("no shared data"), .. parts]);

    private static string? Find()
    {
        if (Repository.Folder is not { } root)
            return null;

        string candidate = System.IO.Path.GetFullPath(System.IO.Path.Combine(root, "..", "shared", "data"));
        return Directory.Exists(candidate) ? candidate : null;
    }
}

/// <summary>A test that needs <see cref="SharedData"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SharedDataFactAttribute : FactAttribute
{
    /// <summary>Skips the test where the data is absent.</summary>
    public SharedDataFactAttribute() => Skip = SharedData.Folder is null ? "../shared/data is not beside the repository" : Skip;
}

/// <summary>A theory that needs <see cref="SharedData"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SharedDataTheoryAttribute : TheoryAttribute
{
    /// <summary>Skips the test where the data is absent.</summary>
    public SharedDataTheoryAttribute() => Skip = SharedData.Folder is null ? "../shared/data is not beside the repository" : Skip;
}

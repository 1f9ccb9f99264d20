using Xunit;

namespace Forgetting.Testing;

/// <summary>
/// Real models and data beside the repository (<c>../shared/data</c>). Tests that use them are skipped,
/// with the reason, where it is absent.
/// </summary>
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

/// <summary>Small inputs that showed faults, beside the repository (<c>../shared/cases</c>).</summary>
public static class SharedCases
{
    /// <summary>The folder, or null.</summary>
    public static string? Folder { get; } = SharedData.Folder is { } data && Directory.Exists(System.IO.Path.Combine(data, "..", "cases"))
        ? System.IO.Path.GetFullPath(System.IO.Path.Combine(data, "..", "cases"))
        : null;

    /// <summary>A file or folder below it.</summary>
    public static string Path(params string[] parts) =>
        System.IO.Path.Combine([Folder ?? throw new InvalidOperationException("no shared cases"), .. parts]);
}

/// <summary>A test that needs <see cref="SharedCases"/> and <see cref="SharedData"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SharedCaseFactAttribute : FactAttribute
{
    /// <summary>Skips the test where the inputs are absent.</summary>
    public SharedCaseFactAttribute() => Skip = SharedCases.Folder is null ? "../shared/cases is not beside the repository" : Skip;
}

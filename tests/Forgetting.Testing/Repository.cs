namespace Forgetting.Testing;

/// <summary>The checkout that the tests were built from.</summary>
public static class Repository
{
    /// <summary>Its folder, or null where the tests run away from it.</summary>
    public static string? Folder { get; } = Find();

    /// <summary>A file or folder below it.</summary>
    public static string Path(params string[] parts) =>
        System.IO.Path.Combine([Folder ?? throw new InvalidOperationException("not inside the repository"), .. parts]);

    private static string? Find()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(System.IO.Path.Combine(folder.FullName, "Forgetting.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName;
    }
}

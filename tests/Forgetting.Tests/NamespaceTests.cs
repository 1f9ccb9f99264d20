using System.Text.RegularExpressions;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests;

/// <summary>The library's rooms: a file's namespace is its folder, and no namespace needs one that needs it.</summary>
public sealed partial class NamespaceTests
{
    private static readonly string s_root = Repository.Path("src", "Forgetting");

    [Fact]
    public void A_files_namespace_is_its_folder()
    {
        foreach (SourceFile file in Sources())
        {
            string folder = Path.GetDirectoryName(Path.GetRelativePath(s_root, file.Path))!;
            Assert.Equal(("Forgetting/" + folder.Replace('\\', '/')).TrimEnd('/').Replace('/', '.'), file.Namespace);
        }
    }

    [Fact]
    public void Namespaces_form_no_cycle()
    {
        // A namespace needs another where a file names a type of it, which it can by a using or by lying within it.
        SourceFile[] files = [.. Sources()];
        ILookup<string, string> declared =
            files.SelectMany(f => f.Types.Select(t => (Type: t, f.Namespace))).Distinct().ToLookup(t => t.Type, t => t.Namespace);
        Dictionary<string, HashSet<string>> needed =
            files.Select(f => f.Namespace).Distinct().ToDictionary(n => n, _ => new HashSet<string>());
        foreach (SourceFile file in files)
        {
            needed[file.Namespace].UnionWith(
                file.Words.SelectMany(word => declared[word])
                    .Where(n => n != file.Namespace
                        && (file.Usings.Contains(n) || file.Namespace.StartsWith(n + ".", StringComparison.Ordinal))));
        }

        // What needs nothing that is left is taken away until nothing is left.
        Assert.True(needed.Count > 15 && needed["Forgetting.Runs"].Contains("Forgetting.Training"));
        while (needed.Where(n => n.Value.Count == 0).Select(n => n.Key).ToArray() is { Length: > 0 } free)
        {
            free.ToList().ForEach(n => needed.Remove(n));
            needed.Values.ToList().ForEach(n => n.ExceptWith(free));
        }

        Assert.Empty(needed.Select(n => $"{n.Key} needs {string.Join(", ", n.Value)}"));
    }

    private static IEnumerable<SourceFile> Sources() =>
        from path in Directory.EnumerateFiles(s_root, "*.cs", SearchOption.AllDirectories)
        where !Path.GetRelativePath(s_root, path).Split(Path.DirectorySeparatorChar).Any(part => part is "obj" or "bin")
        select SourceFile.Read(path);

    private sealed record SourceFile(
        string Path, string Namespace, IReadOnlySet<string> Usings, IReadOnlySet<string> Types, IReadOnlySet<string> Words)
    {
        public static SourceFile Read(string path)
        {
            string code = NoCode().Replace(File.ReadAllText(path), "\"\"");
            return new(
                path, NamespaceLine().Match(code).Groups[1].Value, Names(UsingLine(), code), Names(Declaration(), code),
                Names(Word(), UsingLine().Replace(code, "")));
        }

        private static HashSet<string> Names(Regex pattern, string code) => [.. pattern.Matches(code).Select(m => m.Groups[1].Value)];
    }

    [GeneratedRegex("\"\"\"[\\s\\S]*?\"\"\"|\\$?@?\"(?:[^\"\\\\\n]|\\\\.)*\"|//[^\n]*")]
    private static partial Regex NoCode();

    [GeneratedRegex(@"^namespace ([\w.]+);", RegexOptions.Multiline)]
    private static partial Regex NamespaceLine();

    [GeneratedRegex(@"^using (?:static )?(Forgetting[\w.]*);", RegexOptions.Multiline)]
    private static partial Regex UsingLine();

    [GeneratedRegex(
        @"^(?:(?:public|internal|static|sealed|abstract|partial|readonly|ref|unsafe) )*"
        + @"(?:class|record struct|record|struct|interface|enum|delegate \S+) ([A-Z]\w*)",
        RegexOptions.Multiline)]
    private static partial Regex Declaration();

    [GeneratedRegex(@"\b([A-Z]\w*)")]
    private static partial Regex Word();
}

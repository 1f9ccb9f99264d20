using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Files;

public sealed class AtomicTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_file_is_replaced_as_a_whole()
    {
        AtomicFile.WriteText(_folder["new", "a.txt"], "one");
        AtomicFile.WriteText(_folder["new", "a.txt"], "two");
        Assert.Equal("two", File.ReadAllText(_folder["new", "a.txt"]));
        Assert.Single(Directory.GetFileSystemEntries(_folder["new"]));
    }

    [Fact]
    public void A_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else()
    {
        string path = _folder.Write("a.txt", "old");
        Assert.Throws<InvalidOperationException>(() => AtomicFile.Write(path, stream =>
        {
            stream.WriteByte(1);
            throw new InvalidOperationException();
        }));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Single(Directory.GetFileSystemEntries(_folder.Path));
    }

    [LinuxFact]
    public void A_full_disk_is_one_line_and_leaves_nothing()
    {
        UserException file = Assert.Throws<UserException>(() => AtomicFile.Write(_folder["a.txt"], _ => FillDisk()));
        Assert.Equal($"{_folder["a.txt"]}: cannot be written: no space left on the disk", file.Message);
        UserException folder = Assert.Throws<UserException>(() => AtomicDirectory.Write(_folder["d"], "config.json", path =>
        {
            File.WriteAllText(Path.Combine(path, "config.json"), "{}");
            FillDisk();
        }));
        Assert.Equal($"{_folder["d"]}: cannot be written: no space left on the disk", folder.Message);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_folder_that_cannot_be_made_is_one_line()
    {
        string file = _folder.Write("file", "text");
        Assert.Contains(
            "cannot be written", Assert.Throws<UserException>(() => AtomicFile.WriteText(Path.Combine(file, "a"), "b")).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "is a file", Assert.Throws<UserException>(() => AtomicDirectory.Write(file, "config.json", _ => { })).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_replaces_one_of_its_kind_and_no_other()
    {
        Write("first");
        Write("second");
        Assert.Equal(["config.json", "second"], Directory.GetFiles(_folder["model"]).Select(Path.GetFileName).Order());
        Assert.Single(Directory.GetFileSystemEntries(_folder.Path));

        Directory.CreateDirectory(_folder["model", "precious"]);
        Assert.Throws<UserException>(() => Write("third"));
        Directory.Delete(_folder["model", "precious"]);
        File.Delete(_folder["model", "config.json"]);
        Assert.Throws<UserException>(() => Write("third"));
        Assert.True(File.Exists(_folder["model", "second"]));

        void Write(string name) => AtomicDirectory.Write(_folder["model"], "config.json", path =>
        {
            File.WriteAllText(Path.Combine(path, "config.json"), "{}");
            File.WriteAllText(Path.Combine(path, name), "");
        });
    }

    private static void FillDisk()
    {
        using var full = new FileStream("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        full.Write(new byte[16]);
    }

    private sealed class LinuxFactAttribute : FactAttribute
    {
        public LinuxFactAttribute() => Skip = File.Exists("/dev/full") ? null : "there is no /dev/full";
    }
}

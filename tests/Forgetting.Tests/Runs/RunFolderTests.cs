using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Runs;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Runs;

public sealed class RunFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_second_run_in_a_folder_is_refused_until_the_first_is_done()
    {
        string run = _folder["run"];
        using (RunFolder first = RunFolder.Open(run))
        {
            Assert.False(Directory.Exists(run));
            first.Hold();
            for (int i = 0; i < 2; i++)
            {
                UserException error = Assert.Throws<UserException>(() => RunFolder.Open(run));
                Assert.Equal(
                    $"{run}: another run is at work in this folder (it holds {Path.Combine(run, ".lock")}); "
                        + "wait for it or choose another folder",
                    error.Message);
            }
        }

        Assert.Empty(Directory.GetFileSystemEntries(run));
        using RunFolder second = RunFolder.Open(run);
        Assert.Throws<UserException>(() => RunFolder.Open(run));
    }

    [Fact]
    public void What_a_killed_run_was_writing_is_cleared_and_nothing_else()
    {
        string[] stale = [".model.abcdefgh.ij0.tmp/weights", "checkpoints/.step-000002.01234567.abc.tmp/state.json",
            "reference/.model.abcdefgh.ijk.tmp/x", "lwf/.fisher.safetensors.abcdefgh.ijk.tmp", ".run.yaml.abcdefgh.ijk.tmp"];
        string[] others = [".model.tmp", "notes.tmp", "seed-1/.model.abcdefgh.ijk.tmp/weights", ".cache/x", "model/config.json"];
        foreach (string file in stale.Concat(others))
        {
            _folder.Write(file, "");
        }

        // A folder had stepped aside, and the process died before the other had its place; of another both are there.
        _folder.Write(".adapter.abcdefgh.ijk.old/adapter_config.json", "kept");
        _folder.Write(".model.abcdefgh.ijk.old/config.json", "");
        using RunFolder held = RunFolder.Open(_folder.Path);
        Assert.Equal(
            others.Append("adapter/adapter_config.json").Append(".lock").Order(StringComparer.Ordinal),
            Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories)
                .Select(f => Path.GetRelativePath(_folder.Path, f))
                .Order(StringComparer.Ordinal));
        Assert.Equal("kept", File.ReadAllText(_folder["adapter", "adapter_config.json"]));
        Assert.False(Directory.Exists(_folder[".model.abcdefgh.ij0.tmp"]));
    }

    [Theory]
    [InlineData("metrics.jsonl")]
    [InlineData("summary.json")]
    [InlineData("model/config.json")]
    public void Results_that_are_not_of_a_run_stay(string name)
    {
        _folder.Write(name, "precious");
        using RunFolder folder = RunFolder.Open(_folder.Path);
        Assert.StartsWith(
            $"{_folder.Path}: holds {name.Split('/')[0]} but no run.yaml", Assert.Throws<UserException>(folder.CheckResults).Message,
            StringComparison.Ordinal);
        Assert.Equal("precious", File.ReadAllText(_folder[name]));
    }

    [Theory]
    [InlineData("metrics.jsonl")]
    [InlineData("checkpoints")]
    [InlineData(".lock")]
    public void Nothing_is_written_through_a_link(string name)
    {
        string target = _folder.Write("elsewhere/precious", "text"), run = _folder["run"];
        Directory.CreateDirectory(run);
        File.CreateSymbolicLink(Path.Combine(run, name), name == "checkpoints" ? _folder["elsewhere"] : target);
        File.WriteAllText(Path.Combine(run, "run.yaml"), "");
        UserException error = Assert.Throws<UserException>(() =>
        {
            using RunFolder folder = RunFolder.Open(run);
            folder.CheckResults();
        });
        Assert.StartsWith(
            $"{Path.Combine(run, name)}: is a symbolic link to {_folder["elsewhere"]}", error.Message, StringComparison.Ordinal);
        Assert.Equal("text", File.ReadAllText(target));
    }

    [Fact]
    public void An_output_stays_unless_it_may_be_replaced_and_is_written_by_one_command()
    {
        string file = _folder.Write("loss.jsonl", "old");
        _folder.Write(".loss.jsonl.abcdefgh.ijk.tmp", "half");
        _folder.Write(".other.jsonl.abcdefgh.ijk.tmp", "of a command at work");
        Assert.Equal(
            $"{file}: is there already; choose another name, or give --overwrite to replace it",
            Assert.Throws<UserException>(() => OutputClaim.OfFile(file, overwrite: false)).Message);
        using (OutputClaim.OfFile(file, overwrite: true))
        {
            Assert.Contains(
                "another command is writing it", Assert.Throws<UserException>(() => OutputClaim.OfFile(file, overwrite: true)).Message,
                StringComparison.Ordinal);
            OutputClaim.OfFile(_folder["new", "loss.jsonl"], overwrite: false).Dispose();
        }

        Assert.Equal(
            [".other.jsonl.abcdefgh.ijk.tmp", "loss.jsonl"],
            Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        _folder.Write("model/config.json", "");
        Assert.Contains(
            "is there already", Assert.Throws<UserException>(() => OutputClaim.OfFolder(_folder["model"], overwrite: false)).Message,
            StringComparison.Ordinal);
        OutputClaim.OfFolder(_folder["model"], overwrite: true).Dispose();
    }

    [Fact]
    public void A_demo_empties_no_folder_but_its_own()
    {
        string other = _folder.Write("seed-1/metrics.jsonl", "of a grid"), own = _folder.Write("seed-2/held-out.jsonl", "");
        UserException error = Assert.Throws<UserException>(() => Forgetting.Demo.DemoFolder.Clear(_folder["seed-1"]));
        Assert.StartsWith($"{_folder["seed-1"]}: is not of a demo", error.Message, StringComparison.Ordinal);
        Assert.Equal("of a grid", File.ReadAllText(other));
        Forgetting.Demo.DemoFolder.Clear(_folder["seed-2"]);
        Assert.False(File.Exists(own));
    }

    [Fact]
    public void Two_folders_change_names_in_one_call()
    {
        _folder.Write("a/of-a", "");
        _folder.Write("b/of-b", "");
        Assert.Equal(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), FolderExchange.Try(_folder["a"], _folder["b"]));
        if (OperatingSystem.IsLinux())
            Assert.True(File.Exists(_folder["a", "of-b"]) && File.Exists(_folder["b", "of-a"]));

        Assert.False(FolderExchange.Try(_folder["a"], _folder["missing"]));
        AtomicDirectory.StepAside(_folder["a"], _folder["b"]);
        Assert.Single(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_line_with_a_changed_bit_is_dropped_with_what_follows()
    {
        string target = _folder["samples.jsonl"];
        using (PartialFile<string> file = PartialFile<string>.Open(target, "inputs"))
        {
            file.Append(["one", "two", "three"]);
        }

        byte[] bytes = File.ReadAllBytes(target + ".partial");
        int at = bytes.AsSpan().IndexOf("two"u8);
        bytes[at] ^= 1; // uwo
        File.WriteAllBytes(target + ".partial", bytes);
        using (PartialFile<string> file = PartialFile<string>.Open(target, "inputs"))
        {
            Assert.Equal(["one"], file.Records);
            file.Append(["again"]);
        }

        using (PartialFile<string> file = PartialFile<string>.Open(target, "inputs"))
            Assert.Equal(["one", "again"], file.Records);

        File.WriteAllText(target + ".partial", "a user's notes");
        Assert.Contains(
            "is no work in progress of this program",
            Assert.Throws<UserException>(() => PartialFile<string>.Open(target, "inputs")).Message, StringComparison.Ordinal);
        Assert.Equal("a user's notes", File.ReadAllText(target + ".partial"));
    }
}

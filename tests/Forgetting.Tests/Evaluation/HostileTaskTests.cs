using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.Evaluation.Readers;
using Forgetting.IO;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>Tasks, results and documents from strangers.</summary>
public class HostileTaskTests
{
    private const string Rest =
        "\nformat: json\nfields: {question: string}\noutput_type: generate_until\ndoc_to_text: \"{{ question }}\"\ndoc_to_target: "
        + "a\nmetric_list: [exact_match]\n";

    [Theory]
    [InlineData("task: ../../../../x\nfiles: d.jsonl", "t.yaml:1: task is \"../../../../x\", which becomes part of a file's name")]
    [InlineData("task: ..\nfiles: d.jsonl", "t.yaml:1: task is \"..\"")]
    [InlineData("task: \"a\\0b\"\nfiles: d.jsonl", "t.yaml:1: task is \"a\\u0000b\"")]
    [InlineData("task: 'a\\b'\nfiles: d.jsonl", "t.yaml:1: task is")]
    [InlineData("task: a\nfiles: ../d.jsonl", "t.yaml:2: files is \"../d.jsonl\"; expected a path below the data folder, without ..")]
    [InlineData("task: a\nfiles: [b.jsonl, /etc/passwd]", "t.yaml:2: files is \"/etc/passwd\"")]
    [InlineData("task: a\nfolder: ../..\nfiles: d.jsonl", "t.yaml:2: folder is \"../..\"")]
    [InlineData("task: a\nfiles: d.jsonl\nfewshot_files: x/../../d.jsonl", "t.yaml:3: fewshot_files is")]
    [InlineData(
        "task: a\nfiles: d.jsonl\nfilter_list: [{name: n, regex: r, a: [x]}]",
        "t.yaml:3: \"a\" is no key of a filter; expected one of name, regex, group_select")]
    [InlineData("task: a\nfiles: d.jsonl\nfilter_list: [{name: n, regex: '('}]", "t.yaml:3: regex: ")]
    public void Names_never_lead_out_of_their_folder(string head, string expected)
    {
        UserException error = Assert.Throws<UserException>(() => TaskFile.Read(new StringReader(head + Rest), "t.yaml"));
        Assert.StartsWith(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_group_and_a_member_of_a_family_have_plain_names()
    {
        Assert.Throws<UserException>(() => TaskFile.Read(new StringReader("group: a/b\ntask: [boolq]"), "t.yaml"));
        UserException error = Assert.Throws<UserException>(() => new TaskLibrary().Find("mmlu_/../../x"));
        Assert.Contains("becomes part of a file's name", error.Message, StringComparison.Ordinal);
        Assert.Throws<UserException>(() => ResultsWriter.SamplesPath("out", "../x", DateTimeOffset.UnixEpoch));
    }

    [Fact]
    public void Results_of_strangers_name_tasks_not_paths()
    {
        using TemporaryFolder folder = new();
        folder.Write("results_1.json", """{"results": {"../../secret": {"acc,none": 1}}}""");
        UserException error = Assert.Throws<UserException>(() => EvaluationOutput.Read(folder.Path));
        Assert.Contains("results: a task is \"../../secret\"", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_expression_that_goes_back_and_forth_ends()
    {
        AnswerPattern pattern = new("(a+)+$", "t.yaml:3: regex");
        string text = new string('a', 60) + "b";
        Assert.StartsWith(
            "t.yaml:3: regex: the expression \"(a+)+$\" took more than 1 s",
            Assert.Throws<UserException>(() => pattern.Matches(text)).Message, StringComparison.Ordinal);
        Assert.Throws<UserException>(() => pattern.Remove(text));
    }

    [Fact]
    public void Xml_is_not_nested_beyond_measure()
    {
        using TemporaryFolder folder = new();
        string deep = string.Concat(Enumerable.Repeat("<a>", 100_000));
        folder.Write("deep.xml", $"<Root>\n{deep}");
        folder.Write("entities.xml", "<!DOCTYPE r [<!ENTITY a \"aaaaaaaa\">]>\n<r>&a;</r>");
        UserException error =
            Assert.Throws<UserException>(() => AsdivReader.Read(folder["deep.xml"], new Dictionary<string, FieldType>()).ToList());
        Assert.Equal($"{folder["deep.xml"]}: line 2: elements nested more than 20 deep, which no file of ASDiv has", error.Message);
        Assert.Throws<UserException>(() => AsdivReader.Read(folder["entities.xml"], new Dictionary<string, FieldType>()).ToList());
    }

    [Theory]
    [InlineData("", "is \"\"")]
    [InlineData("a:b", "is \"a:b\"")]
    public void Plain_names_are_checked(string name, string expected) =>
        Assert.StartsWith(
            $"x {expected}", Assert.Throws<UserException>(() => PlainName.Check(name, "x")).Message, StringComparison.Ordinal);
}

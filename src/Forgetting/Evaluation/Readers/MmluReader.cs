using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>
/// MMLU's files as its authors publish them (Hendrycks et al., arXiv 2009.03300): comma-separated values without a header, question, four
/// options and the answer's letter. A file's name is <c>SUBJECT_test.csv</c>, <c>_dev</c> or <c>_val</c>.
/// </summary>
internal static class MmluReader
{
    public static IEnumerable<TaskDocument> Read(string path, IReadOnlyDictionary<string, FieldType> fields)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        string subject = name.LastIndexOf('_') is > 0 and var end ? name[..end] : name;
        foreach ((int line, IReadOnlyList<string> record) in CsvFile.Read(path, columns: 6))
        {
            int gold = record[5].Trim() is [var letter] ? "ABCD".IndexOf(letter, StringComparison.Ordinal) : -1;
            if (gold < 0)
                throw new UserException($"{path}: line {line}: the answer is \"{record[5]}\", expected A, B, C or D");

            yield return new TaskDocument($"{path}: line {line}", new TemplateMap
            {
                ["subject"] = subject,
                ["question"] = record[0],
                ["choices"] = record.Skip(1).Take(4).ToList<object?>(),
                ["answer"] = (long)gold,
            });
        }
    }
}

using System.Xml;
using System.Xml.Linq;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>
/// ASDiv.xml as its authors publish it (Miao et al., ACL 2020): <c>Problem</c> elements with <c>Body</c>,
/// <c>Question</c> and <c>Answer</c>.
/// </summary>
internal static class AsdivReader
{
    private const int Deepest = 20;

    private static readonly XmlReaderSettings s_settings = new() { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null };

    public static IEnumerable<TaskDocument> Read(string path, IReadOnlyDictionary<string, FieldType> fields) =>
        Load(path).Descendants("Problem").Select(problem =>
        {
            string place = $"{path}: line {((IXmlLineInfo)problem).LineNumber}";
            return new TaskDocument(place, new TemplateMap
            {
                ["body"] = Child("Body"),
                ["question"] = Child("Question"),
                ["answer"] = Child("Answer"),
            });

            string Child(string name) =>
                problem.Element(name)?.Value ?? throw new UserException($"{place}: a Problem without {name}");
        });

    private static XDocument Load(string path)
    {
        try
        {
            // Going over a tree takes time with the square of its depth, building it takes stack.
            using (var parts = XmlReader.Create(path, s_settings))
            {
                while (parts.Read())
                {
                    if (parts.Depth > Deepest)
                    {
                        throw new UserException(
                            $"{path}: line {((IXmlLineInfo)parts).LineNumber}: "
                            + $"elements nested more than {Deepest} deep, which no file of ASDiv has");
                    }
                }
            }

            using var reader = XmlReader.Create(path, s_settings);
            return XDocument.Load(reader, LoadOptions.SetLineInfo);
        }
        catch (XmlException error)
        {
            throw new UserException($"{path}: line {error.LineNumber}: not XML: {error.Message}".ReplaceLineEndings(" "), error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(path, error);
        }
    }
}

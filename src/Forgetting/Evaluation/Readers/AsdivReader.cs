using System.Xml;
using System.Xml.Linq;
using Forgetting.HuggingFace.ChatTemplates;
using Forgetting.IO;

namespace Forgetting.Evaluation.Readers;

/// <summary>ASDiv.xml as its authors publish it (Miao et al., ACL 2020): <c>Problem</c> elements with <c>Body</c>, <c>Question</c> and <c>Answer</c>.</summary>
internal static class AsdivReader
{
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
            return XDocument.Load(path, LoadOptions.SetLineInfo);
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

using System.Globalization;
using Forgetting.Core;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace Forgetting.IO;

/// <summary>
/// YAML that a person wrote, or somebody who means ill: the one place that reads it. What the parser cannot read becomes one line with file
/// and line; nesting, aliases and length are bounded before anything is built, because the parser's own tree follows them without end.
/// </summary>
internal static class YamlFile
{
    private const int Longest = 1 << 20, Deepest = 20, MaxNodes = 10_000;

    /// <summary>The mapping that a YAML text is; empty for an empty text.</summary>
    /// <param name="reader">The text.</param>
    /// <param name="path">What errors call it.</param>
    /// <exception cref="UserException">It is not YAML, not a mapping, or nested, repeated or long beyond measure;
    /// file and line are named.</exception>
    public static YamlMappingNode Read(TextReader reader, string path)
    {
        string text = ReadText(reader, path);
        Check(text, path);
        var stream = new YamlStream();
        var parser = new Parser(new StringReader(text));
        try
        {
            stream.Load(parser);
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            throw Unreadable(path, parser.Current?.Start.Line ?? 1, error);
        }

        if (stream.Documents.Count == 0)
            return [];

        YamlNode root = stream.Documents[0].RootNode;
        return root as YamlMappingNode ?? throw At(path, root.Start.Line, $"found a {root.NodeType}, expected lines of \"setting: value\"");
    }

    /// <summary>The text of a mapping.</summary>
    public static string Write(YamlMappingNode mapping)
    {
        var output = new StringWriter { NewLine = "\n" };
        new YamlStream(new YamlDocument(mapping)).Save(output, assignAnchors: false);
        string yaml = output.ToString();
        int end = yaml.LastIndexOf("...", StringComparison.Ordinal);
        return end > 0 && yaml[end..].Trim() == "..." ? yaml[..end] : yaml;
    }

    private static string ReadText(TextReader reader, string path)
    {
        char[] buffer = new char[Longest + 1];
        int length = reader.ReadBlock(buffer);
        return length <= Longest
            ? new string(buffer, 0, length)
            : throw new UserException(
                string.Create(CultureInfo.InvariantCulture, $"{path}: longer than {Longest} characters, more than any recipe or task"));
    }

    /// <summary>Goes over the parser's events, which it makes without recursion.</summary>
    private static void Check(string text, string path)
    {
        var sizes = new Dictionary<AnchorName, int>(); // nodes below each anchor, aliases followed
        var open = new Stack<(AnchorName Anchor, int Before)>();
        var parser = new Parser(new StringReader(text));
        int nodes = 0;
        long line = 1;
        try
        {
            while (parser.MoveNext())
            {
                ParsingEvent current = parser.Current!;
                line = current.Start.Line;
                switch (current)
                {
                    case AnchorAlias alias:
                        nodes += sizes.TryGetValue(alias.Value, out int size)
                            ? size
                            : throw At(path, line, $"*{alias.Value} stands for nothing before it, or for what it is part of");
                        break;
                    case MappingStart or SequenceStart:
                        NodeEvent start = (NodeEvent)current;
                        open.Push((start.Anchor, nodes++));
                        if (open.Count > Deepest)
                            throw At(path, line, $"lists and mappings nested more than {Deepest} deep");

                        // An anchor means its new node from here on.
                        sizes.Remove(start.Anchor);
                        break;
                    case MappingEnd or SequenceEnd:
                        (AnchorName anchor, int before) = open.Pop();
                        Remember(anchor, nodes - before);
                        break;
                    case Scalar scalar:
                        nodes++;
                        Remember(scalar.Anchor, 1);
                        break;
                }

                if (nodes > MaxNodes)
                    throw At(path, line, $"more than {MaxNodes} values, aliases followed");
            }
        }
        catch (Exception error) when (error is not (UserException or OutOfMemoryException))
        {
            throw Unreadable(path, line, error);
        }

        void Remember(AnchorName anchor, int size)
        {
            if (!anchor.IsEmpty)
                sizes[anchor] = size;
        }
    }

    // The parser's own exceptions know their line; those that escape from its depths have nothing useful to say.
    private static UserException Unreadable(string path, long line, Exception error) => error is YamlException known
        ? new UserException(
            string.Create(CultureInfo.InvariantCulture, $"{path}:{known.Start.Line}: {known.Message.ReplaceLineEndings(" ")}"), error)
        : new UserException(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{path}:{line}: not YAML from here on; expected brackets and quotes that are closed, and escapes that exist"),
            error);

    private static UserException At(string path, long line, string what) =>
        new(string.Create(CultureInfo.InvariantCulture, $"{path}:{line}: {what}"));
}

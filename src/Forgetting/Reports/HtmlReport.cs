using System.Globalization;
using System.Reflection;
using System.Text;

namespace Forgetting.Reports;

/// <summary>
/// A self-contained page: no network, no script, readable in light and dark and when printed. Sections are added from top to bottom; the
/// page begins with a list of them, and ends with the terms it uses, to which they are links.
/// </summary>
internal sealed class HtmlReport
{
    // Fewer are seen at once.
    private const int FewestContents = 3;

    private readonly StringBuilder _body = new();
    private readonly List<string> _sections = [];
    private readonly HashSet<string> _terms = new(StringComparer.Ordinal);
    private readonly string _title;
    private readonly string _header;
    private readonly string _prefix;

    /// <summary>An empty page.</summary>
    /// <param name="title">Heading and window title.</param>
    /// <param name="lead">One or two sentences under the heading.</param>
    /// <param name="prefix">What the ids of its parts begin with, where several pages are parts of one.</param>
    public HtmlReport(string title, string lead, string prefix = "")
    {
        (_title, _prefix) = (title, prefix);
        _header = $"<header><h1>{Svg.Text(title)}</h1><p>{Linked(lead)}</p></header>";
    }

    /// <summary>Starts a section.</summary>
    public HtmlReport Section(string heading, string text = "")
    {
        _sections.Add(heading);
        _body.Append(CultureInfo.InvariantCulture, $"<h2 id=\"{_prefix}part-{_sections.Count}\">{Svg.Text(heading)}</h2>");
        return text.Length > 0 ? Paragraph(text) : this;
    }

    /// <summary>A paragraph of plain text.</summary>
    public HtmlReport Paragraph(string text)
    {
        _body.Append(CultureInfo.InvariantCulture, $"<p>{Linked(text)}</p>");
        return this;
    }

    /// <summary>Sentences, one below the other.</summary>
    public HtmlReport List(IReadOnlyList<string> sentences)
    {
        _body.Append("<ul>");
        foreach (string sentence in sentences)
        {
            _body.Append(CultureInfo.InvariantCulture, $"<li>{Linked(sentence)}</li>");
        }

        _body.Append("</ul>");
        return this;
    }

    /// <summary>A few figures in large type.</summary>
    /// <param name="tiles">The figure, what it is, and the number of its colour.</param>
    public HtmlReport Tiles(IReadOnlyList<(string Value, string Caption, int Style)> tiles)
    {
        _body.Append("<div class=\"tiles\">");
        foreach ((string value, string caption, int style) in tiles)
        {
            _body.Append(
                CultureInfo.InvariantCulture,
                $"<div class=\"tile s{style}\"><strong>{Svg.Text(value)}</strong><span>{Linked(caption)}</span></div>");
        }

        _body.Append("</div>");
        return this;
    }

    /// <summary>Fragments made by <see cref="Charts"/> or <see cref="TokenHeatMap"/>, side by side where there is room.</summary>
    public HtmlReport Figures(params string[] fragments)
    {
        _body.Append("<div class=\"figures\">");
        foreach (string fragment in fragments)
        {
            // A figure's heading is its first text; the rest has coordinates and words of the data.
            int start = fragment.IndexOf("<h3>", StringComparison.Ordinal) + 4, end = fragment.IndexOf("</h3>", StringComparison.Ordinal);
            _body.Append(
                end < 0 ? fragment : fragment[..start] + Glossary.Link(fragment[start..end], _prefix, _terms) + fragment[end..]);
        }

        _body.Append("</div>");
        return this;
    }

    /// <summary>A fragment that takes the page's whole width.</summary>
    public HtmlReport Raw(string fragment)
    {
        _body.Append(fragment);
        return this;
    }

    /// <summary>
    /// A table: the first column is text, the others are aligned as numbers. On a narrow screen every row becomes a list of its cells.
    /// </summary>
    /// <param name="header">Column heads.</param>
    /// <param name="rows">Cells as they are to be read.</param>
    /// <param name="bestOf">Cells to emphasise.</param>
    /// <param name="prose">Columns, the first ones, of running text that is to be folded.</param>
    public HtmlReport Table(
        IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows, IReadOnlySet<(int Row, int Column)>? bestOf = null,
        int prose = 0)
    {
        _body.Append("<div class=\"scroll\"><table class=\"rows\"><thead><tr>");
        for (int c = 0; c < header.Count; c++)
        {
            _body.Append(CultureInfo.InvariantCulture, $"<th{(c < prose ? " class=\"prose\"" : "")}>{Linked(header[c])}</th>");
        }

        _body.Append("</tr></thead><tbody>");
        for (int r = 0; r < rows.Count; r++)
        {
            _body.Append("<tr>");
            for (int c = 0; c < rows[r].Count; c++)
            {
                string emphasis = c < prose ? " class=\"prose\"" : bestOf?.Contains((r, c)) == true ? " class=\"best\"" : "";
                _body.Append(
                    CultureInfo.InvariantCulture, $"<td{emphasis} data-label=\"{Svg.Text(header[c])}\">{Svg.Text(rows[r][c])}</td>");
            }

            _body.Append("</tr>");
        }

        _body.Append("</tbody></table></div>");
        return this;
    }

    /// <summary>Text as it is, such as a settings file, folded away under a heading.</summary>
    public HtmlReport Folded(string heading, string text)
    {
        _body.Append(CultureInfo.InvariantCulture, $"<details><summary>{Svg.Text(heading)}</summary><pre>{Svg.Text(text)}</pre></details>");
        return this;
    }

    /// <summary>What is between the page's beginning and its end.</summary>
    internal string Body => _header + Contents() + _body + Glossary.Section(_prefix, _terms);

    /// <summary>The style sheet of pages and drawings.</summary>
    internal static string Style
    {
        get
        {
            using Stream style = Assembly.GetExecutingAssembly().GetManifestResourceStream("Forgetting.Reports.report.css")
                ?? throw new InvalidOperationException("the style sheet is not embedded");
            using var reader = new StreamReader(style);
            return reader.ReadToEnd();
        }
    }

    /// <summary>The whole page.</summary>
    public override string ToString() => Page(_title, Body);

    private string Linked(string text) => Glossary.Link(Svg.Text(text), _prefix, _terms);

    private string Contents()
    {
        if (_sections.Count < FewestContents)
            return "";

        IEnumerable<string> entries =
            _sections.Select((heading, i) => $"<li><a href=\"#{_prefix}part-{i + 1}\">{Svg.Text(heading)}</a></li>");
        string terms = _terms.Count > 0 ? $"<li><a href=\"#{_prefix}terms\">Terms</a></li>" : "";
        return $"<nav class=\"contents\" aria-label=\"Contents\"><ol>{string.Concat(entries)}{terms}</ol></nav>";
    }

    /// <summary>A page in the report's style.</summary>
    /// <param name="title">Window title.</param>
    /// <param name="body">HTML.</param>
    /// <param name="scripts">Its scripts' tags.</param>
    /// <param name="style">Styles of its own.</param>
    public static string Page(string title, string body, string scripts = "", string style = "") =>
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        + "content=\"width=device-width, initial-scale=1\">"
        + $"<title>{Svg.Text(title)}</title><style>{Style}{style}</style></head><body><main>{body}</main>{scripts}</body></html>\n";
}

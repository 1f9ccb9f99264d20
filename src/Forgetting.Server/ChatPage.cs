using System.Text;
using Forgetting.Reports;

namespace Forgetting.Server;

/// <summary>A page to talk with the served models, two of them side by side: the first, which is the base, and the last.</summary>
internal static class ChatPage
{
    /// <summary>The page.</summary>
    /// <param name="names">Names of the models.</param>
    /// <param name="needsKey">Whether the page must ask for a key.</param>
    public static string Html(IReadOnlyList<string> names, bool needsKey)
    {
        var body = new StringBuilder("<header><h1>forgetting</h1></header><div class=\"columns\">");
        AddColumn(body, names, names[0], mayBeNone: false);
        if (names.Count > 1)
            AddColumn(body, names, names[^1], mayBeNone: true);

        body.Append("</div><form id=\"ask\"><textarea id=\"question\" rows=\"2\" aria-label=\"message\" autofocus></textarea>")
            .Append("<button id=\"send\">Send</button><div class=\"settings\">")
            .Append("<label>temperature <input id=\"temperature\" type=\"number\" min=\"0\" max=\"2\" step=\"0.1\" value=\"0.7\"></label>")
            .Append("<label>tokens <input id=\"tokens\" type=\"number\" min=\"1\" value=\"256\"></label>")
            .Append("<label>seed <input id=\"seed\" type=\"number\" placeholder=\"new\"></label>");
        if (needsKey)
            body.Append("<label>key <input id=\"key\" type=\"password\" autocomplete=\"off\"></label>");

        body.Append("<button id=\"clear\" type=\"button\">Clear</button></div></form>");
        return HtmlReport.Page("forgetting", body.ToString(), "<script src=\"/chat.js\"></script>", Pages.Resource("chat.css"));
    }

    private static void AddColumn(StringBuilder body, IReadOnlyList<string> names, string chosen, bool mayBeNone)
    {
        body.Append("<div class=\"column\"><select aria-label=\"model\">");
        foreach (string name in names)
        {
            string selected = name == chosen ? " selected" : "", text = Svg.Text(name);
            body.Append($"<option value=\"{text}\"{selected}>{text}</option>");
        }

        if (mayBeNone)
            body.Append("<option value=\"\">no second model</option>");

        body.Append("</select><div class=\"log\" aria-live=\"polite\"></div></div>");
    }
}

using System.Reflection;
using System.Text;
using Forgetting.Reports;
using Microsoft.AspNetCore.Http;

namespace Forgetting.Server;

/// <summary>Pages with the report's style. Only the program's own scripts run in them, and they load nothing from elsewhere.</summary>
internal static class Pages
{
    /// <summary>A whole page.</summary>
    /// <param name="title">Window title.</param>
    /// <param name="body">HTML.</param>
    /// <param name="scripts">Its scripts' tags.</param>
    /// <param name="style">Styles of its own.</param>
    public static string Whole(string title, string body, string scripts, string style = "") =>
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        + $"content=\"width=device-width, initial-scale=1\"><title>{Svg.Text(title)}</title><style>{HtmlReport.Style}{style}</style></head>"
        + $"<body><main>{body}</main>{scripts}</body></html>\n";

    /// <summary>A file that the program carries.</summary>
    public static string Resource(string name)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"Forgetting.Server.{name}")
            ?? throw new InvalidOperationException($"{name} is not embedded");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    /// <summary>Sends a text.</summary>
    public static async Task Send(HttpResponse response, string type, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        response.ContentType = type + "; charset=utf-8";
        response.ContentLength = bytes.Length;
        response.Headers.CacheControl = "no-store";
        response.Headers.XFrameOptions = "DENY";
        response.Headers.ContentSecurityPolicy =
            "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'";
        await response.Body.WriteAsync(bytes, response.HttpContext.RequestAborted).ConfigureAwait(false);
    }
}

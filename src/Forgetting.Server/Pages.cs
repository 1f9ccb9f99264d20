using System.Reflection;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Forgetting.Server;

/// <summary>Sends pages, in which only the program's own scripts run, and which load nothing from elsewhere.</summary>
internal static class Pages
{
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

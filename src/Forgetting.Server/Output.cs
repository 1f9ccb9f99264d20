using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Forgetting.Server;

/// <summary>Writes JSON, at once or as server-sent events.</summary>
internal static class Output
{
    // Text as it is; that it may stand in a page is nobody's claim, and browsers are told not to guess.
    private static readonly JsonWriterOptions s_options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A whole answer.</summary>
    public static async Task Json(HttpResponse response, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, s_options))
        {
            write(json);
        }

        response.ContentType = "application/json; charset=utf-8";
        response.ContentLength = buffer.WrittenCount;
        await response.Body.WriteAsync(buffer.WrittenMemory, response.HttpContext.RequestAborted).ConfigureAwait(false);
    }

    /// <summary>Begins a stream of events.</summary>
    public static void BeginEvents(HttpResponse response)
    {
        response.ContentType = "text/event-stream; charset=utf-8";
        response.Headers.CacheControl = "no-cache";
    }

    /// <summary>An event with JSON.</summary>
    public static Task Event(HttpResponse response, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        buffer.Write("data: "u8);
        using (var json = new Utf8JsonWriter(buffer, s_options))
        {
            write(json);
        }

        buffer.Write("\n\n"u8);
        return Send(response, buffer.WrittenMemory);
    }

    /// <summary>The last event of a stream that came to its end.</summary>
    public static Task Done(HttpResponse response) => Send(response, "data: [DONE]\n\n"u8.ToArray());

    private static async Task Send(HttpResponse response, ReadOnlyMemory<byte> bytes)
    {
        CancellationToken gone = response.HttpContext.RequestAborted;
        await response.Body.WriteAsync(bytes, gone).ConfigureAwait(false);
        await response.Body.FlushAsync(gone).ConfigureAwait(false);
    }
}

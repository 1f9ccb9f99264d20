using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Forgetting.Server;

/// <summary>What a request is answered with where it cannot be served; written as OpenAI writes errors.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="message">One line: what was found and what was expected.</param>
/// <param name="parameter">The field of the request that is wrong, or null.</param>
/// <param name="code">A word that programs tell the error by, or null.</param>
internal sealed class ApiError(int status, string message, string? parameter = null, string? code = null) : Exception(message)
{
    /// <summary>An error of a request that is not what it should be.</summary>
    public static ApiError Bad(string message, string? parameter = null, string? code = null) =>
        new(StatusCodes.Status400BadRequest, message, parameter, code);

    /// <summary>Writes it as the whole answer.</summary>
    public async Task WriteTo(HttpResponse response)
    {
        response.StatusCode = status;
        if (status == StatusCodes.Status503ServiceUnavailable)
            response.Headers.RetryAfter = "1";

        if (status == StatusCodes.Status401Unauthorized)
            response.Headers.WWWAuthenticate = "Bearer";

        await Output.Json(response, WriteTo).ConfigureAwait(false);
    }

    /// <summary>Writes <c>{"error": {…}}</c>.</summary>
    public void WriteTo(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartObject("error");
        json.WriteString("message", Message);
        json.WriteString("type", status >= 500 ? "server_error" : "invalid_request_error");
        json.WriteString("param", parameter);
        json.WriteString("code", code);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}

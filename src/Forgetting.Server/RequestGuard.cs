using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Forgetting.Server;

/// <summary>
/// Lets in who may ask. A server for this machine alone answers only to its own names, so that a page elsewhere whose name is made to lead
/// here (DNS rebinding) gets nothing; and no page of another origin may ask from a browser unless it is named.
/// </summary>
internal sealed class RequestGuard(AccessOptions access)
{
    private readonly byte[]? _key = access.ApiKey is null ? null : SHA256.HashData(Encoding.UTF8.GetBytes(access.ApiKey));

    /// <summary>Whether the request goes on; false where it is answered already.</summary>
    /// <exception cref="ApiError">It may not.</exception>
    public bool Admit(HttpContext context)
    {
        HttpRequest request = context.Request;
        if (access.IsLocal && !IsLocalName(request.Host.Host))
        {
            throw new ApiError(
                StatusCodes.Status403Forbidden, "this server answers only to localhost, 127.0.0.1 and [::1]", code: "foreign_host");
        }

        if (request.Headers.Origin is { Count: > 0 } origins)
        {
            string origin = origins.ToString();
            bool named = access.Origins.Contains(origin);
            if (!named && origin != $"{request.Scheme}://{request.Host}")
            {
                throw new ApiError(
                    StatusCodes.Status403Forbidden, "pages of other origins may not ask; --allow-origin lets one", code: "foreign_origin");
            }

            if (named)
            {
                context.Response.Headers.AccessControlAllowOrigin = origin;
                context.Response.Headers.Vary = "Origin";
                if (HttpMethods.IsOptions(request.Method))
                {
                    context.Response.Headers.AccessControlAllowMethods = "GET, POST";
                    context.Response.Headers.AccessControlAllowHeaders = "authorization, content-type";
                    context.Response.StatusCode = StatusCodes.Status204NoContent;
                    return false;
                }
            }
        }

        if (_key is not null && request.Path.StartsWithSegments("/v1", StringComparison.Ordinal) && !HasKey(request))
        {
            throw new ApiError(
                StatusCodes.Status401Unauthorized, "Incorrect API key provided, expected Authorization: Bearer and the server's key",
                code: "invalid_api_key");
        }

        return true;
    }

    private static bool IsLocalName(string host) =>
        host is "127.0.0.1" or "[::1]" || host.Equals("localhost", StringComparison.OrdinalIgnoreCase);

    // Hashes are of one length, so that the comparison takes the same time whatever was sent.
    private bool HasKey(HttpRequest request)
    {
        const string Scheme = "Bearer ";
        string sent = request.Headers.Authorization.ToString();
        return sent.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) && CryptographicOperations.FixedTimeEquals(
            SHA256.HashData(Encoding.UTF8.GetBytes(sent[Scheme.Length..].Trim())), _key);
    }
}

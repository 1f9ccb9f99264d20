using System.Net;

namespace Forgetting.Server;

/// <summary>Who may ask.</summary>
internal sealed record AccessOptions
{
    /// <summary>Address to listen at.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>Port to listen at; 0 for any that is free.</summary>
    public int Port { get; init; }

    /// <summary>What a client must send as <c>Authorization: Bearer …</c>; null for nothing.</summary>
    public string? ApiKey { get; init; }

    /// <summary>Origins of other pages that may ask from a browser.</summary>
    public IReadOnlyList<string> Origins { get; init; } = [];

    /// <summary>Most bytes of a request's body.</summary>
    public long MaxBodyBytes { get; init; } = 8 << 20;

    /// <summary>Whether only this machine can ask.</summary>
    public bool IsLocal => IPAddress.IsLoopback(Address);
}

/// <summary>How much is answered.</summary>
internal sealed record AnswerLimits
{
    /// <summary>Most tokens of prompt and answer together.</summary>
    public required int Context { get; init; }

    /// <summary>Tokens of an answer whose request names no limit.</summary>
    public int DefaultTokens { get; init; } = 1024;

    /// <summary>Most time for a request, waiting included.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Most texts of one request: prompts times choices.</summary>
    public int Texts { get; init; } = 128;
}

using System.Globalization;

namespace Forgetting.Benchmarks;

/// <summary>Milliseconds of many things of one kind.</summary>
internal sealed record Spread(double Median, double Of95, double Of99, double Most)
{
    /// <summary>Of none, all is zero.</summary>
    public static Spread Of(IEnumerable<float> values)
    {
        float[] sorted = [.. values.Order()];
        return new Spread(Part(0.5), Part(0.95), Part(0.99), Part(1));

        double Part(double share) => sorted.Length == 0 ? 0 : Math.Round(sorted[(int)(share * (sorted.Length - 1))], 2);
    }
}

/// <summary>What the server's process had at a moment.</summary>
/// <param name="Second">Since the counted time began.</param>
/// <param name="MiB">Resident memory.</param>
internal sealed record MemorySample(double Second, double MiB);

/// <summary>What clients got from a server in the counted time.</summary>
/// <param name="TokensPerSecond">Of all clients together.</param>
/// <param name="FirstToken">Milliseconds from sending a request to the first text.</param>
/// <param name="BetweenTokens">Milliseconds from one text of an answer to the next.</param>
/// <param name="Request">Milliseconds of whole requests.</param>
/// <param name="Requests">Answered to the end.</param>
/// <param name="Left">Left by their clients before the end, as asked for.</param>
/// <param name="FirstError">What the first error said.</param>
/// <param name="LeastOfAClient">Tokens of the client that got fewest.</param>
/// <param name="MostOfAClient">Tokens of the client that got most.</param>
/// <param name="ServerProcessors">Processors that the server kept busy.</param>
/// <param name="ClientProcessors">Processors that the clients kept busy.</param>
internal sealed record LoadResult(
    int Clients, double Seconds, double TokensPerSecond, Spread FirstToken, Spread BetweenTokens, Spread Request, int Requests, int Left,
    int Errors, string? FirstError, long LeastOfAClient, long MostOfAClient, double? ServerProcessors, double ClientProcessors,
    IReadOnlyList<MemorySample> Memory)
{
    /// <inheritdoc/>
    public override string ToString()
    {
        string failed = Errors == 0 ? "no error" : $"{Errors} errors ({FirstError})";
        string memory = Memory is [.., var last] ? string.Create(CultureInfo.InvariantCulture, $", {last.MiB:0} MiB") : "";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{Clients} clients: {TokensPerSecond:0} tokens/s, first token {FirstToken.Median:0} ms (95 %: {FirstToken.Of95:0}), "
            + $"between tokens {BetweenTokens.Median:0.0} ms (95 %: {BetweenTokens.Of95:0.0}), request {Request.Median:0} ms, ")
            + $"{Requests} requests, {Left} left, {failed}{memory}";
    }
}

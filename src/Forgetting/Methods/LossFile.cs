using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;

namespace Forgetting.Methods;

/// <summary>One example of a <see cref="LossFile"/>.</summary>
internal sealed record ExampleLosses
{
    /// <summary>Position in the data set, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Token ids.</summary>
    public required int[] Ids { get; init; }

    /// <summary>Per token: 1 where it is trained on, else 0.</summary>
    public required int[] Response { get; init; }

    /// <summary>Per token: cross-entropy in nats given the tokens before it; 0 for the first.</summary>
    public required float[] Loss { get; init; }
}

/// <summary>Per-token losses as JSON Lines, an example a line.</summary>
internal static class LossFile
{
    /// <summary>Writes the file; it appears whole or not at all.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public static void Write(string path, IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]> losses) =>
        JsonLines.Write(path, examples.Select(
            (e, i) => new ExampleLosses { Index = e.Index, Ids = e.Ids, Response = ToNumbers(e.Response), Loss = losses[i] }));

    /// <summary>Reads the file.</summary>
    /// <exception cref="UserException">It cannot be read or a line is malformed; names the line.</exception>
    public static IReadOnlyList<ExampleLosses> Read(string path) => JsonLines.Read<ExampleLosses>(path);

    internal static int[] ToNumbers(bool[] flags) => Array.ConvertAll(flags, flag => flag ? 1 : 0);
}

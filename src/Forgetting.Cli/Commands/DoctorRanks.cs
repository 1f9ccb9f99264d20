using System.Globalization;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Backends.Selection;
using Forgetting.Distributed;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting doctor</c> on several ranks: what they do together, checked and timed.</summary>
internal static class DoctorRanks
{
    private const int Repeats = 5;

    /// <summary>The work of a rank.</summary>
    /// <returns>Exit code: 1 where a collective gives something wrong.</returns>
    public static int Run(string device, string? dtype, string products, bool asJson, ICommunicator ranks)
    {
        using RankDevice own = Devices.Open(device, dtype, products, ranks);
        IBackend backend = own.Backend;
        string[] places = ranks.Gather($"{Environment.MachineName}, {backend.Name}");
        IReadOnlyList<CollectiveCheck> checks = new CollectiveDoctor(ranks, own.Cards, backend, Repeats).Run();
        if (asJson)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(new { Ranks = places, Collectives = checks }, Json.Indented));
        }
        else
        {
            Terminal.PrintFacts([.. places.Select((place, rank) => ($"rank {rank}", place))]);
            Terminal.PrintTable(
                ["collective", "bytes", "", "ms", "GB/s"],
                [.. checks.Select(check => (string[])
                [
                    check.Collective, check.Bytes.ToString("N0", CultureInfo.InvariantCulture), check.Ok ? "ok" : "wrong",
                    check.Milliseconds.ToString("0.000", CultureInfo.InvariantCulture),
                    check.Bytes < 1 << 10 ? "" : check.GigabytesPerSecond.ToString("0.00", CultureInfo.InvariantCulture),
                ])]);
        }

        return checks.All(check => check.Ok) ? 0 : 1;
    }
}

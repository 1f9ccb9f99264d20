using System.Globalization;
using Forgetting.Core;

namespace Forgetting.Runs;

/// <summary>What connects cards.</summary>
/// <param name="Name">Its name, or what was given.</param>
/// <param name="Latency">Seconds until the first byte of a message is there.</param>
/// <param name="Bandwidth">Bytes a second from a card, in one direction.</param>
internal sealed record LinkSpeed(string Name, double Latency, double Bandwidth)
{
    // Four fifths of what the makers name for a card and a direction: 450 GB/s of NVLink 4, 32 of PCIe 4 ×16, 50 of InfiniBand NDR with an
    // adapter for each card, 12.5 of Ethernet at 100 Gbit/s.
    private static readonly LinkSpeed[] s_known =
    [
        new("nvlink", 3e-6, 360e9), new("pcie", 5e-6, 25e9), new("ib", 5e-6, 40e9), new("ethernet", 30e-6, 10e9),
    ];

    /// <summary>Names that <see cref="Parse"/> knows.</summary>
    public static IEnumerable<string> Names => s_known.Select(link => link.Name);

    /// <summary>Reads a name, or microseconds and GB/s as in 5:40.</summary>
    /// <exception cref="UserException">It is neither.</exception>
    public static LinkSpeed Parse(string text)
    {
        if (Array.Find(s_known, link => link.Name == text) is { } known)
            return known;

        string[] parts = text.Split(':');
        return parts.Length == 2 && Number(parts[0]) is >= 0 and var latency && Number(parts[1]) is > 0 and var bandwidth
            ? new LinkSpeed(text, latency * 1e-6, bandwidth * 1e9)
            : throw new UserException(
                $"--link: \"{text}\", expected {string.Join(", ", Names)}, or microseconds and GB/s as in 5:40");

        static double Number(string part) =>
            double.TryParse(part, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value)
                ? value : -1;
    }
}

/// <summary>Cards in machines, and what connects them.</summary>
/// <param name="Cards">All of them.</param>
/// <param name="PerMachine">Cards of a machine.</param>
/// <param name="Inner">Between the cards of a machine.</param>
/// <param name="Outer">Between machines, for each card.</param>
internal sealed record ClusterShape(int Cards, int PerMachine, LinkSpeed Inner, LinkSpeed Outer)
{
    private int Together => Math.Min(Cards, PerMachine);

    private int Machines => (Cards + PerMachine - 1) / PerMachine;

    /// <summary>
    /// Seconds of a reduce-scatter or an all-gather, a ring in each machine and one between them: of n ranks each sends (n − 1)/n of the
    /// bytes in n − 1 turns (Thakur, Rabenseifner, Gropp 2005). Between machines each card has its part of the machine's.
    /// </summary>
    /// <param name="bytes">Of all parts together.</param>
    public double Scatter(double bytes) =>
        Ring(Together, bytes, Inner) + Ring(Machines, bytes / Together, Outer);

    /// <summary>
    /// Seconds of an all-reduce: a reduce-scatter and an all-gather; or where latency decides, up and down a tree in each machine and
    /// between machines, pipelined, so that the bytes take their time once each way (Sanders, Speck, Träff 2009).
    /// </summary>
    public double AllReduce(double bytes) =>
        Math.Min(2 * Scatter(bytes), Tree(Together, bytes, Inner) + Tree(Machines, bytes / Together, Outer));

    private static double Ring(int ranks, double bytes, LinkSpeed link) =>
        (ranks - 1) * (link.Latency + (bytes / ranks / link.Bandwidth));

    private static double Tree(int ranks, double bytes, LinkSpeed link) =>
        ranks == 1 ? 0 : 2 * ((Math.Ceiling(Math.Log2(ranks)) * link.Latency) + (bytes / link.Bandwidth));
}

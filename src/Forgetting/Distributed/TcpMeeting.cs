using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Distributed;

/// <summary>
/// How ranks without MPI find each other: the first listens, at MASTER_PORT or at any port that it writes into a file; the others call it.
/// </summary>
internal static class TcpMeeting
{
    private const int Magic = 0x544B5246, HelloBytes = 4 * sizeof(int); // magic, size, rank, key
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(100);

    /// <summary>The first rank's side.</summary>
    /// <returns>The others, in order.</returns>
    /// <exception cref="UserException">The port is taken, or a rank has not come by the deadline.</exception>
    public static TcpPeer[] Receive(RankEnvironment environment, TimeSpan deadline)
    {
        using var listener = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp) { DualMode = true };
        int key = environment.Master is null ? Random.Shared.Next(1, int.MaxValue) : 0;
        try
        {
            listener.Bind(new IPEndPoint(IPAddress.IPv6Any, environment.Master?.Port ?? 0));
        }
        catch (SocketException error)
        {
            throw new UserException($"MASTER_PORT is {environment.Master?.Port}: {error.Message}; expected a free port", error);
        }

        listener.Listen(environment.Size);
        if (environment.Master is null)
            WriteFile(environment.MeetingFile, ((IPEndPoint)listener.LocalEndPoint!).Port, key);

        var peers = new TcpPeer?[environment.Size - 1];
        long began = Stopwatch.GetTimestamp();
        try
        {
            while (Array.IndexOf(peers, null) is >= 0 and var missing)
            {
                if (!listener.Poll(s_pause, SelectMode.SelectRead))
                {
                    if (Stopwatch.GetElapsedTime(began) > deadline)
                        throw new UserException($"rank {missing + 1} of {environment.Size} has not come in {deadline.TotalSeconds:0.#} s");

                    continue;
                }

                Socket socket = listener.Accept();
                int rank = Hello(socket, environment.Size, key);
                if (rank < 1 || rank >= environment.Size)
                {
                    socket.Dispose(); // somebody else
                    continue;
                }

                if (peers[rank - 1] != null)
                    throw new UserException($"two processes say that they are rank {rank} of {environment.Size}, expected one");

                socket.Send([1]);
                peers[rank - 1] = new TcpPeer(rank, socket);
            }
        }
        catch
        {
            Array.ForEach(peers, peer => peer?.Dispose());
            throw;
        }

        if (environment.Master is null)
            Temporary.Delete(environment.MeetingFile);

        return peers!;
    }

    /// <summary>The side of the others.</summary>
    /// <exception cref="UserException">The first rank is not there by the deadline.</exception>
    public static TcpPeer Reach(RankEnvironment environment, TimeSpan deadline)
    {
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < deadline)
        {
            (IReadOnlyList<string> hosts, int port, int key) =
                environment.Master is { } master ? ([master.Host], master.Port, 0) : ReadFile(environment.MeetingFile);
            foreach (string host in hosts)
            {
                if (Call(host, port, environment, key) is { } socket)
                    return new TcpPeer(0, socket);
            }

            Thread.Sleep(s_pause);
        }

        string where = environment.Master is { } named ? $"{named.Host}:{named.Port}" : $"the place that {environment.MeetingFile} names";
        throw new UserException($"rank 0 is not at {where} after {deadline.TotalSeconds:0.#} s");
    }

    private static Socket? Call(string host, int port, RankEnvironment environment, int key)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Connect(host, port);
            var hello = new byte[HelloBytes];
            foreach ((int i, int value) in new[] { Magic, environment.Size, environment.Rank, key }.Index())
            {
                BinaryPrimitives.WriteInt32LittleEndian(hello.AsSpan(i * sizeof(int)), value);
            }

            socket.Send(hello);
            if (TcpPeer.Read(socket, new byte[1]))
                return socket;
        }
        catch (SocketException)
        {
            // Not there yet.
        }

        socket.Dispose();
        return null;
    }

    // The caller's rank; 0 where it is none of these.
    private static int Hello(Socket socket, int size, int key)
    {
        var hello = new byte[HelloBytes];
        socket.ReceiveTimeout = 5000;
        try
        {
            if (!TcpPeer.Read(socket, hello))
                return 0;
        }
        catch (SocketException)
        {
            return 0;
        }

        socket.ReceiveTimeout = 0;
        int At(int i) => BinaryPrimitives.ReadInt32LittleEndian(hello.AsSpan(i * sizeof(int)));
        return At(0) == Magic && At(1) == size && At(3) == key ? At(2) : 0;
    }

    // Key, port, and all addresses of this machine, the local one last.
    private static void WriteFile(string path, int port, int key)
    {
        IEnumerable<string> addresses = NetworkInterface.GetAllNetworkInterfaces()
            .Where(one => one.OperationalStatus == OperationalStatus.Up)
            .SelectMany(one => one.GetIPProperties().UnicastAddresses).Select(one => one.Address)
            .OrderBy(address => IPAddress.IsLoopback(address) ? 1 : 0).Select(address => address.ToString());
        string[] lines = [key.ToString(CultureInfo.InvariantCulture), port.ToString(CultureInfo.InvariantCulture), .. addresses];
        AtomicFile.Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(string.Join('\n', lines))));
    }

    private static (IReadOnlyList<string> Hosts, int Port, int Key) ReadFile(string path)
    {
        try
        {
            string[] lines = File.ReadAllLines(path);
            return lines.Length > 2 && int.TryParse(lines[0], out int key) && int.TryParse(lines[1], out int port)
                ? (lines[2..], port, key)
                : ([], 0, 0);
        }
        catch (IOException)
        {
            return ([], 0, 0); // not there yet
        }
    }
}

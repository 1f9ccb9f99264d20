using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net.Sockets;

namespace Forgetting.Cli;

/// <summary>
/// Hears of the ends of ranks that this process started: each holds a connection for as long as it lives, and says its exit code before it
/// ends. What launchers say of ranks that were killed does not always name the first.
/// </summary>
internal sealed class RankWatch : IDisposable
{
    /// <summary>Environment variable with the place at which ranks call.</summary>
    public const string Variable = "FORGETTING_RANK_SOCKET";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly string _folder = Directory.CreateTempSubdirectory("forgetting-").FullName;
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly ConcurrentQueue<(int Rank, int? ExitCode)> _ended = [];
    private int _there;

    /// <summary>Begins to listen.</summary>
    public RankWatch()
    {
        _listener.Bind(new UnixDomainSocketEndPoint(Address));
        _listener.Listen(4096);
        _ = Accept();
    }

    /// <summary>Where ranks call.</summary>
    public string Address => Path.Combine(_folder, "ranks");

    /// <summary>Where ranks without MPI find each other.</summary>
    public string MeetingFile => Path.Combine(_folder, "meeting");

    /// <summary>The rank's side: calls, where this process was started so.</summary>
    /// <returns>The connection, to be held; null where nobody listens.</returns>
    public static Socket? Call(int rank)
    {
        if (Environment.GetEnvironmentVariable(Variable) is not { Length: > 0 } address)
            return null;

        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(address));
        Say(socket, rank);
        return socket;
    }

    /// <summary>The rank's side: says a number, first its own, last the exit code.</summary>
    public static void Say(Socket? socket, int number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, number);
        socket?.Send(bytes);
    }

    /// <summary>
    /// Once the launcher of so many ranks has ended: what they said, and the first that went without a word; each null for none.
    /// </summary>
    public (int? ExitCode, int? Lost) Ends(int ranks)
    {
        // The system may still be about to tell the end of the last.
        SpinWait.SpinUntil(() => _ended.Count >= Volatile.Read(ref _there), s_patience);
        int? exit = null, lost = null;
        foreach ((int rank, int? code) in _ended)
        {
            exit ??= code == 0 ? null : code;
            lost ??= code is null ? rank : null;
        }

        // One that never came was gone before those that were ended for it; of several nobody knows which.
        int[] absent = [.. Enumerable.Range(0, ranks).Except(_ended.Select(end => end.Rank))];
        return (exit, absent.Length == 0 ? lost : absent.Length == 1 ? absent[0] : null);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _listener.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task Accept()
    {
        try
        {
            while (true)
            {
                Socket rank = await _listener.AcceptAsync().ConfigureAwait(false);
                Interlocked.Increment(ref _there);
                _ = Follow(rank);
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // Nobody is waited for any more.
        }
    }

    private async Task Follow(Socket socket)
    {
        var said = new byte[2 * sizeof(int)];
        int count = 0;
        try
        {
            using (socket)
            {
                int more;
                do
                {
                    more = await socket.ReceiveAsync(said.AsMemory(count)).ConfigureAwait(false);
                    count += more;
                }
                while (more > 0 && count < said.Length);
            }
        }
        catch (SocketException)
        {
            // A process that was killed.
        }

        if (count >= sizeof(int))
        {
            _ended.Enqueue((
                BinaryPrimitives.ReadInt32LittleEndian(said),
                count == said.Length ? BinaryPrimitives.ReadInt32LittleEndian(said.AsSpan(sizeof(int))) : null));
        }
    }
}

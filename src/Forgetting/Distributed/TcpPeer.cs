using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Sockets;

namespace Forgetting.Distributed;

/// <summary>What a message over TCP is.</summary>
internal enum TcpMessage : byte
{
    /// <summary>Part of what the ranks do together.</summary>
    Data = 1,

    /// <summary>A sign of life.</summary>
    Alive = 2,

    /// <summary>The sender ends: exit code and line.</summary>
    Failure = 3,
}

/// <summary>
/// The connection to another rank: messages of a byte for the kind, four for the length, and the content. A thread reads them as they come,
/// so that no rank waits for another to listen.
/// </summary>
internal sealed class TcpPeer : IDisposable
{
    private readonly Socket _socket;
    private readonly Lock _sending = new();
    private readonly BlockingCollection<byte[]> _data = [];
    private long _heard = Stopwatch.GetTimestamp();

    /// <summary>Takes over a connection.</summary>
    public TcpPeer(int rank, Socket socket)
    {
        (Rank, _socket) = (rank, socket);
        socket.NoDelay = true;
        new Thread(Listen) { IsBackground = true, Name = $"rank {rank}" }.Start();
    }

    /// <summary>The other rank.</summary>
    public int Rank { get; }

    /// <summary>What it said when it ended: exit code and line; null while it has not.</summary>
    public byte[]? Failure { get; private set; }

    /// <summary>Whether the connection has ended.</summary>
    public bool IsGone { get; private set; }

    /// <summary>Since when nothing has come.</summary>
    public TimeSpan Silence => Stopwatch.GetElapsedTime(Interlocked.Read(ref _heard));

    /// <summary>Takes the next message of data, where one comes within the time.</summary>
    public byte[]? Take(TimeSpan wait) => _data.TryTake(out byte[]? message, wait) ? message : null;

    /// <summary>Sends a message. Where the connection has ended that is found out by who waits for an answer.</summary>
    public void Send(TcpMessage kind, ReadOnlySpan<byte> content)
    {
        Span<byte> head = stackalloc byte[5];
        head[0] = (byte)kind;
        BinaryPrimitives.WriteInt32LittleEndian(head[1..], content.Length);
        try
        {
            lock (_sending)
            {
                SendAll(head);
                SendAll(content);
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            IsGone = true;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _socket.Dispose();
        _data.Dispose();
    }

    /// <summary>Reads just so many bytes.</summary>
    /// <returns>False where the connection ended before.</returns>
    internal static bool Read(Socket socket, Span<byte> into)
    {
        while (into.Length > 0)
        {
            int count = socket.Receive(into);
            if (count == 0)
                return false;

            into = into[count..];
        }

        return true;
    }

    private void SendAll(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            bytes = bytes[_socket.Send(bytes)..];
        }
    }

    private void Listen()
    {
        var head = new byte[5];
        try
        {
            while (Read(_socket, head))
            {
                var content = new byte[BinaryPrimitives.ReadInt32LittleEndian(head.AsSpan(1))];
                if (!Read(_socket, content))
                    break;

                Interlocked.Exchange(ref _heard, Stopwatch.GetTimestamp());
                switch ((TcpMessage)head[0])
                {
                    case TcpMessage.Data:
                        _data.Add(content);
                        break;
                    case TcpMessage.Failure:
                        Failure = content;
                        break;
                }
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException or InvalidOperationException)
        {
            // It has ended, or this rank has.
        }

        IsGone = true;
    }
}

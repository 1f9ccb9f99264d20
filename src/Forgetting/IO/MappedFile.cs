using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// A read-only file of which parts are mapped into memory while they are looked at, so that reading a checkpoint never holds more
/// of it than the part being converted.
/// </summary>
internal sealed class MappedFile : IDisposable
{
    private readonly MemoryMappedFile _mapping;

    private MappedFile(string path, long length, MemoryMappedFile mapping)
    {
        Path = path;
        Length = length;
        _mapping = mapping;
    }

    /// <summary>Path as given.</summary>
    public string Path { get; }

    /// <summary>Bytes.</summary>
    public long Length { get; }

    /// <summary>Opens a file that is not empty.</summary>
    /// <exception cref="UserException">Missing, empty or not readable.</exception>
    public static MappedFile Open(string path)
    {
        try
        {
            var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            long length = stream.Length;
            if (length == 0)
            {
                stream.Dispose();
                throw new UserException($"{path}: is empty");
            }

            return new MappedFile(path, length, MemoryMappedFile.CreateFromFile(
                stream, mapName: null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(path, error);
        }
    }

    /// <summary>Maps a part; dispose the view soon.</summary>
    public MappedView Map(long offset, long bytes) =>
        new(bytes == 0 ? null : _mapping.CreateViewAccessor(offset, bytes, MemoryMappedFileAccess.Read), bytes);

    /// <inheritdoc/>
    public void Dispose() => _mapping.Dispose();
}

/// <summary>A mapped part of a <see cref="MappedFile"/>, or bytes that were put together from it.</summary>
internal sealed unsafe class MappedView : IDisposable
{
    private readonly MemoryMappedViewAccessor? _accessor;
    private readonly byte* _pointer;
    private GCHandle _pinned;

    internal MappedView(MemoryMappedViewAccessor? accessor, long length)
    {
        _accessor = accessor;
        Length = length;
        accessor?.SafeMemoryMappedViewHandle.AcquirePointer(ref _pointer);
        _pointer += accessor?.PointerOffset ?? 0;
    }

    /// <summary>Bytes in memory.</summary>
    public MappedView(byte[] bytes)
    {
        _pinned = GCHandle.Alloc(bytes, GCHandleType.Pinned);
        _pointer = (byte*)_pinned.AddrOfPinnedObject();
        Length = bytes.Length;
    }

    /// <summary>Bytes.</summary>
    public long Length { get; }

    /// <summary>A part as a span, valid until disposal.</summary>
    public ReadOnlySpan<byte> Span(long offset, int bytes) =>
        offset >= 0 && bytes >= 0 && offset + bytes <= Length
            ? new ReadOnlySpan<byte>(_pointer + offset, bytes)
            : throw new ArgumentOutOfRangeException(nameof(offset));

    /// <summary>All of it, where it has fewer than 2³¹ bytes.</summary>
    public ReadOnlySpan<byte> Bytes => Span(0, checked((int)Length));

    /// <inheritdoc/>
    public void Dispose()
    {
        _accessor?.SafeMemoryMappedViewHandle.ReleasePointer();
        _accessor?.Dispose();
        if (_pinned.IsAllocated)
            _pinned.Free();
    }
}

using System.Runtime.InteropServices;

namespace Forgetting.Distributed;

/// <summary>Memory that grows and does not move while it is large enough.</summary>
internal unsafe struct NativeBuffer
{
    private nint _memory;
    private long _bytes;

    /// <summary>The beginning; contents are kept only where the memory is large enough.</summary>
    public Span<T> Span<T>(int count)
        where T : unmanaged
    {
        long bytes = Math.Max((long)count * sizeof(T), sizeof(long));
        if (bytes > _bytes)
        {
            NativeMemory.Free((void*)_memory);
            _memory = (nint)NativeMemory.Alloc((nuint)bytes);
            _bytes = bytes;
        }

        return new Span<T>((void*)_memory, count);
    }

    /// <summary>Address of an element.</summary>
    public readonly nint At<T>(int index)
        where T : unmanaged => _memory + (index * (nint)sizeof(T));

    /// <summary>Gives the memory back.</summary>
    public void Free()
    {
        NativeMemory.Free((void*)_memory);
        (_memory, _bytes) = (0, 0);
    }
}

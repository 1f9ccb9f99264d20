using System.Runtime.InteropServices;
using Forgetting.Backends.Contracts;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    private readonly Workspace _workspace = new();
    private readonly Workspace _packing = new();

    /// <inheritdoc/>
    public MemoryUse Use { get; } = new();

    /// <inheritdoc/>
    public long TotalBytes => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <inheritdoc/>
    public DeviceBuffer Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        nint pointer;
        try
        {
            pointer = (nint)HostHeap.Allocate((nuint)Math.Max(bytes, 1));
        }
        catch (OutOfMemoryException exception)
        {
            long free = TotalBytes - Use.Allocated;
            throw new DeviceMemoryException(
                $"not enough memory: asked for {bytes >> 20} MiB with {Use.Allocated >> 20} MiB in use and about "
                + $"{Math.Max(free, 0) >> 20} MiB free; lower the batch size or the context",
                exception);
        }

        Use.Add(bytes);
        return new DeviceBuffer(this, pointer, bytes);
    }

    /// <inheritdoc/>
    public void Free(DeviceBuffer buffer)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        _weights.Freed(buffer.Pointer, buffer.Bytes);
        NativeMemory.AlignedFree((void*)buffer.Pointer);
        Use.Remove(buffer.Bytes);
    }

    /// <inheritdoc/>
    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
        where T : unmanaged
    {
        Contract.Transfer(source, destination);
        source.CopyTo(new Span<T>(Output(destination), source.Length));
    }

    /// <inheritdoc/>
    public void Download<T>(Tensor source, Span<T> destination)
        where T : unmanaged
    {
        Contract.Transfer<T>(destination, source);
        new ReadOnlySpan<T>((void*)source.Pointer, destination.Length).CopyTo(destination);
    }

    /// <inheritdoc/>
    public void Copy(Tensor source, Tensor destination)
    {
        Contract.Copy(source, destination);
        switch (source.DType, destination.DType)
        {
            case (DType.Float32, DType.BFloat16):
                ForEach(new Narrow(Floats(source), (ushort*)Output(destination)), source.Count);
                break;
            case (DType.BFloat16, DType.Float32):
                ForEach(new Widen((ushort*)source.Pointer, Output(destination)), source.Count);
                break;
            case (DType.NormalFloat4, DType.Float32):
                Dequantize(source, new WeightPart(0, source.Rows, source.Columns, source.Columns), Output(destination));
                break;
            default:
                _pool.Run(
                    new CopyBytes((byte*)source.Pointer, (byte*)Output(destination), source.Bytes), Blocks(source.Bytes, CopyBytes.Block));
                break;
        }
    }

    /// <inheritdoc/>
    public void Fill(Tensor destination, float value)
    {
        Contract.Fill(destination);
        if (destination.DType == DType.BFloat16)
        {
            _pool.Run(
                new FillValues<ushort>((ushort*)Output(destination), destination.Count, BFloat16Of(value)),
                FillValues<ushort>.Tasks(destination.Count));
            return;
        }

        _pool.Run(new FillValues<float>(Output(destination), destination.Count, value), FillValues<float>.Tasks(destination.Count));
    }

    private static ushort BFloat16Of(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private readonly struct Narrow(float* source, ushort* destination) : IElementwise
    {
        public void Apply(long i, int lanes)
        {
            for (int j = 0; j < lanes; j++)
            {
                destination[i + j] = BFloat16Of(source[i + j]);
            }
        }
    }

    private readonly struct Widen(ushort* source, float* destination) : IElementwise
    {
        public void Apply(long i, int lanes)
        {
            for (int j = 0; j < lanes; j++)
            {
                destination[i + j] = BitConverter.UInt32BitsToSingle((uint)source[i + j] << 16);
            }
        }
    }

    private readonly struct CopyBytes(byte* source, byte* destination, long bytes) : IJob
    {
        public const int Block = 1 << 18;

        public void Run(int index, byte* scratch)
        {
            long start = (long)index * Block;
            Buffer.MemoryCopy(source + start, destination + start, Block, Math.Min(Block, bytes - start));
        }
    }

    private readonly struct FillValues<T>(T* destination, long count, T value) : IJob
        where T : unmanaged
    {
        private const int Block = 1 << 16;

        public static int Tasks(long count) => Blocks(count, Block);

        public void Run(int index, byte* scratch)
        {
            long start = (long)index * Block;
            new Span<T>(destination + start, (int)Math.Min(Block, count - start)).Fill(value);
        }
    }

    /// <summary>Memory that operations need for their own bookkeeping; it grows to the largest demand and stays.</summary>
    private sealed class Workspace : IDisposable
    {
        private void* _memory;
        private nuint _bytes;

        public T* Take<T>(long count)
            where T : unmanaged
        {
            nuint bytes = (nuint)(count * sizeof(T));
            if (bytes > _bytes)
            {
                Dispose();
                _memory = HostHeap.Allocate(bytes);
                _bytes = bytes;
            }

            return (T*)_memory;
        }

        public void Dispose()
        {
            NativeMemory.AlignedFree(_memory);
            _memory = null;
            _bytes = 0;
        }
    }
}

using Forgetting.Backends.Contracts;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    private nint _scratch;
    private long _scratchBytes;

    /// <inheritdoc/>
    public MemoryUse Use { get; } = new();

    /// <inheritdoc/>
    public long TotalBytes => _device.TotalBytes;

    /// <inheritdoc/>
    public DeviceBuffer Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        nint pointer = _device.Allocate(Math.Max(bytes, 1), Use.Allocated);
        Use.Add(bytes);
        return new DeviceBuffer(this, pointer, bytes);
    }

    /// <inheritdoc/>
    public void Free(DeviceBuffer buffer)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        _graphs.Clear();
        _device.Free(buffer.Pointer);
        Use.Remove(buffer.Bytes);
    }

    /// <inheritdoc/>
    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
        where T : unmanaged
    {
        Contract.Transfer(source, destination);
        if (_graphs.Recording)
        {
            // The driver would record the copy, and replay it from staging memory that holds something else by then.
            throw new InvalidOperationException("an upload cannot be part of what is repeated");
        }

        fixed (T* pointer = source)
        {
            _staging.Upload((byte*)pointer, destination.Pointer, destination.Bytes);
        }
    }

    /// <inheritdoc/>
    public void Download<T>(Tensor source, Span<T> destination)
        where T : unmanaged
    {
        Contract.Transfer<T>(destination, source);
        if (source.Count > 0)
        {
            fixed (T* pointer = destination)
            {
                _device.CopyToHost(source.Pointer, (nint)pointer, source.Bytes);
            }
        }
    }

    /// <inheritdoc/>
    public void Copy(Tensor source, Tensor destination)
    {
        Contract.Copy(source, destination);
        switch (source.DType, destination.DType)
        {
            case (DType.Float32, DType.BFloat16):
                LaunchFlat("cast_f32", "bf16", source.Count, 4, source, destination, source.Count);
                break;
            case (DType.BFloat16, DType.Float32):
                LaunchFlat("cast_bf16", "f32", source.Count, 4, source, destination, source.Count);
                break;
            case (DType.NormalFloat4, DType.Float32):
                Dequantize(source, 0, destination);
                break;
            default:
                if (source.Count > 0)
                    _device.CopyOnDevice(source.Pointer, destination.Pointer, source.Bytes);

                break;
        }
    }

    /// <inheritdoc/>
    public void Fill(Tensor destination, float value) =>
        LaunchFlat("fill", Suffix(destination.DType), destination.Count, Wide(destination.DType), destination, value, destination.Count);

    /// <summary>
    /// Memory for what a launch leaves to the next one. Everything runs on one stream, so one block serves all: it
    /// grows to the largest demand and stays.
    /// </summary>
    private nint Scratch(long bytes)
    {
        if (bytes > _scratchBytes)
        {
            // Freeing waits for the launches that still use it.
            ReleaseScratch();
            long rounded = ScratchBytes(bytes);
            _scratch = _device.Allocate(rounded, Use.Allocated);
            _scratchBytes = rounded;
            Use.Add(rounded);
        }

        return _scratch;
    }

    /// <summary>What <see cref="Scratch"/> takes for so many bytes.</summary>
    internal static long ScratchBytes(long bytes) => Math.Max(bytes + (bytes / 2), 1 << 16);

    /// <summary>Gives the memory of intermediate results back: the next operation gets memory that nobody has written.</summary>
    internal void ReleaseScratch()
    {
        if (_scratch != 0)
        {
            _graphs.Clear();
            _device.Free(_scratch);
            Use.Remove(_scratchBytes);
            _scratch = 0;
            _scratchBytes = 0;
        }
    }
}

using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// Graphs recorded from streams, and what the emulation refuses meanwhile, as the driver does (CUDA programming guide, "Stream Capture").
/// </summary>
[Collection("emulation")]
public sealed class CaptureTests(EmulationFixture emulation)
{
    private readonly EmulationFixture _emulation = emulation;

    [EmulationFact]
    public void A_graph_repeats_its_work_with_the_arguments_it_was_given()
    {
        _emulation.Begin();
        using CudaStream stream = new(), side = new();
        using CudaEvent fork = new(), join = new();
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(1f, 2f, 3f), y = EmulationFixture.Upload(0f, 0f, 0f),
            z = EmulationFixture.Upload(0f, 0f, 0f);
        CudaKernel axpy = _emulation.Kernel("axpy", 32);
        Recording.Begin(stream, CUstreamCaptureMode.Global);
        axpy.RunAsync(stream.Stream, 2f, x.DevicePointer, y.DevicePointer, 3);
        fork.Record(stream.Stream);
        side.WaitEvent(fork.Event);
        axpy.RunAsync(side.Stream, 1f, y.DevicePointer, z.DevicePointer, 3);
        join.Record(side.Stream);
        stream.WaitEvent(join.Event);
        using var graph = Recording.End(stream);
        Assert.Equal([0f, 0f, 0f], EmulationFixture.Download(y));
        graph.Launch(stream);
        graph.Launch(stream);
        stream.Synchronize();
        Assert.Equal([4f, 8f, 12f], EmulationFixture.Download(y));
        Assert.Equal([6f, 12f, 18f], EmulationFixture.Download(z));
    }

    [EmulationFact]
    public void Calls_that_wait_allocate_or_load_end_a_capture()
    {
        _emulation.Begin();
        using var stream = new CudaStream(CUStreamFlags.NonBlocking);
        using CudaEvent recorded = new(), before = new();
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(1f);
        var host = new float[1];
        before.Record(stream.Stream);
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, stream.Synchronize);
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, () => stream.Query());
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, _emulation.Context.Synchronize);
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, () => before.Query());
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, () => x.CopyToHost(host));
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, () => x.CopyToDevice(host));
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, () => new CudaDeviceVariable<float>(1).Dispose());
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, () => new CudaPageLockedHostMemory<float>(1).Dispose());
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, () => _emulation.Context.LoadModule(Emulation.BrokenKernels));
        Refused(stream, CUResult.ErrorStreamCaptureUnsupported, () => CopyFromPageableMemory(x, host, stream));
        Refused(stream, CUResult.ErrorCapturedEvent, () =>
        {
            recorded.Record(stream.Stream);
            recorded.Synchronize();
        });
    }

    [EmulationFact]
    public void The_default_stream_is_refused_while_a_stream_ordered_with_it_captures()
    {
        _emulation.Begin();
        using CudaStream ordered = new(), apart = new(CUStreamFlags.NonBlocking);
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(1f), y = EmulationFixture.Upload(1f);
        CudaKernel axpy = _emulation.Kernel("axpy", 32);
        Refused(
            ordered, CUResult.ErrorStreamCaptureImplicit,
            () => axpy.RunAsync(CUstream.NullStream, 1f, x.DevicePointer, y.DevicePointer, 1));
        Recording.Begin(apart, CUstreamCaptureMode.Global);
        axpy.RunAsync(CUstream.NullStream, 1f, x.DevicePointer, y.DevicePointer, 1);
        Recording.End(apart).Dispose();
        Assert.Equal([3f], EmulationFixture.Download(y));
    }

    [EmulationFact]
    public void After_a_refused_call_nothing_more_is_recorded()
    {
        _emulation.Begin();
        using var stream = new CudaStream();
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(1f);
        Recording.Begin(stream, CUstreamCaptureMode.Global);
        Assert.Throws<CudaException>(stream.Synchronize);
        CudaException more = Assert.Throws<CudaException>(() => x.MemsetAsync(0, stream.Stream));
        Assert.Equal(CUResult.ErrorStreamCaptureInvalidated, more.CudaError);
        Assert.Equal(CUResult.ErrorStreamCaptureInvalidated, Assert.Throws<CudaException>(() => Recording.End(stream)).CudaError);
    }

    [EmulationFact]
    public void Work_of_another_stream_must_be_joined()
    {
        _emulation.Begin();
        using CudaStream stream = new(), side = new();
        using CudaEvent fork = new();
        using CudaDeviceVariable<float> x = EmulationFixture.Upload(1f);
        Recording.Begin(stream, CUstreamCaptureMode.Global);
        fork.Record(stream.Stream);
        side.WaitEvent(fork.Event);
        x.MemsetAsync(0, side.Stream);
        Assert.Equal(CUResult.ErrorStreamCaptureUnjoined, Assert.Throws<CudaException>(() => Recording.End(stream)).CudaError);
        side.Synchronize();
    }

    [EmulationFact]
    public void A_local_capture_binds_its_own_thread_only()
    {
        _emulation.Begin();
        using var stream = new CudaStream(CUStreamFlags.NonBlocking);
        Recording.Begin(stream, CUstreamCaptureMode.Local);
        CUResult wrong = CUResult.Success;
        var other = new Thread(() =>
        {
            _emulation.Begin();
            new CudaDeviceVariable<float>(1).Dispose();
            CUgraph graph = default;
            wrong = DriverAPINativeMethods.Streams.cuStreamEndCapture(stream.Stream, ref graph);
        });
        other.Start();
        other.Join();
        Assert.Equal(CUResult.ErrorStreamCaptureWrongThread, wrong);
        Recording.End(stream).Dispose();

        Recording.Begin(stream, CUstreamCaptureMode.Relaxed);
        new CudaDeviceVariable<float>(1).Dispose();
        Recording.End(stream).Dispose();
    }

    [EmulationFact]
    public void A_product_needs_the_workspace_it_was_given()
    {
        _emulation.Begin();
        using var stream = new CudaStream();
        using var blas = new Products { Library = { Stream = stream.Stream } };
        using CudaDeviceVariable<float> a = EmulationFixture.Upload(2f), c = new(1);
        var workspace = new CudaDeviceVariable<byte>(1 << 20);
        Assert.Equal(
            CublasStatus.Success,
            CudaBlasNativeMethods.cublasSetWorkspace_v2(blas.Library.CublasHandle, workspace.DevicePointer, workspace.SizeInBytes));
        Multiply(blas, a, c);
        Assert.Equal([4f], EmulationFixture.Download(c));
        workspace.Dispose();
        Assert.Contains("workspace", Assert.Throws<CudaBlasException>(() => Multiply(blas, a, c)).Message, StringComparison.Ordinal);
        blas.Library.Stream = stream.Stream; // which gives the library its own workspace back
        Multiply(blas, a, c);
    }

    private static void Multiply(Products blas, CudaDeviceVariable<float> a, CudaDeviceVariable<float> c) => blas.Multiply(
        false, false, 1, 1, 1, 1f, a.DevicePointer, 1, a.DevicePointer, 1, 0f, c.DevicePointer, 1);

    // The call fails with this error while the stream captures, and the capture fails with it; afterwards the call is allowed again.
    private static void Refused(CudaStream stream, CUResult expected, Action call)
    {
        Recording.Begin(stream, CUstreamCaptureMode.Global);
        CUResult refused = Assert.Throws<CudaException>(call).CudaError;
        CUResult ended = Assert.Throws<CudaException>(() => Recording.End(stream)).CudaError;
        Assert.Equal((expected, CUResult.ErrorStreamCaptureInvalidated), (refused, ended));
        call();
    }

    private static unsafe void CopyFromPageableMemory(CudaDeviceVariable<float> destination, float[] source, CudaStream stream)
    {
        fixed (float* pointer = source)
        {
            Recording.Check(DriverAPINativeMethods.AsynchronousMemcpy_v2.cuMemcpyHtoDAsync_v2(
                destination.DevicePointer, (nint)pointer, sizeof(float), stream.Stream));
        }
    }
}

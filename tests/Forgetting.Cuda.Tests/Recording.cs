namespace Forgetting.Cuda.Tests;

/// <summary>Work of a stream recorded as a graph, by the functions of the driver: not all bindings have classes for it.</summary>
internal sealed class Recording : IDisposable
{
    private readonly CUgraphExec _graph;

    private Recording(CUgraphExec graph) => _graph = graph;

    public static void Begin(CudaStream stream, CUstreamCaptureMode mode) =>
        Check(DriverAPINativeMethods.Streams.cuStreamBeginCapture(stream.Stream, mode));

    public static Recording End(CudaStream stream)
    {
        CUgraph graph = default;
        Check(DriverAPINativeMethods.Streams.cuStreamEndCapture(stream.Stream, ref graph));
        CUgraphExec executable = default;
        Check(DriverAPINativeMethods.GraphManagment.cuGraphInstantiate(ref executable, graph, CUgraphInstantiate_flags.None));
        Check(DriverAPINativeMethods.GraphManagment.cuGraphDestroy(graph));
        return new Recording(executable);
    }

    public static void Check(CUResult result)
    {
        if (result != CUResult.Success)
            throw CudaFailure.Of(result, "a call of the driver");
    }

    public void Launch(CudaStream stream) => Check(DriverAPINativeMethods.GraphManagment.cuGraphLaunch(_graph, stream.Stream));

    public void Dispose() => Check(DriverAPINativeMethods.GraphManagment.cuGraphExecDestroy(_graph));
}

using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>Work recorded by <see cref="CudaStream.BeginCapture"/>.</summary>
public sealed class CudaGraph : IDisposable
{
    private readonly OwnedHandle _handle;

    internal CudaGraph(CUgraph graph) =>
        _handle = new OwnedHandle(graph.Pointer, static handle => GraphManagment.cuGraphDestroy(new CUgraph(handle)));

    /// <summary>The driver's graph.</summary>
    public CUgraph Graph => new(_handle.Value);

    /// <summary>Makes the graph executable.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public CudaGraphExec Instantiate(CUgraphInstantiate_flags flags)
    {
        CUgraphExec executable = default;
        CudaException.Check(GraphManagment.cuGraphInstantiate(ref executable, Graph, flags));
        return new CudaGraphExec(executable);
    }

    /// <summary>Destroys the graph; what was made executable lives on.</summary>
    public void Dispose() => _handle.Release(nameof(GraphManagment.cuGraphDestroy));
}

/// <summary>A graph that can be launched: the same kernels with the same arguments each time.</summary>
public sealed class CudaGraphExec : IDisposable
{
    private readonly OwnedHandle _handle;

    internal CudaGraphExec(CUgraphExec graph) =>
        _handle = new OwnedHandle(graph.Pointer, static handle => GraphManagment.cuGraphExecDestroy(new CUgraphExec(handle)));

    /// <summary>The driver's executable graph.</summary>
    public CUgraphExec Graph => new(_handle.Value);

    /// <summary>Launches the graph in a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void Launch(CudaStream stream) => CudaException.Check(GraphManagment.cuGraphLaunch(Graph, stream.Stream));

    /// <summary>Destroys the executable graph.</summary>
    public void Dispose() => _handle.Release(nameof(GraphManagment.cuGraphExecDestroy));
}

using System.Runtime.CompilerServices;

namespace Forgetting.Backends.Cpu.OneDnn;

/// <summary>A primitive that several threads run at the same time, each on operands of its own and on itself alone.</summary>
internal sealed unsafe class OneDnnPrimitive : IDisposable
{
    private const int MaxArguments = 4;

    private readonly OneDnnApi _api;
    private readonly nint _descriptor;
    private readonly nint _primitive;
    private readonly int[] _numbers;
    private readonly nint[] _layouts;
    private readonly nint[][] _memories; // by thread
    private readonly nint[] _streams; // by thread

    /// <summary>Makes the primitive of a descriptor and owns both.</summary>
    /// <param name="streams">A stream for each thread of the pool.</param>
    /// <param name="arguments">Number and layout of each argument but the scratchpad; layouts are needed
    /// until every thread has run it.</param>
    public OneDnnPrimitive(OneDnnApi api, nint descriptor, nint[] streams, params (int Number, nint Layout)[] arguments)
    {
        _api = api;
        _descriptor = descriptor;
        _primitive = api.Primitive(descriptor);
        _streams = streams;
        nint scratchpad = api.ScratchpadOf(descriptor);
        ScratchBytes = api.Bytes(scratchpad);
        _numbers = [.. arguments.Select(a => a.Number), OneDnnApi.Scratchpad];
        _layouts = [.. arguments.Select(a => a.Layout), scratchpad];
        _memories = new nint[streams.Length][];
    }

    /// <summary>Bytes of memory that a run needs besides its operands, aligned to 64.</summary>
    public long ScratchBytes { get; }

    /// <summary>Layout that the weights must have.</summary>
    public nint Weights => _api.WeightsOf(_descriptor);

    /// <summary>Runs on the calling thread.</summary>
    /// <param name="addresses">Of the arguments in their order, and of the scratchpad.</param>
    public void Run(ReadOnlySpan<nint> addresses)
    {
        int thread = WorkerPool.Worker;
        nint[] memories = _memories[thread] ??=
            [.. _layouts.Select((layout, i) => i == _layouts.Length - 1 && ScratchBytes == 0 ? 0 : _api.Memory(layout))];
        OneDnnApi.Argument* arguments = stackalloc OneDnnApi.Argument[MaxArguments];
        int count = 0;
        for (int i = 0; i < memories.Length; i++)
        {
            if (memories[i] != 0)
            {
                _api.Point(memories[i], (void*)addresses[i]);
                arguments[count++] = new OneDnnApi.Argument { Number = _numbers[i], Memory = memories[i] };
            }
        }

        _api.Execute(_primitive, _streams[thread], count, arguments);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (nint memory in _memories.SelectMany(m => m ?? []))
        {
            _api.Free(memory, "dnnl_memory_destroy");
        }

        _api.Free(_primitive, "dnnl_primitive_destroy");
        _api.Free(_descriptor, "dnnl_primitive_desc_destroy");
    }
}

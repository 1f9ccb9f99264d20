using System.Runtime.InteropServices;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu.OneDnn;

/// <summary>
/// The functions, the same for both versions: a memory descriptor is an address, of memory that is allocated here in version 2 and of the
/// library's own object in version 3.
/// </summary>
internal sealed unsafe class OneDnnApi
{
    /// <summary><c>DNNL_ARG_SRC</c> and <c>DNNL_ARG_FROM</c>.</summary>
    public const int Source = 1;

    /// <summary><c>DNNL_ARG_WEIGHTS</c>.</summary>
    public const int Weights = 33;

    /// <summary><c>DNNL_ARG_DST</c> and <c>DNNL_ARG_TO</c>.</summary>
    public const int Destination = 17;

    /// <summary><c>DNNL_ARG_SCRATCHPAD</c>.</summary>
    public const int Scratchpad = 80;

    private const int BFloat16Type = 2;
    private const int Float32Type = 3;
    private const int AnyTag = 1;
    private const int CpuEngine = 1;
    private const int InOrder = 1;
    private const int UserScratchpad = 1;
    private const int StrictMath = 0;
    private const int QueryImplementation = 8;
    private const int QueryWeights = 131;
    private const int QueryScratchpad = 136;

    // dnnl_memory_desc_t of version 2 has 696 bytes, dnnl_matmul_desc_t 2,800.
    private const int DescriptorBytes = 1024;
    private const int MatmulBytes = 8192;

    private readonly OneDnnLibrary _library;
    private readonly delegate* unmanaged<nint, nint> _descriptorSize;
    private readonly delegate* unmanaged<nint, int, int, void*, int> _query;
    private readonly delegate* unmanaged<nint, int, int, nint> _queryDescriptor;
    private readonly delegate* unmanaged<nint, nint, int, Argument*, int> _execute;
    private readonly delegate* unmanaged<nint, void*, int> _setHandle;
    private readonly nint _engine;

    /// <summary>The functions of a library.</summary>
    public OneDnnApi(OneDnnLibrary library)
    {
        _library = library;
        _descriptorSize = (delegate* unmanaged<nint, nint>)library.Export("dnnl_memory_desc_get_size");
        _query = (delegate* unmanaged<nint, int, int, void*, int>)library.Export("dnnl_primitive_desc_query");
        _queryDescriptor = (delegate* unmanaged<nint, int, int, nint>)library.Export("dnnl_primitive_desc_query_md");
        _execute = (delegate* unmanaged<nint, nint, int, Argument*, int>)library.Export("dnnl_primitive_execute");
        _setHandle = (delegate* unmanaged<nint, void*, int>)library.Export("dnnl_memory_set_data_handle");
        nint engine;
        Check(
            ((delegate* unmanaged<nint*, int, nint, int>)library.Export("dnnl_engine_create"))(&engine, CpuEngine, 0),
            "dnnl_engine_create");
        _engine = engine;
    }

    /// <summary>An argument of a primitive: <c>dnnl_exec_arg_t</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Argument
    {
        public int Number;
        public nint Memory;
    }

    /// <summary>A matrix in memory, or in whatever layout a primitive wants where <paramref name="strideOfRows"/> is 0.</summary>
    public nint Matrix(int rows, int columns, DType type, long strideOfRows, long strideOfColumns)
    {
        long* dims = stackalloc long[2] { rows, columns };
        long* strides = stackalloc long[2] { strideOfRows, strideOfColumns };
        int element = type == DType.BFloat16 ? BFloat16Type : Float32Type;
        bool any = strideOfRows == 0;
        nint descriptor;
        if (_library.Major == 2)
        {
            descriptor = (nint)NativeMemory.AllocZeroed(DescriptorBytes);
            Check(
                any
                    ? ((delegate* unmanaged<nint, int, long*, int, int, int>)_library.Export("dnnl_memory_desc_init_by_tag"))(
                        descriptor, 2, dims, element, AnyTag)
                    : ((delegate* unmanaged<nint, int, long*, int, long*, int>)_library.Export("dnnl_memory_desc_init_by_strides"))(
                        descriptor, 2, dims, element, strides),
                "dnnl_memory_desc_init");
        }
        else
        {
            Check(
                any
                    ? ((delegate* unmanaged<nint*, int, long*, int, int, int>)_library.Export("dnnl_memory_desc_create_with_tag"))(
                        &descriptor, 2, dims, element, AnyTag)
                    : ((delegate* unmanaged<nint*, int, long*, int, long*, int>)_library.Export("dnnl_memory_desc_create_with_strides"))(
                        &descriptor, 2, dims, element, strides),
                "dnnl_memory_desc_create");
        }

        return descriptor;
    }

    /// <summary>Frees what <see cref="Matrix"/> made.</summary>
    public void FreeMatrix(nint descriptor)
    {
        if (_library.Major == 2)
        {
            NativeMemory.Free((void*)descriptor);
        }
        else
        {
            Free(descriptor, "dnnl_memory_desc_destroy");
        }
    }

    /// <summary>Bytes that a matrix takes.</summary>
    public long Bytes(nint descriptor) => descriptor == 0 ? 0 : _descriptorSize(descriptor);

    /// <summary>
    /// Primitive descriptor of destination = source·weights, or + where <paramref name="add"/>; 0 where the library has no such primitive.
    /// </summary>
    public nint Matmul(nint source, nint weights, nint destination, bool add)
    {
        nint attributes = Attributes(add);
        nint result = 0;
        if (_library.Major == 2)
        {
            byte* operation = stackalloc byte[MatmulBytes];
            new Span<byte>(operation, MatmulBytes).Clear();
            var init = (delegate* unmanaged<byte*, nint, nint, nint, nint, int>)_library.Export("dnnl_matmul_desc_init");
            Check(init(operation, source, weights, 0, destination), "dnnl_matmul_desc_init");
            var create = (delegate* unmanaged<nint*, byte*, nint, nint, nint, int>)_library.Export("dnnl_primitive_desc_create");
            result = create(&result, operation, attributes, _engine, 0) == 0 ? result : 0;
        }
        else
        {
            var create =
                (delegate* unmanaged<nint*, nint, nint, nint, nint, nint, nint, int>)_library.Export("dnnl_matmul_primitive_desc_create");
            result = create(&result, _engine, source, weights, 0, destination, attributes) == 0 ? result : 0;
        }

        Free(attributes, "dnnl_primitive_attr_destroy");
        return result;
    }

    /// <summary>Primitive descriptor of a copy from one layout to another.</summary>
    public nint Reorder(nint source, nint destination)
    {
        nint attributes = Attributes(add: false);
        nint result;
        var create = (delegate* unmanaged<nint*, nint, nint, nint, nint, nint, int>)_library.Export("dnnl_reorder_primitive_desc_create");
        Check(create(&result, source, _engine, destination, _engine, attributes), "dnnl_reorder_primitive_desc_create");
        Free(attributes, "dnnl_primitive_attr_destroy");
        return result;
    }

    /// <summary>The layout of weights that a matmul wants; belongs to the primitive descriptor.</summary>
    public nint WeightsOf(nint primitiveDescriptor) => _queryDescriptor(primitiveDescriptor, QueryWeights, 0);

    /// <summary>The memory that a primitive needs to work; belongs to the primitive descriptor.</summary>
    public nint ScratchpadOf(nint primitiveDescriptor) => _queryDescriptor(primitiveDescriptor, QueryScratchpad, 0);

    /// <summary>Name of the code behind a primitive: <c>brg:avx512_core_amx</c>, <c>gemm:jit</c>, <c>ref:any</c>.</summary>
    public string ImplementationOf(nint primitiveDescriptor)
    {
        nint name;
        Check(_query(primitiveDescriptor, QueryImplementation, 0, &name), "dnnl_primitive_desc_query");
        return Marshal.PtrToStringUTF8(name) ?? "";
    }

    /// <summary>A primitive of a descriptor.</summary>
    public nint Primitive(nint primitiveDescriptor)
    {
        nint result;
        Check(
            ((delegate* unmanaged<nint*, nint, int>)_library.Export("dnnl_primitive_create"))(&result, primitiveDescriptor),
            "dnnl_primitive_create");
        return result;
    }

    /// <summary>A stream for one thread.</summary>
    public nint Stream()
    {
        nint result;
        Check(
            ((delegate* unmanaged<nint*, nint, int, int>)_library.Export("dnnl_stream_create"))(&result, _engine, InOrder),
            "dnnl_stream_create");
        return result;
    }

    /// <summary>A memory object that points nowhere yet.</summary>
    public nint Memory(nint descriptor)
    {
        nint result;
        Check(
            ((delegate* unmanaged<nint*, nint, nint, void*, int>)_library.Export("dnnl_memory_create"))(&result, descriptor, _engine, null),
            "dnnl_memory_create");
        return result;
    }

    /// <summary>Points a memory object somewhere.</summary>
    public void Point(nint memory, void* address) => Check(_setHandle(memory, address), "dnnl_memory_set_data_handle");

    /// <summary>Runs a primitive to its end.</summary>
    public void Execute(nint primitive, nint stream, int count, Argument* arguments) =>
        Check(_execute(primitive, stream, count, arguments), "dnnl_primitive_execute");

    /// <summary>Gives an object back; 0 is none.</summary>
    public void Free(nint handle, string function)
    {
        if (handle != 0)
            ((delegate* unmanaged<nint, int>)_library.Export(function))(handle);
    }

    // The scratchpad comes from the caller, and no environment variable makes Float32 less than that.
    private nint Attributes(bool add)
    {
        nint attributes;
        Check(((delegate* unmanaged<nint*, int>)_library.Export("dnnl_primitive_attr_create"))(&attributes), "dnnl_primitive_attr_create");
        Check(
            ((delegate* unmanaged<nint, int, int>)_library.Export("dnnl_primitive_attr_set_scratchpad_mode"))(attributes, UserScratchpad),
            "dnnl_primitive_attr_set_scratchpad_mode");
        if (_library.OptionalExport("dnnl_primitive_attr_set_fpmath_mode") is var setMath && setMath != 0)
            Check(((delegate* unmanaged<nint, int, int>)setMath)(attributes, StrictMath), "dnnl_primitive_attr_set_fpmath_mode");

        if (add)
        {
            nint operations;
            Check(((delegate* unmanaged<nint*, int>)_library.Export("dnnl_post_ops_create"))(&operations), "dnnl_post_ops_create");
            nint append = _library.Export("dnnl_post_ops_append_sum");
            Check(
                _library.Major == 2
                    ? ((delegate* unmanaged<nint, float, int>)append)(operations, 1)
                    : ((delegate* unmanaged<nint, float, int, int, int>)append)(operations, 1, 0, 0),
                "dnnl_post_ops_append_sum");
            Check(
                ((delegate* unmanaged<nint, nint, int>)_library.Export("dnnl_primitive_attr_set_post_ops"))(attributes, operations),
                "dnnl_primitive_attr_set_post_ops");
            Free(operations, "dnnl_post_ops_destroy");
        }

        return attributes;
    }

    private void Check(int status, string function)
    {
        if (status != 0)
            Throw(_library.Name, status, function);

        static void Throw(string name, int status, string function) =>
            throw new OneDnnException($"{name}: {function} failed with status {status}");
    }
}

using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu.OneDnn;

/// <summary>
/// oneDNN's C API as far as products need it, of version 2 (operation descriptors, memory descriptors that the caller holds) or version 3
/// (primitive descriptors made at once, opaque memory descriptors). Found at run time; nothing is linked.
/// </summary>
/// <remarks>
/// Every primitive is made and run on one thread: parallelism is the <see cref="WorkerPool"/>'s. With OpenMP the number of threads belongs
/// to the calling thread (<c>nthreads-var</c>), so <see cref="UseOneThread"/> is called on each.
/// </remarks>
internal sealed unsafe class OneDnnLibrary
{
    private const int SequentialRuntime = 1;
    private const int OpenMpRuntime = 2;
    private const int Avx512Core = 0x27;
    private const int Amx = 0x200; // in the masks of both versions, and in none without it
    private const int Avx512CoreBFloat16 = 0xE7;

    // Debian 13 ships 3.7 under the name of 3.6.
    private static readonly string[] s_names = OperatingSystem.IsWindows()
        ? ["dnnl.dll"]
        : ["libdnnl.so.3", "libdnnl.so.3.6", "libdnnl.so.2", "libdnnl.so", "libdnnl.3.dylib", "libdnnl.2.dylib", "libdnnl.dylib"];

    private static readonly string[] s_openMpOfWindows = ["libiomp5md.dll", "vcomp140.dll"];
    private static readonly Lazy<(OneDnnLibrary? Library, string Missing)> s_found = new(Find);

    private readonly nint _handle;
    private readonly int _isa;
    private readonly List<nint> _setThreads = [];

    private OneDnnLibrary(string name, nint handle)
    {
        _handle = handle;
        var version = (Version*)((delegate* unmanaged<void*>)Export("dnnl_version"))();
        Major = version->Major;
        Name = string.Create(CultureInfo.InvariantCulture, $"oneDNN {version->Major}.{version->Minor}.{version->Patch}");
        if (Major is not (2 or 3))
            throw new OneDnnException($"{name} is {Name}, expected version 2 or 3");

        if (version->CpuRuntime == OpenMpRuntime)
            FindOpenMp();

        if (version->CpuRuntime != SequentialRuntime && _setThreads.Count == 0)
            throw new OneDnnException($"{name} is {Name} with threads that cannot be told to be one, expected OpenMP's or none");

        _isa = ((delegate* unmanaged<int>)Export("dnnl_get_effective_cpu_isa"))();
        Api = new OneDnnApi(this);
    }

    /// <summary>The library of this machine, or null.</summary>
    /// <param name="missing">Why there is none.</param>
    public static OneDnnLibrary? Find(out string missing)
    {
        missing = s_found.Value.Missing;
        return s_found.Value.Library;
    }

    /// <summary>Name and version.</summary>
    public string Name { get; }

    /// <summary>2 or 3.</summary>
    public int Major { get; }

    /// <summary>The functions.</summary>
    internal OneDnnApi Api { get; }

    /// <summary>Whether the library makes code of 512-bit registers here.</summary>
    public bool HasAvx512 => (_isa & Avx512Core) == Avx512Core;

    /// <summary>Whether this processor multiplies bfloat16 (AVX-512 BF16 or AMX).</summary>
    public bool HasBFloat16 => (_isa & Avx512CoreBFloat16) == Avx512CoreBFloat16;

    /// <summary>Whether this processor has matrix units (AMX).</summary>
    public bool HasAmx => HasBFloat16 && (_isa & Amx) == Amx;

    /// <summary>
    /// Whether bfloat16 is multiplied faster than Float32. Intel's AVX-512 BF16 is not: <c>vdpbf16ps</c> starts every second cycle where
    /// two multiply-adds of Float32 start in each, half the operations a second (docs/performance.md). There it takes AMX.
    /// </summary>
    public bool IsFasterInBFloat16 => HasAmx || (HasBFloat16 && !IsIntel);

    /// <summary>The instructions it uses, coarsely.</summary>
    public string Instructions => HasAmx ? "AMX" : HasBFloat16 ? "AVX-512 with bf16" : HasAvx512 ? "AVX-512" : "AVX2 or less";

    // "GenuineIntel", its first four letters.
    private static bool IsIntel => X86Base.IsSupported && X86Base.CpuId(0, 0).Ebx == 0x756E6547;

    /// <summary>Whether operands of a type are multiplied by instructions for that type.</summary>
    public bool Supports(DType operandType) => operandType == DType.Float32 || HasBFloat16;

    /// <summary>Has primitives that this thread makes and runs do all their work on it.</summary>
    internal void UseOneThread()
    {
        foreach (nint set in _setThreads)
        {
            ((delegate* unmanaged<int, void>)set)(1);
        }
    }

    /// <summary>Address of a function.</summary>
    /// <exception cref="OneDnnException">The library has no such function.</exception>
    internal nint Export(string function) => NativeLibrary.TryGetExport(_handle, function, out nint address)
        ? address
        : throw new OneDnnException($"{Name} has no function {function}");

    /// <summary>Address of a function, or 0.</summary>
    internal nint OptionalExport(string function) => NativeLibrary.TryGetExport(_handle, function, out nint address) ? address : 0;

    private static (OneDnnLibrary? Library, string Missing) Find()
    {
        string missing = "not found ("
            + string.Join(", ", s_names.Where(n => OperatingSystem.IsMacOS() == n.EndsWith("dylib", StringComparison.Ordinal))) + ")";
        foreach (string name in s_names)
        {
            if (!NativeLibrary.TryLoad(name, out nint handle))
                continue;

            try
            {
                return (new OneDnnLibrary(name, handle), "");
            }
            catch (OneDnnException exception)
            {
                missing = exception.Message;
            }
        }

        return (null, missing);
    }

    private void FindOpenMp()
    {
        const string Function = "omp_set_num_threads";

        // Elsewhere a library's handle knows what the libraries it needs export.
        if (NativeLibrary.TryGetExport(_handle, Function, out nint set))
        {
            _setThreads.Add(set);
            return;
        }

        foreach (string name in OperatingSystem.IsWindows() ? s_openMpOfWindows : [])
        {
            if (NativeLibrary.TryLoad(name, out nint handle) && NativeLibrary.TryGetExport(handle, Function, out set))
                _setThreads.Add(set);
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Version
    {
        public int Major;
        public int Minor;
        public int Patch;
        public nint Hash;
        public uint CpuRuntime;
        public uint GpuRuntime;
    }
}

/// <summary>oneDNN is missing something or refuses something.</summary>
internal sealed class OneDnnException(string message) : Exception(message);

using System.Globalization;
using Forgetting.Backends.Cuda;
using Forgetting.Core;
using Forgetting.Tensors;

namespace Forgetting.Backends.Selection;

/// <summary>
/// Everything that computing on a card needs, tried in order; where all of it holds, its backend, open. The one place that decides whether
/// a card can be used: <c>--device auto</c>, <c>--device cuda</c> and <c>doctor</c> ask it.
/// </summary>
internal sealed class CardSurvey : IDisposable
{
    /// <summary>The oldest cards that have what the kernels use: bf16 arithmetic and asynchronous copies to shared memory.</summary>
    private static readonly Version s_oldestCapability = new(8, 0);

    /// <summary>The oldest CUDA that has cuBLAS and kernels of the toolkits with which this is built.</summary>
    private static readonly Version s_oldestCuda = new(12, 0);

    /// <summary>What the program holds before any model: kernels, cuBLAS and its workspace, with room for a small model.</summary>
    private const long LeastFreeBytes = 256L << 20;

    private readonly List<DeviceRequirement> _requirements = [];
    private readonly DeviceName _name;
    private readonly DType _storageType;
    private readonly bool _checks;
    private readonly string? _kernels;
    private readonly Action<string>? _notice;
    private PrimaryContext? _context;
    private CUmodule? _module;
    private CudaBlas? _blas;
    private CudaBackend? _backend;

    private CardSurvey(DeviceName name, DType storageType, bool checks, string? kernels = null, Action<string>? notice = null)
    {
        (_name, _storageType, _checks, _kernels, _notice) = (name, storageType, checks, kernels, notice);
        Try("driver", Driver);
        Try("card", Card);
        Try("compute capability", Capability);
        Try("kernels", Kernels);
        Try("cuBLAS", Blas);
        Try("memory", Memory);
    }

    /// <summary>Of a card of the driver.</summary>
    /// <param name="ordinal">Its number among those that the driver shows.</param>
    /// <param name="storageType">For the backend: Float32 or BFloat16.</param>
    /// <param name="notice">Gets a line where the driver must compile the kernels for this card.</param>
    public static CardSurvey OfCard(int ordinal, DType storageType, Action<string>? notice = null) =>
        new(new DeviceName("cuda", ordinal), storageType, checks: false, notice: notice);

    /// <summary>Of the emulation, which stands in for driver and card.</summary>
    /// <param name="storageType">For the backend: Float32 or BFloat16.</param>
    /// <param name="checks">Whether kernels check every memory access.</param>
    public static CardSurvey OfEmulation(DType storageType, bool checks) => new(new DeviceName(DeviceName.Emulation), storageType, checks);

    /// <summary>Of the emulation's driver with the kernels as compiled for the card, which it interprets.</summary>
    /// <param name="storageType">For the backend: Float32 or BFloat16.</param>
    /// <param name="kernels">The text of the kernels, where it is not that of the build.</param>
    public static CardSurvey OfInterpreter(DType storageType, string? kernels = null) =>
        new(new DeviceName(DeviceName.Interpreter), storageType, checks: true, kernels);

    /// <summary>
    /// The kernels on this machine's processor. A process that has used the emulation cannot use a card, and the other way round.
    /// </summary>
    /// <param name="storageType">Float32 or BFloat16.</param>
    /// <param name="checks">Whether every memory access is checked; several times slower.</param>
    /// <exception cref="UserException">The emulation is not built.</exception>
    public static CudaBackend OpenEmulation(DType storageType, bool checks = true)
    {
        using CardSurvey survey = OfEmulation(storageType, checks);
        return survey.Take();
    }

    /// <summary>What is needed, and what was found.</summary>
    public IReadOnlyList<DeviceRequirement> Requirements => _requirements;

    /// <summary>Whether there is anything that could be a card: a driver, or a card without one.</summary>
    public bool AnythingThere { get; private set; } = true;

    /// <summary>What is missing and what would change it, for a line to the user; empty where everything holds.</summary>
    public string Missing => string.Join("; ", _requirements.Where(r => r.Holds == false).Select(r => $"{r.Found} ({r.Remedy})"));

    /// <summary>Whether everything holds.</summary>
    public bool Holds => _requirements.TrueForAll(r => r.Holds == true);

    /// <summary>The backend, which the caller disposes of from now on.</summary>
    /// <exception cref="UserException">Something is missing.</exception>
    public CudaBackend Take()
    {
        CudaBackend backend = _backend ?? throw new UserException($"device is {_name}: {Missing}");
        _backend = null;
        return backend;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _backend?.Dispose();
        _backend = null;
        if (_context is not null)
        {
            _context.SetCurrent();
            _blas?.Dispose();
            if (_module is { } module)
                _context.UnloadModule(module);

            _context.Dispose();
            _context = null;
        }
    }

    private bool IsEmulation => _name.IsEmulated;

    // Says what was found or throws a Lack; null where it cannot be tried.
    private void Try(string name, Func<string?> examine)
    {
        try
        {
            string? found = examine();
            _requirements.Add(new DeviceRequirement(name, found is null ? null : true, found ?? "not tried", ""));
        }
        catch (Lack lack)
        {
            _requirements.Add(new DeviceRequirement(name, false, lack.Message, lack.Remedy));
        }
        catch (Exception error) when (IsOutOfMemory(error))
        {
            _requirements.Add(
                new DeviceRequirement(name, false, $"{name}: {error.Message}", "free memory on the card: nvidia-smi lists who holds it"));
        }
        catch (Exception error) when (IsOfTheDriver(error))
        {
            string remedy =
                name == "kernels" ? "./build.sh kernels compiles them anew" : "a driver and libraries of one CUDA version would work";
            _requirements.Add(new DeviceRequirement(name, false, $"{name}: {error.Message}", remedy));
        }
    }

    private string Driver()
    {
        if (IsEmulation)
        {
            CudaLibrary.UseEmulation(NativeFiles.Emulation ?? throw new Lack(NativeFiles.NoEmulation, NativeFiles.EmulationRemedy));
        }
        else if (!CudaLibrary.IsAvailable)
        {
            string? card = PciBus.NvidiaCard(PciBus.Folder);
            AnythingThere = card is not null;
            string library = OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";
            throw new Lack(
                $"no driver: {library} was not found{(card is null ? "" : $", though there is an NVIDIA card at {card}")}",
                "install NVIDIA's driver");
        }

        int number = 0;
        CUResult result = DriverAPINativeMethods.cuDriverGetVersion(ref number);
        if (result != CUResult.Success)
            throw CudaFailure.Of(result, "cuDriverGetVersion");

        var version = new Version(number / 1000, number % 1000 / 10);
        return version >= s_oldestCuda
            ? $"CUDA {version}"
            : throw new Lack($"the driver is for CUDA {version}, expected {s_oldestCuda} or newer", "update NVIDIA's driver");
    }

    private string? Card()
    {
        if (!Holds)
            return null;

        int count = Count();
        string? visible = Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES");
        string shown = visible is null ? "" : $" with CUDA_VISIBLE_DEVICES={visible}";
        if (count == 0)
        {
            throw new Lack(
                $"no card: the driver shows none{shown}",
                visible is null ? "nvidia-smi says what the driver sees" : "unset CUDA_VISIBLE_DEVICES");
        }

        if (_name.Ordinal >= count)
        {
            throw new Lack(
                Invariant($"no card {_name.Ordinal}: the driver shows {count}{shown}"),
                count == 1 ? "cuda is the only one" : Invariant($"cuda:0 to cuda:{count - 1} are there"));
        }

        _context = new PrimaryContext(_name.Ordinal);
        _context.SetCurrent();
        return _context.GetDeviceInfo().DeviceName + (count == 1 ? "" : Invariant($", {_name.Ordinal} of 0 to {count - 1}{shown}"));
    }

    private static int Count()
    {
        try
        {
            return CudaContext.GetDeviceCount();
        }
        catch (CudaException error) when (error.CudaError == CUResult.ErrorNoDevice)
        {
            return 0;
        }
    }

    private string? Capability()
    {
        if (_context is null)
            return null;

        Version version = _context.GetDeviceInfo().ComputeCapability;
        return version >= s_oldestCapability
            ? version.ToString()
            : throw new Lack(
                $"compute capability {version} of {_context.GetDeviceInfo().DeviceName}, expected {s_oldestCapability} or newer",
                "take a card from Ampere on");
    }

    private string? Kernels()
    {
        if (!Holds)
            return null;

        string path = _kernels ?? _name.Kind switch
        {
            DeviceName.Emulation =>
                NativeFiles.EmulationKernels(_checks) ?? throw new Lack(NativeFiles.NoEmulation, NativeFiles.EmulationRemedy),
            DeviceName.Interpreter => NativeFiles.Ptx ?? throw new Lack(NativeFiles.NoPtx, NativeFiles.FatbinRemedy),
            _ => NativeFiles.Fatbin ?? throw new Lack(NativeFiles.NoFatbin, NativeFiles.FatbinRemedy),
        };
        Version capability = _context!.GetDeviceInfo().ComputeCapability;
        if (NativeFiles.TargetsOf(path) is { Count: > 0 } targets && !targets.Any(target => Runs(target, capability)))
        {
            _notice?.Invoke(
                $"{path} has code for {string.Join(", ", targets)} and none for this card's compute capability {capability}: the driver "
                + "compiles the kernels at the first start and keeps them; ./build.sh kernels with nvcc 12.8 or newer does it ahead");
        }

        _module = _context.LoadModule(path);
        return path;
    }

    // Code for sm_86 runs on 8.6, 8.7 and 8.9.
    private static bool Runs(string target, Version capability) =>
        int.TryParse(target.AsSpan("sm_".Length), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
        && number / 10 == capability.Major && number % 10 <= capability.Minor;

    private string? Blas()
    {
        // Where only the kernels are missing cuBLAS may be too: better said at once.
        if (_context is null || _requirements.Exists(r => r.Holds == false && r.Name != "kernels"))
            return null;

        try
        {
            _blas = new CudaBlas();
            return _blas.GetVersion().ToString();
        }
        catch (Exception error) when (error is CudaLibraryException or DllNotFoundException)
        {
            throw new Lack(
                error is CudaLibraryException ? error.Message : "no cuBLAS was found",
                "install cuBLAS of the driver's CUDA version, from NVIDIA's toolkit or with pip, and name its folder in LD_LIBRARY_PATH");
        }
    }

    private string? Memory()
    {
        if (_context is null)
            return null;

        long free = (long)(ulong)_context.GetFreeDeviceMemorySize(), total = (long)(ulong)_context.GetTotalDeviceMemorySize();
        string found = Invariant($"{free >> 20} of {total >> 20} MiB free");
        if (free < LeastFreeBytes)
        {
            throw new Lack(
                Invariant($"too little memory: {found}, expected at least {LeastFreeBytes >> 20}"),
                "free memory on the card: nvidia-smi lists who holds it");
        }

        if (Holds)
        {
            // From here on these are the backend's.
            (PrimaryContext context, CUmodule module, CudaBlas blas) = (_context, _module!.Value, _blas!);
            (_context, _module, _blas) = (null, null, null);
            _backend = new CudaBackend(new CudaDevice(context, module, blas, _name), _storageType);
        }

        return found;
    }

    private static bool IsOutOfMemory(Exception error) =>
        error is CudaException { CudaError: CUResult.ErrorOutOfMemory } or CudaBlasException { CudaBlasError: CublasStatus.AllocFailed }
            or DeviceMemoryException;

    // The last three are ManagedCuda's, and what a library that is something else by the same name gives.
    private static bool IsOfTheDriver(Exception error) =>
        error is CudaException or CudaBlasException or CudaLibraryException or DllNotFoundException or EntryPointNotFoundException
            or BadImageFormatException;

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>A requirement that does not hold.</summary>
    private sealed class Lack(string found, string remedy) : Exception(found)
    {
        public string Remedy { get; } = remedy;
    }
}

using Forgetting.Backends.Cpu;
using Forgetting.Backends.Cpu.OneDnn;
using Forgetting.Backends.Cuda;
using Forgetting.Core;
using Forgetting.Tensors;

namespace Forgetting.Backends.Selection;

/// <summary>Makes the backend that <c>--device</c>, <c>--dtype</c> and <c>--products</c> name.</summary>
internal static class BackendFactory
{
    /// <summary>
    /// The backend for <paramref name="device"/>: cpu; cuda or cuda:N, a card; cuda-emu, the card's kernels on this processor; cuda-ptx,
    /// the card's instructions interpreted; or auto, the first card where everything that it needs is there and works, and else the CPU.
    /// </summary>
    /// <param name="device">Name of a device.</param>
    /// <param name="threads">Threads of the CPU backend; null for one per processor.</param>
    /// <param name="dtype">
    /// On a card the storage type of activations and weights, on the CPU the type of the operands of products: fp32 or bf16; null for
    /// bf16 on a card and fp32 elsewhere.
    /// </param>
    /// <param name="products">What computes products on the CPU: auto, managed or onednn.</param>
    /// <param name="notice">Gets a line where auto takes the CPU although there is a card or a driver: why, and what would change it;
    /// where the driver must compile the kernels first; and where kernels cannot be recorded as CUDA graphs.</param>
    /// <exception cref="UserException">No such device, type or provider, one of them cannot be used here, or
    /// fewer than one thread.</exception>
    public static IBackend Create(
        string device = "auto", int? threads = null, string? dtype = null, string products = "auto", Action<string>? notice = null)
    {
        if (threads < 1)
            throw new UserException($"threads is {threads}, expected at least 1");

        var name = DeviceName.Parse(device);
        DType? type = TypeOf(dtype);
        if (name.IsEmulated)
        {
            using CardSurvey emulation = Emulated(name, type ?? DType.Float32);
            return Announcing(emulation.Take(), notice);
        }

        if (name.Kind != "cpu")
        {
            using var survey = CardSurvey.OfCard(name.Ordinal, type ?? DType.BFloat16, notice);
            if (survey.Holds || name.Kind == "cuda")
                return Announcing(survey.Take(), notice);

            Notify(survey, notice);
        }

        return new CpuBackend(new WorkerPool(threads ?? Environment.ProcessorCount), CpuMatMul(type ?? DType.Float32, products));
    }

    /// <summary>
    /// What computing on a card needs, and what of it was found here: for the emulation where
    /// <paramref name="device"/> names it, else for the card.
    /// </summary>
    /// <exception cref="UserException">No such device.</exception>
    public static IReadOnlyList<DeviceRequirement> Requirements(string device)
    {
        var name = DeviceName.Parse(device);
        using CardSurvey survey = name.IsEmulated
            ? Emulated(name, DType.Float32)
            : CardSurvey.OfCard(name.Ordinal, DType.Float32);
        return survey.Requirements;
    }

    private static CardSurvey Emulated(DeviceName name, DType storageType) => name.Kind == DeviceName.Emulation
        ? CardSurvey.OfEmulation(storageType, checks: false)
        : CardSurvey.OfInterpreter(storageType);

    /// <summary>What <see cref="Create"/> would have to be given as dtype to make this backend: fp32 or bf16.</summary>
    public static string DtypeOf(IBackend backend) =>
        (backend is CpuBackend cpu ? cpu.OperandType : backend.StorageType) == DType.BFloat16 ? "bf16" : "fp32";

    /// <summary>What makes the provider of the CPU's products that <c>--products</c> and <c>--dtype</c> name.</summary>
    /// <exception cref="UserException">There is no such provider here, or it has no such type.</exception>
    // oneDNN has bf16 instructions, which the managed provider lacks; in Float32 whole steps were faster with the managed products on
    // AVX-512, and on AVX2 weight gradients were and the rest about equal (docs/performance.md). The rule asks which instructions there
    // are, never a clock: the same machine always computes the same bits.
    internal static Func<WorkerPool, IMatMul> CpuMatMul(DType type, string products)
    {
        if (products is not ("auto" or "managed" or "onednn"))
            throw new UserException($"products is \"{products}\", expected auto, managed or onednn");

        string missing = "";
        OneDnnLibrary? library = products == "managed" ? null : OneDnnLibrary.Find(out missing);
        if (products == "onednn" && library is null)
            throw new UserException($"products is onednn, but oneDNN is {missing}");

        if (products == "onednn" && !library!.Supports(type))
        {
            throw new UserException(
                $"products is onednn with dtype bf16, expected managed: {library.Name} finds no bf16 instructions (AVX-512 BF16 "
                + "or AMX) on this processor");
        }

        bool native = library is not null && (products == "onednn" || (type == DType.BFloat16 && library.IsFasterInBFloat16));
        return native ? pool => new OneDnnMatMul(pool, library!, type) : pool => new ManagedMatMul(pool, type);
    }

    /// <summary>
    /// The device that a name stands for on this machine and the element type of activations and weights there;
    /// one that is named need not be here.
    /// </summary>
    /// <param name="notice">As in <see cref="Create"/>.</param>
    /// <exception cref="UserException">No such device or type.</exception>
    public static (string Device, DType StorageType) Describe(string device, string? dtype, Action<string>? notice = null)
    {
        var name = DeviceName.Parse(device);
        if (name.Kind == "auto")
        {
            using var survey = CardSurvey.OfCard(0, DType.BFloat16);
            Notify(survey, notice);
            name = new DeviceName(survey.Holds ? "cuda" : "cpu");
        }

        DType standard = name.Kind == "cuda" ? DType.BFloat16 : DType.Float32;
        return (name.ToString(), name.Kind == "cpu" ? standard : TypeOf(dtype) ?? standard);
    }

    private static CudaBackend Announcing(CudaBackend backend, Action<string>? notice)
    {
        backend.Graphs.Notice = notice;
        return backend;
    }

    private static void Notify(CardSurvey survey, Action<string>? notice)
    {
        if (!survey.Holds && survey.AnythingThere)
            notice?.Invoke($"device is auto: computing on the CPU, not on a card: {survey.Missing}");
    }

    private static DType? TypeOf(string? dtype) => dtype switch
    {
        null => null,
        "fp32" => DType.Float32,
        "bf16" => DType.BFloat16,
        _ => throw new UserException($"dtype is \"{dtype}\", expected fp32 or bf16"),
    };
}

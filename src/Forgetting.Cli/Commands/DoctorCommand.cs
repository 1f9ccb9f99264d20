using System.CommandLine;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Backends.Cpu.OneDnn;
using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;
using Forgetting.Core;
using Forgetting.Operations;
using Forgetting.Tensors;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting doctor</c>: what this machine has.</summary>
internal static class DoctorCommand
{
    public static Subcommand Entry { get; } = new(
        "doctor",
        "Say what this machine has and whether the device computes right.",
        Fill);

    private static void Fill(Command command)
    {
        Option<string> device = CommonOptions.Device();
        Option<string> products = CommonOptions.Products();
        Option<string?> dtype = CommonOptions.Dtype();
        Option<bool> json = CommonOptions.Json();
        var noTimings = new Option<bool>("--no-timings") { Description = "check the kernels of a card without timing them" };
        var all = new Option<bool>(
            "--all")
        { Description = "run every case that the tests have, of every operation: odd sizes, wide rows, ragged ends" };
        var only = new Option<string>("--operations")
        {
            Description = "of these operations alone, as --all names them", HelpName = "NAMES", DefaultValueFactory = _ => "",
        };
        command.Fill(device, dtype, products, noTimings, all, only);
        (BoundedOption ranks, BoundedOption deadline) =
            Ranks.AddOptions(command, "check and time what so many processes of this machine do together, instead");
        command.Options.Add(json);
        command.SetAction(parsed => Ranks.Run(ranks, deadline, parsed, (communicator, _) =>
        {
            if (communicator.Size > 1)
            {
                return DoctorRanks.Run(
                    parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!, parsed.GetValue(json), communicator);
            }

            IReadOnlyList<DeviceRequirement> requirements = BackendFactory.Requirements(parsed.GetValue(device)!);
            UserException? failure = null;
            IBackend? backend = null;
            try
            {
                backend = Devices.Open(parsed.GetValue(device)!, parsed.GetValue(dtype), parsed.GetValue(products)!);
            }
            catch (UserException error)
            {
                failure = error; // what is here is worth knowing all the more
            }

            using IBackend? opened = backend;
            var facts = new Dictionary<string, string>
            {
                ["version"] = typeof(IBackend).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion,
                ["runtime"] = RuntimeInformation.FrameworkDescription,
                ["system"] = $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}",
                ["processors"] = Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture),
                ["vector_width"] = VectorWidth.Description,
                ["memory_gib"] = (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1L << 30)).ToString(
                    "0.0", CultureInfo.InvariantCulture),
            };
            if (backend is not null)
                facts["device"] = backend.Name;

            if (backend is CpuBackend cpu)
            {
                facts["threads"] = cpu.Threads.ToString(CultureInfo.InvariantCulture);
                facts["products"] = cpu.ProductsDescription;
                facts["onednn"] =
                    OneDnnLibrary.Find(out string missing) is { } library ? $"{library.Name}, {library.Instructions}" : missing;
            }

            List<KernelCheck> checks = [];
            if (backend is CudaBackend cuda)
            {
                facts["dtype"] = cuda.StorageType == DType.BFloat16 ? "bf16" : "fp32";
                facts["card"] = cuda.DeviceName;
                checks = [.. KernelDoctor.Run(cuda, timings: !cuda.IsEmulated && !parsed.GetValue(noTimings))];
            }

            OperationResult[] operations = backend != null && (parsed.GetValue(all) || parsed.GetValue(only)!.Length > 0)
                ? [.. OperationSurvey.Run(
                    backend, large: backend is not CudaBackend { IsEmulated: true },
                    parsed.GetValue(only)!.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))]
                : [];
            int code = checks.TrueForAll(check => check.Ok) && operations.All(o => o.Faults.Count == 0) ? 0 : 1;
            if (parsed.GetValue(json))
            {
                var report = new Dictionary<string, object>(facts.Select(fact => KeyValuePair.Create(fact.Key, (object)fact.Value)));
                report["requirements"] = requirements.Select(Record);
                if (checks.Count > 0)
                    report["kernels"] = checks.Select(Record);

                if (operations.Length > 0)
                    report["operations"] = operations;

                Console.Out.WriteLine(JsonSerializer.Serialize(report, Json.Indented));
                return failure is null ? code : throw failure;
            }

            Terminal.PrintFacts([.. facts.Select(f => (f.Key.Replace('_', ' '), f.Value)), .. requirements.Select(Fact)]);
            if (failure is not null)
                throw failure;

            if (checks.Count > 0)
                Terminal.PrintTable(["operation", "error", "", "ms", "GB/s", "TFLOP/s"], [.. checks.Select(Row)]);

            if (operations.Length > 0)
                PrintOperations(operations);

            return code;
        }));
    }

    private static void PrintOperations(OperationResult[] operations)
    {
        Terminal.PrintTable(
            ["operation", "cases", "wrong"],
            [.. operations.Select(o => (string[])[o.Operation, Number(o.Cases), o.Faults.Count == 0 ? "" : Number(o.Faults.Count)])]);
        foreach (string fault in operations.SelectMany(o => o.Faults))
        {
            Console.Out.WriteLine(fault);
        }

        static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
    }

    private static (string Name, string Value) Fact(DeviceRequirement requirement) =>
        ($"for a card: {requirement.Name}", requirement.Holds switch
        {
            true => $"ok, {requirement.Found}",
            false => $"{requirement.Found} ({requirement.Remedy})",
            null => requirement.Found,
        });

    private static Dictionary<string, object?> Record(DeviceRequirement requirement) => new()
    {
        ["name"] = requirement.Name,
        ["holds"] = requirement.Holds,
        ["found"] = requirement.Found,
        ["remedy"] = requirement.Remedy,
    };

    private static Dictionary<string, object> Record(KernelCheck check)
    {
        var record = new Dictionary<string, object>
        {
            ["operation"] = check.Operation,
            ["error"] = check.Error,
            ["tolerance"] = check.Tolerance,
            ["ok"] = check.Ok,
        };
        foreach ((string name, double? value) in new[] { ("ms", check.Milliseconds), ("gb_per_s", check.GigabytesPerSecond), (
            "tflop_per_s", check.TeraflopsPerSecond) })
        {
            if (value is { } number)
                record[name] = number;
        }

        return record;
    }

    private static string[] Row(KernelCheck check)
    {
        return
        [
            check.Operation,
            check.Error.ToString("0.0e+0", CultureInfo.InvariantCulture),
            check.Ok ? "ok" : "wrong",
            Number(check.Milliseconds, "0.000"),
            Number(check.GigabytesPerSecond, "0"),
            Number(check.TeraflopsPerSecond, "0.0"),
        ];

        static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "";
    }
}

using System.CommandLine;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Spectre.Console;

namespace Forgetting.Cli.Commands;

/// <summary><c>forgetting doctor</c>: what this machine has.</summary>
internal static class DoctorCommand
{
    public static Command Create()
    {
        Option<string> device = CommonOptions.Device();
        Option<bool> json = CommonOptions.Json();
        var command = new Command("doctor", "Say what this machine has and whether the device computes right.") { device, json };
        command.SetAction(parsed =>
        {
            using IBackend backend = BackendFactory.Create(parsed.GetValue(device)!);
            var facts = new Dictionary<string, string>
            {
                ["version"] = typeof(IBackend).Assembly.GetName().Version!.ToString(3),
                ["runtime"] = RuntimeInformation.FrameworkDescription,
                ["system"] = $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}",
                ["processors"] = Environment.ProcessorCount.ToString(System.Globalization.CultureInfo.InvariantCulture),
                ["vector_width"] = VectorWidth(),
                ["memory_gib"] = (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1L << 30)).ToString("0.0", System.Globalization.CultureInfo.InvariantCulture),
                ["device"] = backend.Name,
            };
            if (backend is CpuBackend cpu)
            {
                facts["threads"] = cpu.Threads.ToString(System.Globalization.CultureInfo.InvariantCulture);
                facts["products"] = cpu.Products;
            }

            if (parsed.GetValue(json))
            {
                Console.Out.WriteLine(JsonSerializer.Serialize(facts, Json.Indented));
                return;
            }

            var table = new Table().Border(TableBorder.None).HideHeaders().AddColumns("", "");
            foreach ((string name, string value) in facts)
            {
                table.AddRow(new Markup($"[grey]{name.Replace('_', ' ')}[/]"), new Text(value));
            }

            AnsiConsole.Write(table);
        });
        return command;
    }

    private static string VectorWidth()
    {
        string extensions = Avx512F.IsSupported ? "AVX-512" : Avx2.IsSupported && Fma.IsSupported ? "AVX2 with FMA" : "baseline";
        int bits = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128;
        return $"{bits} bits ({extensions})";
    }
}

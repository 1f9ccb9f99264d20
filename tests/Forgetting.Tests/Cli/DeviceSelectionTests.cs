using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Backends.Selection;
using Forgetting.Cli;
using Forgetting.Core;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>
/// What the command does on machines with a driver that lack something: the emulation takes the place of <c>libcuda.so.1</c> on the
/// loader's path of a process of its own, and its kernels that of the fatbin.
/// </summary>
public sealed class DeviceSelectionTests
{
    private const string Kernels = "no kernels: forgetting.fatbin was not found in ";
    private static readonly string s_blas =
        BuiltInBindingsFactAttribute.AreUsed ? "no cuBLAS: libcublas.so.12 was not found" : "no cuBLAS was found";

    // Something that loads and has no function of cuBLAS.
    private static readonly string s_otherLibrary = Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "libSystem.Native.so");

    [EmulationFact]
    public void A_machine_with_a_driver_and_nothing_else_computes_on_the_cpu_and_says_why()
    {
        using var machine = new Machine(kernels: false);
        machine.MoveProgram();
        Result auto = machine.Run("auto");
        Assert.Equal((0, "cpu"), (auto.Code, auto.Device));
        string line = Assert.Single(auto.Errors);
        Assert.StartsWith("note: device is auto: computing on the CPU, not on a card: ", line, StringComparison.Ordinal);
        string[] parts = [Kernels, "./build.sh kernels", s_blas, "install cuBLAS"];
        Assert.All(parts, part => Assert.Contains(part, line, StringComparison.Ordinal));
        Assert.Equal(["True", "True", "True", "False", "False", "True"], auto.Held);

        Result cuda = machine.Run("cuda");
        Assert.Equal((2, null), (cuda.Code, cuda.Device));
        Assert.Equal(
            line.Replace(
                "note: device is auto: computing on the CPU, not on a card: ", "error: device is cuda: ", StringComparison.Ordinal),
            Assert.Single(cuda.Errors));
    }

    [EmulationFact]
    public void A_machine_that_has_everything_computes_on_the_card()
    {
        using var machine = new Machine(blas: [("libcublas.so.12", Emulation.Driver)]);
        Result auto = machine.Run("auto");
        Assert.Equal((0, "cuda"), (auto.Code, auto.Device));
        Assert.Empty(auto.Errors);
        Assert.All(auto.Held, held => Assert.Equal("True", held));
    }

    [EmulationTheory]
    [InlineData("FORGETTING_EMU_FAIL=cublasCreate=1", "cuBLAS: cublasCreate_v2: CUBLAS_STATUS_NOT_INITIALIZED (1)")]
    [InlineData("FORGETTING_EMU_CAPABILITY=7.5", "compute capability 7.5 of CUDA emulation, expected 8.0 or newer")]
    [InlineData("FORGETTING_EMU_MEMORY_MB=100", "too little memory: 100 of 100 MiB free, expected at least 256")]
    [InlineData("FORGETTING_EMU_FAIL=cuDevicePrimaryCtxRetain=2", "card: cuDevicePrimaryCtxRetain: CUDA_ERROR_OUT_OF_MEMORY (2)")]
    [InlineData("FORGETTING_EMU_FAIL=cuMemHostAlloc=2", "memory: cuMemHostAlloc: CUDA_ERROR_OUT_OF_MEMORY (2)")]
    [InlineData("FORGETTING_EMU_FAIL=cuModuleLoad=209", "kernels: cuModuleLoad of ")]
    [InlineData("FORGETTING_EMU_DRIVER=11080", "the driver is for CUDA 11.8, expected 12.0 or newer")]
    [InlineData("CUDA_VISIBLE_DEVICES=", "no card: the driver shows none with CUDA_VISIBLE_DEVICES=")]
    [InlineData("FORGETTING_EMU_DEVICES=0", "no card: the driver shows none (")]
    public void What_does_not_hold_is_named_and_the_cpu_computes(string variable, string found)
    {
        // ManagedCuda has words of its own for what the driver says.
        if (!BuiltInBindingsFactAttribute.AreUsed)
            found = found[..(found.IndexOf(": ", StringComparison.Ordinal) + 1)];

        using var machine = new Machine(blas: [("libcublas.so.12", Emulation.Driver)]);
        Result auto = machine.Run("auto", variable);
        Assert.Equal((0, "cpu"), (auto.Code, auto.Device));
        Assert.StartsWith(
            $"note: device is auto: computing on the CPU, not on a card: {found}", Assert.Single(auto.Errors), StringComparison.Ordinal);
        Result cuda = machine.Run("cuda", variable);
        Assert.Equal((2, null), (cuda.Code, cuda.Device));
        Assert.StartsWith($"error: device is cuda: {found}", Assert.Single(cuda.Errors), StringComparison.Ordinal);
        Assert.Contains("False", cuda.Held);
    }

    /// <summary>NVIDIA's rule: a driver runs libraries of its own major version of CUDA and of older ones.</summary>
    [BuiltInBindingsFact]
    public void The_cuBLAS_is_of_the_drivers_CUDA()
    {
        using var both = new Machine(blas: [("libcublas.so.12", Emulation.Driver), ("libcublas.so.13", s_otherLibrary)]);
        Assert.Equal("cuda", both.Run("auto", "FORGETTING_EMU_DRIVER=12040").Device);

        // The same folder with a driver for 13 takes the newer one, which here is none.
        Assert.Contains("cuBLAS: ", Assert.Single(both.Run("auto", "FORGETTING_EMU_DRIVER=13000").Errors), StringComparison.Ordinal);

        using var older = new Machine(blas: [("libcublas.so.12", Emulation.Driver)]);
        Assert.Equal("cuda", older.Run("auto", "FORGETTING_EMU_DRIVER=13000").Device);

        using var newer = new Machine(blas: [("libcublas.so.13", Emulation.Driver)]);
        Assert.Contains(s_blas, Assert.Single(newer.Run("auto", "FORGETTING_EMU_DRIVER=12040").Errors), StringComparison.Ordinal);
        Assert.Equal("cuda", newer.Run("auto", "FORGETTING_EMU_DRIVER=13000").Device);
    }

    [EmulationFact]
    public void A_card_is_chosen_by_its_number_among_those_that_are_visible()
    {
        using var machine = new Machine(blas: [("libcublas.so.12", Emulation.Driver)]);
        Result second = machine.Run("cuda:1", "FORGETTING_EMU_DEVICES=3");
        Assert.Equal((0, "cuda:1", "CUDA emulation, card 1"), (second.Code, second.Device, second.Card));
        Assert.Equal("CUDA emulation, card 2", machine.Run("cuda", "FORGETTING_EMU_DEVICES=3", "CUDA_VISIBLE_DEVICES=2").Card);
        Result missing = machine.Run("cuda:1", "FORGETTING_EMU_DEVICES=3", "CUDA_VISIBLE_DEVICES=2");
        Assert.Equal(2, missing.Code);
        Assert.StartsWith(
            "error: device is cuda:1: no card 1: the driver shows 1 with CUDA_VISIBLE_DEVICES=2 ", Assert.Single(missing.Errors),
            StringComparison.Ordinal);
    }

    [EmulationFact]
    public void Hiding_the_machines_cards_does_not_hide_the_emulation()
    {
        using var machine = new Machine();
        Assert.Equal("cuda-emu", machine.Run("cuda-emu", "FORGETTING_EMU_DEVICES", "CUDA_VISIBLE_DEVICES=-1").Device);
    }

    [EmulationFact]
    public void Kernels_of_another_version_are_named()
    {
        using var machine = new Machine(blas: [("libcublas.so.12", Emulation.Driver)], kernels: false);
        machine.Link("forgetting.fatbin", Emulation.BrokenKernels);
        Result result = machine.Run("cuda");
        Assert.Equal(2, result.Code);
        Assert.Contains(
            "they are of another version than this program; ./build.sh kernels makes them anew", Assert.Single(result.Errors),
            StringComparison.Ordinal);
    }

    [EmulationTheory]
    [InlineData("10.0", "sm_80", "sm_90", true)]
    [InlineData("12.0", "sm_100", "sm_90", true)]
    [InlineData("12.0", "sm_90", "sm_120", false)]
    [InlineData("8.9", "sm_86", "sm_90", false)]
    [InlineData("8.6", "sm_89", "sm_90", true)]
    public void Kernels_that_the_driver_must_compile_are_announced(string capability, string first, string second, bool announced)
    {
        using var machine = new Machine(blas: [("libcublas.so.12", Emulation.Driver)]);
        machine.Write("kernels.txt", $"kernel arch registers\nadd_f32 {first} 16\nadd_f32 {second} 16\n");
        Result result = machine.Run("cuda", $"FORGETTING_EMU_CAPABILITY={capability}");
        Assert.Equal((0, announced ? 1 : 0), (result.Code, result.Errors.Length));
        Assert.All(result.Errors, line => Assert.Contains(
            $"has code for {first}, {second} and none for this card's compute capability {capability}: the driver compiles", line,
            StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("gpu")]
    [InlineData("cuda:")]
    [InlineData("cuda:-1")]
    [InlineData("cuda:1x")]
    [InlineData("cuda:99999999999")]
    public void What_is_no_device_is_refused(string name) => Assert.Equal(
        $"device is \"{name}\", expected auto, cpu, cuda, cuda:N, cuda-emu or cuda-ptx",
        Assert.Throws<UserException>(() => DeviceName.Parse(name)).Message);

    [Fact]
    public void A_card_without_a_driver_is_seen()
    {
        using var bus = new TemporaryFolder();
        Assert.Null(PciBus.NvidiaCard(bus["nowhere"]));
        bus.Write("0000:00:02.0/vendor", "0x8086\n");
        bus.Write("0000:00:02.0/class", "0x030000\n");
        bus.Write("0000:01:00.1/vendor", "0x10de\n"); // the sound of a card
        bus.Write("0000:01:00.1/class", "0x040300\n");
        Assert.Null(PciBus.NvidiaCard(bus.Path));
        bus.Write("0000:02:00.0/vendor", "0x10de\n");
        bus.Write("0000:02:00.0/class", "0x030200\n");
        Assert.Equal("0000:02:00.0", PciBus.NvidiaCard(bus.Path));
    }

    /// <summary>What <c>doctor --json</c> left.</summary>
    private sealed record Result(int Code, string Output, string[] Errors)
    {
        private JsonElement Report => JsonDocument.Parse(Output).RootElement;

        public string? Device => Report.TryGetProperty("device", out JsonElement device) ? device.GetString() : null;

        public string? Card => Report.TryGetProperty("card", out JsonElement card) ? card.GetString() : null;

        public string[] Held => [.. Report.GetProperty("requirements").EnumerateArray().Select(r => r.GetProperty("holds").ToString())];
    }

    /// <summary>A folder of libraries that stand in for those of a machine.</summary>
    private sealed class Machine : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private string _program = typeof(CommandLine).Assembly.Location;

        public Machine((string Name, string Target)[]? blas = null, bool kernels = true)
        {
            Link("libcuda.so.1", Emulation.Driver);
            Link(Path.GetFileName(Emulation.Driver), Emulation.Driver);
            foreach ((string name, string target) in blas ?? [])
            {
                Link(name, target);
            }

            // As ManagedCuda calls them, and what it needs beside the emulation.
            if (!BuiltInBindingsFactAttribute.AreUsed)
            {
                Link("libcuda.so", Emulation.Driver);
                Link("managedcuda", Path.Combine(Path.GetDirectoryName(Emulation.Driver)!, "managedcuda"));
                if (blas is { Length: > 0 })
                    Link("libcublas.so", blas[0].Target);
            }

            if (kernels)
                Link("forgetting.fatbin", Emulation.FastKernels);
        }

        public void Link(string name, string target) => File.CreateSymbolicLink(_folder[name], target);

        public void Write(string name, string text) => _folder.Write(name, text);

        /// <summary>Away from the checkout, whose kernels the program would find where they are built.</summary>
        public void MoveProgram()
        {
            string from = Path.GetDirectoryName(_program)!;
            foreach (string file in Directory.EnumerateFiles(from).Where(file => Path.GetExtension(file) is ".dll" or ".json"))
            {
                File.Copy(file, _folder[Path.GetFileName(file)]);
            }

            _program = _folder[Path.GetFileName(_program)];
        }

        public Result Run(string device, params string[] variables)
        {
            var start =
                new ProcessStartInfo("dotnet", [_program, "doctor", "--device", device, "--dtype", "fp32", "--no-timings", "--json"])
                {
                    RedirectStandardOutput = true,
                    RedirectStandardError = true,
                };
            start.Environment["LD_LIBRARY_PATH"] = _folder.Path;
            start.Environment["FORGETTING_NATIVE"] = _folder.Path;
            start.Environment["FORGETTING_EMU_DEVICES"] = "1";
            start.Environment.Remove("CUDA_VISIBLE_DEVICES");
            foreach (string[] variable in variables.Select(v => v.Split('=', 2)))
            {
                start.Environment[variable[0]] = variable.Length == 2 ? variable[1] : null; // a name alone is unset
            }

            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return new Result(process.ExitCode, output, errors.Result.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        }

        public void Dispose() => _folder.Dispose();
    }
}

/// <summary>A test of what the built-in bindings do and ManagedCuda does not; it needs the emulation.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class BuiltInBindingsFactAttribute : FactAttribute
{
    /// <summary>Skips the test in a build on ManagedCuda.</summary>
    public BuiltInBindingsFactAttribute() =>
        Skip = AreUsed ? Emulation.Missing ?? Skip : "ManagedCuda takes the cuBLAS that is called libcublas.so";

    /// <summary>Whether this is a build on the built-in bindings.</summary>
    public static bool AreUsed { get; } = File.Exists(Path.Combine(AppContext.BaseDirectory, "Forgetting.Cuda.dll"));
}

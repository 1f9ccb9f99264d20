using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;
using Forgetting.Operations;
using Forgetting.Tensors;
using Forgetting.Testing;

namespace Forgetting.Cuda.Tests;

/// <summary>What happens once in a process, for <see cref="ProcessTests"/>: prints what a user would see.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        switch (args)
        {
            case ["leak"]:
                CudaLibrary.UseEmulation(Emulation.Driver);
                var context = new PrimaryContext();
                context.SetCurrent();
                var kept = new CudaDeviceVariable<float>(10);
                using (new CudaDeviceVariable<float>(20))
                {
                }

                Print(() => Recording.Check(DriverAPINativeMethods.ContextManagement.cuDevicePrimaryCtxRelease(default)));
                GC.KeepAlive(kept);
                return 0;
            case ["no-driver"]:
                Console.WriteLine(CudaLibrary.IsAvailable);
                Print(() => CudaContext.GetDeviceCount());
                return 0;
            case ["no-emulation"]:
                Print(() => CudaLibrary.UseEmulation("/no/such/library.so"));
                return 0;
            case ["too-late"]:
                CudaLibrary.UseEmulation(Emulation.Driver);
                CudaLibrary.UseEmulation(Emulation.Driver);
                Print(() => CudaLibrary.UseEmulation(Emulation.Kernels));
                return 0;
            case ["count"]:
                CudaLibrary.UseEmulation(Emulation.Driver);
                using (var counted = new PrimaryContext())
                {
                    counted.SetCurrent();
                    CUmodule module = counted.LoadModule(Emulation.BrokenPtx);
                    using (var x = new CudaDeviceVariable<float>(100))
                    {
                        x.Memset((byte)0);
                        new CudaKernel("axpy", module) { BlockDimensions = new dim3(64), GridDimensions = new dim3(2) }.Run(
                            1f, x.DevicePointer, x.DevicePointer, 96);
                    }

                    counted.UnloadModule(module);
                }

                return 0;
            case ["mutant", string library, .. string[] operations]:
                return Survives(library == "forgetting_kernels", operations) ? 0 : 3;
            default:
                return 2;
        }
    }

    // For tools/mutate-kernels.py: whether all cases of some operations pass on the kernels that FORGETTING_NATIVE names.
    private static bool Survives(bool checks, string[] operations)
    {
        OperationCase[] cases = [.. OperationCases.All.Where(each => !each.Large && operations.Contains(each.Operation))
            .OrderBy(each => each.Operands.Sum(operand => operand.Shape.Count))];
        using CudaBackend bfloat16 = CardSurvey.OpenEmulation(DType.BFloat16, checks);
        using CudaBackend float32 = CardSurvey.OpenEmulation(DType.Float32, checks);
        foreach (OperationCase each in cases)
        {
            foreach (CudaBackend backend in (CudaBackend[])[bfloat16, float32])
            {
                try
                {
                    OperationTests.Check(backend, each.Name);
                }
                catch (Exception error)
                {
                    Console.WriteLine($"{each.Name}: {error.Message.Split('\n')[0]}");
                    return false;
                }
            }
        }

        return true;
    }

    private static void Print(Action action)
    {
        try
        {
            action();
            Console.WriteLine("no error");
        }
        catch (Exception e) when (e is CudaException or CudaLibraryException or InvalidOperationException or DllNotFoundException)
        {
            Console.WriteLine($"{e.GetType().Name}: {e.Message}");
        }
    }
}

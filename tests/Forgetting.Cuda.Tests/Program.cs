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

                Print(context.Dispose);
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
            default:
                return 2;
        }
    }

    private static void Print(Action action)
    {
        try
        {
            action();
            Console.WriteLine("no error");
        }
        catch (Exception e) when (e is CudaException or CudaLibraryException or InvalidOperationException)
        {
            Console.WriteLine($"{e.GetType().Name}: {e.Message}");
        }
    }
}

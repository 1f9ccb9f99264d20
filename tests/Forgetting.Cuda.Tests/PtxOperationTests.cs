using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;
using Forgetting.Operations;
using Forgetting.Tensors;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// Every operation of the CUDA backend as nvcc compiles it, instruction by instruction: against the plain version, and
/// to the bit in every order of warps.
/// </summary>
[Collection("emulation")]
public sealed class PtxOperationTests(PtxOperationTests.Backends backends) : IClassFixture<PtxOperationTests.Backends>
{
    public static TheoryData<string> Names => [.. OperationCases.SmallNames];

    [PtxTheory]
    [MemberData(nameof(Names))]
    public void Float32_agrees_with_the_plain_version_in_every_order_of_warps(string name) =>
        OperationTests.Check(backends.Float32!, name);

    [PtxTheory]
    [MemberData(nameof(Names))]
    public void BFloat16_agrees_with_the_plain_version_in_every_order_of_warps(string name) =>
        OperationTests.Check(backends.BFloat16!, name);

    /// <summary>Both storage types, opened once for all tests of the class.</summary>
    public sealed class Backends : IDisposable
    {
        public Backends()
        {
            if (Emulation.MissingPtx is null)
            {
                CudaLibrary.UseEmulation(Emulation.Driver);
                Float32 = Open(DType.Float32);
                BFloat16 = Open(DType.BFloat16);
            }
        }

        internal CudaBackend? Float32 { get; }

        internal CudaBackend? BFloat16 { get; }

        public void Dispose()
        {
            Float32?.Dispose();
            BFloat16?.Dispose();
        }

        private static CudaBackend Open(DType type)
        {
            using var survey = CardSurvey.OfInterpreter(type, Emulation.Ptx);
            return survey.Take();
        }
    }
}

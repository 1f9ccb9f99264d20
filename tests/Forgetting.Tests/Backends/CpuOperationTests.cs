using Forgetting.Backends.Cpu;
using Forgetting.Testing.Operations;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>Every operation of the CPU backend against the plain versions.</summary>
public sealed class CpuOperationTests : IDisposable
{
    private readonly CpuBackend _backend = new();

    public static TheoryData<string> Names => OperationCases.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public void Agrees_with_the_plain_version(string name) => OperationRunner.Check(_backend, OperationCases.Named(name));

    public void Dispose() => _backend.Dispose();
}

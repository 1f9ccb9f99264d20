using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>A theory that needs the <see cref="Emulation"/> and <see cref="SharedData"/>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class EmulatedDataTheoryAttribute : TheoryAttribute
{
    public EmulatedDataTheoryAttribute() =>
        Skip = Emulation.Missing ?? (SharedData.Folder is null ? "../shared/data is not beside the repository" : null);
}

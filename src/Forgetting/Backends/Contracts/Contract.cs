using System.Runtime.CompilerServices;
using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

/// <summary>
/// What every backend demands of an operation's operands, in one place: a method for each operation of <see cref="IBackend"/>, under its
/// name, called before anything is read. Sizes, element types, and what may not lie in the same memory; values (ids within a table,
/// offsets that grow) are the caller's.
/// </summary>
/// <remarks>A breach is a fault of this program, not of its user: <see cref="ArgumentException"/> with the condition that failed.</remarks>
internal static partial class Contract
{
    private static void Require(bool condition, [CallerArgumentExpression(nameof(condition))] string expression = "")
    {
        if (!condition)
            Throw(expression);

        static void Throw(string expression) => throw new ArgumentException($"shapes or types do not fit: expected {expression}");
    }

    // Same number of elements and type: the layout of rows does not matter to what is done element by element.
    private static bool Alike(Tensor a, Tensor b) => a.Count == b.Count && a.DType == b.DType;

    private static bool Same(ColumnView a, ColumnView b) => a.Shape == b.Shape && a.DType == b.DType;

    private static bool Float(Tensor a) => a.DType == DType.Float32;

    private static bool Int(Tensor a) => a.DType == DType.Int32;

    private static bool Apart(ColumnView output, ColumnView input) => output.IsApartFrom(input);
}

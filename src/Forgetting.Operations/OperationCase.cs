using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Operations;

/// <summary>What an operation may do to an operand.</summary>
internal enum OperandRole
{
    /// <summary>Read only: its bits must be the same afterwards.</summary>
    Input,

    /// <summary>Overwritten whole: it holds NaN before, so that what is read or left out shows.</summary>
    Output,

    /// <summary>Read and written: sums that are added to, and everything in place.</summary>
    Updated,
}

/// <summary>Values of an operand, drawn anew for every check; the earlier operands' values are given as the backend stores them.</summary>
public delegate double[] Values(Random random, double[][] earlier);

/// <summary>One tensor of a case.</summary>
/// <param name="Name">Name as in the interface.</param>
/// <param name="Shape">Rows and columns.</param>
/// <param name="Type">Element type, or null for the backend's storage type.</param>
/// <param name="Role">What may happen to it.</param>
/// <param name="Values">Values before the call.</param>
internal sealed record Operand(string Name, Shape Shape, DType? Type, OperandRole Role, Values Values)
{
    /// <summary>Factor on the tolerance of the element type (see <see cref="OperationRunner"/>); 0 demands equality.</summary>
    public double Loosen { get; init; } = 1;

    /// <summary>
    /// A further factor where the operand is BFloat16, for results of several steps whose intermediates are rounded to it.
    /// </summary>
    public double LoosenBFloat16 { get; init; } = 1;

    /// <summary>
    /// Errors are relative to the element but at least to this: the root mean square of what is expected where null. Give it where terms
    /// much larger than the result cancel by nature.
    /// </summary>
    public double? Scale { get; init; }

    /// <summary>
    /// Whether errors are relative to at least the root mean square of their row, where that is larger than that of all: for rows of very
    /// different size, as means over few and over many values are.
    /// </summary>
    public bool ScaleByRow { get; init; }

    /// <summary>Elements by which this tensor starts past an aligned address, beside those of the case.</summary>
    public int Shift { get; init; }
}

/// <summary>One call of one operation, the same on every backend.</summary>
/// <param name="Operation">Name of the method.</param>
/// <param name="Variant">What is particular about this call; unique within the operation.</param>
internal sealed record OperationCase(string Operation, string Variant)
{
    /// <summary>The tensors, in the order in which <see cref="Run"/> and <see cref="Expect"/> number them.</summary>
    public required Operand[] Operands { get; init; }

    /// <summary>The call.</summary>
    public required Action<IBackend, Tensor[]> Run { get; init; }

    /// <summary>
    /// The plain version: finds in its array the values of all operands before the call, as the backend stores them, and puts a new array
    /// wherever one changes. It must not write into the arrays it is given.
    /// </summary>
    public required Action<double[][]> Expect { get; init; }

    /// <summary>Tens of millions of products or more: for devices, not for their emulation.</summary>
    public bool Large { get; init; }

    /// <summary>Elements by which every tensor starts past an aligned address, as row ranges of odd matrices do.</summary>
    public int Shift { get; init; }

    /// <summary>Operation and variant.</summary>
    public string Name => $"{Operation} {Variant}";

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>Short ways to write operands.</summary>
internal static class Operands
{
    /// <summary>A read-only tensor in storage type.</summary>
    public static Operand Input(string name, int rows, int columns, Values? values = null) =>
        new(name, new(rows, columns), null, OperandRole.Input, values ?? Normal(rows * columns));

    /// <summary>A read-only Float32 tensor.</summary>
    public static Operand Input32(string name, int rows, int columns, Values? values = null) =>
        Input(name, rows, columns, values) with { Type = DType.Float32 };

    /// <summary>A read-only row of integers.</summary>
    public static Operand Integers(string name, params int[] values) =>
        new(name, new(values.Length), DType.Int32, OperandRole.Input, (_, _) => Array.ConvertAll(values, value => (double)value));

    /// <summary>A tensor in storage type that is overwritten.</summary>
    public static Operand Output(string name, int rows, int columns) =>
        new(name, new(rows, columns), null, OperandRole.Output, Constant(rows * columns, double.NaN));

    /// <summary>A Float32 tensor that is overwritten.</summary>
    public static Operand Output32(string name, int rows, int columns) => Output(name, rows, columns) with { Type = DType.Float32 };

    /// <summary>A row of integers that is overwritten.</summary>
    public static Operand OutputIntegers(string name, int columns) =>
        new(name, new(columns), DType.Int32, OperandRole.Output, Constant(columns, int.MinValue)) { Loosen = 0 };

    /// <summary>A tensor of bytes that is read and written, compared for equality; any bytes before.</summary>
    public static Operand UpdatedBytes(string name, int columns) =>
        new(name, new(columns), DType.UInt8, OperandRole.Updated, (random, _) => [.. Bytes(random, columns)]) { Loosen = 0 };

    /// <summary>A tensor in storage type that is read and written.</summary>
    public static Operand Updated(string name, int rows, int columns, Values? values = null) =>
        Input(name, rows, columns, values) with { Role = OperandRole.Updated };

    /// <summary>A Float32 tensor that is read and written.</summary>
    public static Operand Updated32(string name, int rows, int columns, Values? values = null) =>
        Updated(name, rows, columns, values) with { Type = DType.Float32 };

    /// <summary>The same operand, compared for equality.</summary>
    public static Operand Exact(this Operand operand) => operand with { Loosen = 0 };

    /// <summary>Normal random numbers.</summary>
    public static Values Normal(int count, double deviation = 1, double mean = 0) => (random, _) => Draw(random, count, deviation, mean);

    /// <summary>Uniform random numbers.</summary>
    public static Values Uniform(int count, double low, double high) =>
        (random, _) => [.. Enumerable.Range(0, count).Select(_ => low + ((high - low) * random.NextDouble()))];

    /// <summary>One number everywhere.</summary>
    public static Values Constant(int count, double value) => (_, _) => [.. Enumerable.Repeat(value, count)];

    /// <summary>These numbers.</summary>
    public static Values Given(params double[] values) => (_, _) => [.. values];

    /// <summary>Normal random numbers by the method of Box and Muller.</summary>
    public static double[] Draw(Random random, int count, double deviation = 1, double mean = 0) =>
        [.. Enumerable.Range(0, count).Select(_ =>
            mean + (deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];

    private static IEnumerable<double> Bytes(Random random, int count) => Enumerable.Range(0, count).Select(_ => (double)random.Next(256));

    /// <summary>An operand's values as integers.</summary>
    public static int[] Ints(this double[] values) => Array.ConvertAll(values, value => (int)value);
}

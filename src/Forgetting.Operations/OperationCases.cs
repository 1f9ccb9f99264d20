using Forgetting.Tensors;

namespace Forgetting.Operations;

/// <summary>
/// The one corpus of operation cases; every backend runs it against the plain versions in <c>Reference/</c>.
/// </summary>
/// <remarks>
/// To add a case, go to the file of the operation's group (Memory, Dense, LowRank, Sequence, Attention, Elementwise, Loss, Sink or
/// Optimizer cases) and yield one more <see cref="OperationCase"/>: the operands in order with their roles (<see cref="Operands"/>), the
/// call on the tensors of the same numbers, and the plain version on the arrays of the same numbers. Its name must be new; a new operation
/// also needs its plain version, checked in ReferenceOperationTests. Nothing else: all test projects and <c>doctor --all</c> pick it up
/// from <see cref="All"/>, and <see cref="Misaligned"/> shifts each operand of one of the operation's cases by itself.
/// </remarks>
internal static class OperationCases
{
    /// <summary>
    /// Ways in which sequences lie end to end: one token, one sequence, a single-token tail, many short ones, odd lengths.
    /// </summary>
    internal static int[][] Layouts { get; } =
    [
        [0, 1],
        [0, 7],
        [0, 5, 12, 13],
        [.. Enumerable.Range(0, 41).Select(i => i * 3 / 2)],
        [0, 33, 98, 99, 128],
    ];

    private static readonly OperationCase[] s_written =
    [
        .. MemoryCases.All(), .. DenseCases.All(), .. LowRankCases.All(), .. MagnitudeCases.All(), .. SequenceCases.All(),
        .. AttentionCases.All(), .. ElementwiseCases.All(), .. LossCases.All(), .. SinkCases.All(), .. OptimizerCases.All(),
        .. ColumnCases.All(),
    ];

    private static readonly Dictionary<string, OperationCase> s_byName =
        s_written.Concat(Misaligned(s_written)).ToDictionary(operationCase => operationCase.Name);

    /// <summary>Every case.</summary>
    public static IReadOnlyCollection<OperationCase> All => s_byName.Values;

    /// <summary>Names of all cases.</summary>
    public static IEnumerable<string> Names => s_byName.Keys;

    /// <summary>Names of the cases that an emulated device runs in reasonable time.</summary>
    public static IEnumerable<string> SmallNames =>
        All.Where(operationCase => !operationCase.Large).Select(operationCase => operationCase.Name);

    /// <summary>The case of that name.</summary>
    public static OperationCase Named(string name) => s_byName[name];

    /// <summary>
    /// Of every operation a small case whose rows are whole packs of 16 bytes, as often as it has operands, each time with one of them an
    /// element past an aligned address: what is read or written in packs must look at every address.
    /// </summary>
    private static IEnumerable<OperationCase> Misaligned(OperationCase[] cases)
    {
        foreach (IGrouping<string, OperationCase> operation in cases.Where(each => !each.Large && each.Shift == 0)
            .GroupBy(each => each.Operation))
        {
            // Two packs of bfloat16 or more a row. A number for each row or sequence is read by itself.
            // Where a call may be in place, the one that is not has more operands.
            OperationCase small = operation
                .OrderBy(each => Numbers(each).Count(operand => operand.Shape.Columns > 4 && operand.Shape.Columns % 16 != 0))
                .ThenByDescending(each => each.Operands.Length)
                .ThenByDescending(each => Numbers(each).Max(operand => operand.Shape.Columns) >= 16)
                .ThenBy(each => each.Operands.Sum(operand => operand.Shape.Count)).First();
            for (int i = 0; i < small.Operands.Length; i++)
            {
                Operand[] operands = [.. small.Operands];
                operands[i] = operands[i] with { Shift = 1 };
                if (operands[i].Type is not (DType.Int32 or DType.NormalFloat4))
                    yield return small with { Variant = $"{small.Variant}, {operands[i].Name} misaligned", Operands = operands };
            }
        }

        static IEnumerable<Operand> Numbers(OperationCase each) => each.Operands.Where(operand => operand.Type != DType.Int32);
    }
}

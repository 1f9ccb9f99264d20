using Forgetting.Backends;
using Forgetting.Core;

namespace Forgetting.Operations;

/// <summary>What became of an operation's cases.</summary>
/// <param name="Operation">Method of <see cref="IBackend"/>.</param>
/// <param name="Cases">Cases that were run.</param>
/// <param name="Faults">What is wrong, a line for each case that fails.</param>
internal sealed record OperationResult(string Operation, int Cases, IReadOnlyList<string> Faults);

/// <summary>Runs the corpus on a device.</summary>
internal static class OperationSurvey
{
    /// <summary>One record an operation, as they are done.</summary>
    /// <param name="large">Whether to run those of tens of millions of products, too.</param>
    /// <param name="names">The operations; empty for all.</param>
    /// <exception cref="UserException">There is no operation of a name.</exception>
    public static IEnumerable<OperationResult> Run(IBackend backend, bool large, IReadOnlyList<string> names)
    {
        ILookup<string, OperationCase> cases = OperationCases.All.Where(c => large || !c.Large).ToLookup(c => c.Operation);
        if (names.FirstOrDefault(name => !cases.Contains(name)) is { } unknown)
            throw new UserException($"operations: \"{unknown}\" is none, expected some of {string.Join(", ", cases.Select(o => o.Key))}");

        return Run(backend, cases.Where(o => names.Count == 0 || names.Contains(o.Key)));
    }

    private static IEnumerable<OperationResult> Run(IBackend backend, IEnumerable<IGrouping<string, OperationCase>> operations)
    {
        foreach (IGrouping<string, OperationCase> operation in operations)
        {
            List<string> faults = [];
            foreach (OperationCase operationCase in operation)
            {
                try
                {
                    OperationRunner.Check(backend, operationCase);
                }
                catch (OperationFaultException fault)
                {
                    faults.Add(fault.Message);
                }
            }

            yield return new(operation.Key, operation.Count(), faults);
        }
    }
}

using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Operations;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>
/// The runner of the operation cases finds what it is there to find: a correct call that then does one thing wrong must fail.
/// </summary>
public sealed class OperationRunnerTests : IDisposable
{
    private readonly CpuBackend _backend = new(threads: 1);
    private int _runs;

    [Fact]
    public void Accepts_the_correct_call() => OperationRunner.Check(_backend, Multiply((_, _) => { }));

    [Fact]
    public void Every_operation_has_cases()
    {
        Type[] groups =
        [
            typeof(IDenseOperations), typeof(ISequenceOperations), typeof(IElementwiseOperations), typeof(ILossOperations),
            typeof(ISinkOperations), typeof(IOptimizerOperations),
        ];
        Assert.Empty(groups.SelectMany(g => g.GetMethods()).Select(m => m.Name).Except(OperationCases.All.Select(c => c.Operation)));
    }

    [Fact]
    public void A_survey_runs_what_it_is_asked_for()
    {
        OperationResult[] results = [.. OperationSurvey.Run(_backend, large: false, ["Rope", "Copy"])];
        Assert.Equal([("Copy", true), ("Rope", true)], results.Select(r => (r.Operation, r.Faults.Count == 0)).Order());
        Assert.Equal(OperationCases.All.Count(c => c.Operation is "Rope" or "Copy" && !c.Large), results.Sum(r => r.Cases));
        Assert.Contains(
            "\"Rops\" is none", Assert.Throws<UserException>(() => OperationSurvey.Run(_backend, large: false, ["Rops"])).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Finds_a_write_behind_an_output() => AssertFault(
        "memory behind y was written, 0 bytes away", (b, t) => b.Fill(At(t[2], (int)t[2].Count), 1));

    [Fact]
    public void Finds_a_write_before_an_output() => AssertFault(
        "memory before y was written, 4 bytes away", (b, t) => b.Fill(At(t[2], -1), 1));

    [Fact]
    public void Finds_a_write_behind_an_input() => AssertFault(
        "memory behind b was written, 8 bytes away", (b, t) => b.Fill(At(t[1], (int)t[1].Count + 2), 1));

    [Fact]
    public void Finds_a_changed_input() => AssertFault("a is an input and was changed", (b, t) => b.Scale(t[0], 1.5f));

    [Fact]
    public void Finds_an_element_left_out() => AssertFault(
        "1 of 21 elements of y [3, 7] are wrong, worst [1, 3] = NaN", (b, t) => b.Fill(At(t[2], 10), float.NaN));

    [Fact]
    public void Finds_an_error_of_one_in_ten_thousand() => AssertFault("elements of y [3, 7] are wrong", (b, t) => b.Scale(t[2], 1.0001f));

    [Fact]
    public void Finds_results_that_differ_between_runs() => AssertFault(
        "y differs between two runs on the same inputs", (b, t) => b.Scale(t[2], 1 + (_runs++ * 1e-6f)));

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1 + (1 / 256.0), 1)]
    [InlineData(1 + (3 / 256.0), 1 + (4 / 256.0))]
    [InlineData(1.0039064, 1 + (2 / 256.0))]
    [InlineData(-3.4e38, double.NegativeInfinity)]
    public void Stores_BFloat16_as_the_nearest_with_ties_to_even(double value, double expected) =>
        Assert.Equal(expected, OperationRunner.Stored(value, DType.BFloat16));

    public void Dispose() => _backend.Dispose();

    private static Tensor At(Tensor tensor, int element) => new(tensor.Pointer + (element * sizeof(float)), new Shape(1), DType.Float32);

    private static OperationCase Multiply(Action<IBackend, Tensor[]> fault)
    {
        OperationCase correct = OperationCases.Named("Multiply 3x7");
        return correct with
        {
            Run = (backend, tensors) =>
            {
                correct.Run(backend, tensors);
                fault(backend, tensors);
            },
        };
    }

    private void AssertFault(string message, Action<IBackend, Tensor[]> fault) =>
        Assert.Contains(message, Assert.Throws<OperationFaultException>(() => OperationRunner.Check(_backend, Multiply(fault))).Message);
}

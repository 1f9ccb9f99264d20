using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// A term of the objective on hidden states: it adds its gradient where they are made. What it takes of the arena as
/// scratch is given back with the step.
/// </summary>
internal interface IRegularizer
{
    /// <summary>Before a block: may change its input in place.</summary>
    /// <param name="block">Number of the block, from 0.</param>
    /// <param name="x">[T, C] a term of the block's input, storage type.</param>
    void Disturb(IBackend backend, Arena arena, TokenBatch batch, int block, Tensor x)
    {
    }

    /// <summary>Adds the term's gradient with respect to <paramref name="output"/> to <paramref name="dOutput"/>.</summary>
    /// <param name="block">Number of the block, from 0.</param>
    /// <param name="output">[T, C] the block's output, storage type.</param>
    /// <param name="dOutput">[T, C] storage type; already holds the gradient of all that is above.</param>
    void AddBlockGradient(IBackend backend, Arena arena, TokenBatch batch, int block, Tensor output, Tensor dOutput)
    {
    }

    /// <summary>Adds the term's gradient with respect to <paramref name="hidden"/> to <paramref name="dHidden"/>.</summary>
    /// <param name="hidden">[T, C] output of the final norm, storage type.</param>
    /// <param name="offsets">Int32 [1, n + 1] first row of each document.</param>
    /// <param name="dHidden">[T, C] storage type; already holds the loss' gradient.</param>
    void AddGradient(IBackend backend, Arena arena, Tensor hidden, Tensor offsets, Tensor dHidden)
    {
    }
}

/// <summary>A regularizer of an optimiser step, whose documents may go through the model in parts.</summary>
internal interface IStepRegularizer : IRegularizer
{
    /// <summary>Value of the term for the last step.</summary>
    double Value { get; }

    /// <summary>What changes the pass of the objective itself, whose parts are to be compared with the whole; null for nothing.</summary>
    IRegularizer? Disturbance => null;
}

/// <summary>One that looks at the features of all documents of a step together.</summary>
internal interface IFeatureRegularizer : IStepRegularizer
{
    /// <summary>
    /// Tells the features of a whole step that goes through the model in parts. The calls of <see cref="IRegularizer.AddGradient"/> that
    /// follow are for its documents in order; without this, a call's documents are the whole step.
    /// </summary>
    /// <param name="features">[n, C] mean final hidden state of each document, row by row.</param>
    /// <param name="documents">n.</param>
    void BeginStep(ReadOnlySpan<float> features, int documents);

    /// <summary>Passes over the next documents of the step, which go through the model elsewhere.</summary>
    void Skip(int documents);
}

/// <summary>
/// One that sets a second pass of every document against the first; batches hold both (<see cref="BatchBuilder.Twice"/>).
/// </summary>
internal interface IPairRegularizer : IStepRegularizer
{
    /// <summary>Begins a step.</summary>
    /// <param name="seed">The step's random numbers.</param>
    /// <param name="documents">Its documents, each counted once.</param>
    void BeginStep(ulong seed, int documents);
}

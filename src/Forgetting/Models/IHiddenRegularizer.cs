using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>A term of the objective on the final hidden states, such as batch spectral shrinkage: it adds its gradient where they are made.</summary>
internal interface IHiddenRegularizer
{
    /// <summary>Adds the term's gradient with respect to <paramref name="hidden"/> to <paramref name="dHidden"/>.</summary>
    /// <param name="backend">Where to compute.</param>
    /// <param name="arena">Scratch; what is taken is given back with the step.</param>
    /// <param name="hidden">[T, C] output of the final norm, storage type.</param>
    /// <param name="offsets">Int32 [1, n + 1] first row of each document.</param>
    /// <param name="dHidden">[T, C] storage type; already holds the loss' gradient.</param>
    void AddGradient(IBackend backend, Arena arena, Tensor hidden, Tensor offsets, Tensor dHidden);
}

/// <summary>A regularizer that looks at all documents of an optimiser step together, which may go through the model in parts.</summary>
internal interface IStepRegularizer : IHiddenRegularizer
{
    /// <summary>Value of the term for the last batch.</summary>
    double Value { get; }

    /// <summary>
    /// Tells the features of a whole step that goes through the model in parts. The calls of <see cref="IHiddenRegularizer.AddGradient"/> that follow are for its documents in order;
    /// without this, a call's documents are the whole step.
    /// </summary>
    /// <param name="features">[n, C] mean final hidden state of each document, row by row.</param>
    /// <param name="documents">n.</param>
    void BeginStep(ReadOnlySpan<float> features, int documents);
}

using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>A term of the objective on the final hidden states, such as batch spectral shrinkage: it adds its gradient where they are made.</summary>
public interface IHiddenRegularizer
{
    /// <summary>Adds the term's gradient with respect to <paramref name="hidden"/> to <paramref name="dHidden"/>.</summary>
    /// <param name="backend">Where to compute.</param>
    /// <param name="arena">Scratch; what is taken is given back with the step.</param>
    /// <param name="hidden">[T, C] output of the final norm, storage type.</param>
    /// <param name="offsets">Int32 [1, n + 1] first row of each document.</param>
    /// <param name="dHidden">[T, C] storage type; already holds the loss' gradient.</param>
    void AddGradient(IBackend backend, Arena arena, Tensor hidden, Tensor offsets, Tensor dHidden);
}

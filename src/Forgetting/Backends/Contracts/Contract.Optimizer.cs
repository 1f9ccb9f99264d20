using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

internal static partial class Contract
{
    /// <summary><see cref="IOptimizerOperations.Dot"/>; of a tensor with itself, <see cref="IOptimizerOperations.SumOfSquares"/>.</summary>
    public static void Dot(Tensor a, Tensor b, Tensor result, int index)
    {
        Require(Alike(a, b));
        Require(Float(result) && index >= 0 && index < result.Count);
    }

    /// <summary><see cref="IOptimizerOperations.AdamW"/>.</summary>
    public static void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, Tensor numbers)
    {
        Require(Float(master) && Alike(gradient, master) && Alike(m, master) && Alike(v, master));
        Require(value.IsEmpty || value.Count == master.Count);
        Require(numbers.Count == AdamWSettings.NumberCount && Float(numbers));
    }
}

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

    /// <summary><see cref="IOptimizerOperations.StochasticRound"/>.</summary>
    public static void StochasticRound(Tensor x, Tensor y, Rounding rounding) =>
        Require(Float(x) && x.Count == y.Count && Rounds(y, rounding));

    /// <summary><see cref="IOptimizerOperations.AdamW"/>.</summary>
    public static void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, Tensor numbers)
    {
        Require(Alike(m, master) && Alike(v, master));
        Update(master, value, gradient, numbers);
    }

    /// <summary><see cref="IOptimizerOperations.AdamW8Bit"/>.</summary>
    public static void AdamW8Bit(
        Tensor master, Tensor value, Tensor gradient, BlockwiseTensor m, BlockwiseTensor v, Tensor maps, Tensor numbers)
    {
        Require(IsBlockwise(m) && IsBlockwise(v) && m.Codes.Count == master.Count && v.Codes.Count == master.Count);
        Require(Float(maps) && maps.Count == 2 * DynamicMap.Count);
        Update(master, value, gradient, numbers);

        static bool IsBlockwise(BlockwiseTensor x) =>
            x.Codes.DType == DType.UInt8 && Float(x.Scales) && x.Scales.Shape == BlockwiseTensor.ScalesOf(x.Codes.Shape);
    }

    private static bool Rounds(Tensor y, Rounding rounding) =>
        y.DType == DType.BFloat16 && Int(rounding.Key) && rounding.Key.Count == 2;

    private static void Update(Tensor master, Tensor value, Tensor gradient, Tensor numbers)
    {
        Require(Float(master) && Alike(gradient, master));
        Require(value.IsEmpty || value.Count == master.Count);
        Require(numbers.Count == AdamWSettings.NumberCount && Float(numbers));
    }
}

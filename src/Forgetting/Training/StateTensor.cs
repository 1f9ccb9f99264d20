using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>A tensor of a checkpoint of a training.</summary>
/// <param name="Name">Its name there: that of a parameter, whose master it is, or a moment's.</param>
/// <param name="Parameter">Whose it is.</param>
/// <param name="Shape">Its shape there.</param>
/// <param name="DType">Its type: Float32, BFloat16 or UInt8.</param>
/// <param name="First">The first element that this rank has.</param>
/// <param name="Values">What this rank has of it: all, or where ranks divide it a part, which may be empty.</param>
internal readonly record struct StateTensor(string Name, Parameter Parameter, Shape Shape, DType DType, long First, Tensor Values)
{
    /// <summary>What this rank has among some elements of the tensor.</summary>
    /// <param name="first">The first of them.</param>
    /// <param name="most">How many, or fewer at the tensor's end.</param>
    public Tensor Among(long first, int most)
    {
        long start = Math.Max(first, First), end = Math.Min(first + most, First + Values.Count);
        return start < end ? Values.Elements(start - First, (int)(end - start)) : new Tensor(Values.Pointer, new Shape(0), DType);
    }
}

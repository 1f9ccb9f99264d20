using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Values of parameters from the host, in whatever type the backend stores them.</summary>
internal static class ParameterTransfer
{
    /// <summary>Sets rows from <paramref name="firstRow"/> on: the master where there is one, and the value rounded from it.</summary>
    /// <param name="values">Whole rows.</param>
    public static void SetRows(this Parameter parameter, IBackend backend, int firstRow, ReadOnlySpan<float> values)
    {
        int count = WholeRows(parameter, firstRow, values.Length);
        if (parameter.Value.DType == DType.NormalFloat4)
        {
            // Its scales are one another's affair.
            if (count != parameter.Shape.Rows)
                throw new ArgumentException($"{parameter} is quantised, and has its values at once or not at all");

            backend.Upload<byte>(NormalFloat4.Quantize(values.ToArray()), parameter.Value.Raw);
            return;
        }

        Tensor value = parameter.Value.RowRange(firstRow, count);
        if (value.DType == DType.Float32)
        {
            backend.Upload(values, value); // the master is the same memory
        }
        else if (!parameter.Master.IsEmpty && parameter.Master.Pointer != parameter.Value.Pointer)
        {
            Tensor master = parameter.Master.RowRange(firstRow, count);
            backend.Upload(values, master);
            backend.Copy(master, value);
        }
        else
        {
            using DeviceBuffer staging = backend.Allocate((long)values.Length * sizeof(float));
            Tensor exact = staging.AsTensor(value.Shape, DType.Float32);
            backend.Upload(values, exact);
            backend.Copy(exact, value);
            parameter.SetOwnMaster(backend, (long)firstRow * parameter.Shape.Columns, exact);
        }
    }

    /// <summary>Where ranks divide the masters, sets of this rank's part what is among some elements.</summary>
    /// <param name="first">Place of the first in the parameter.</param>
    /// <param name="exact">Float32.</param>
    public static void SetOwnMaster(this Parameter parameter, IMemory memory, long first, Tensor exact)
    {
        if (parameter.OwnMaster() is not { } own)
            return;

        long start = Math.Max(first, own.First), end = Math.Min(first + exact.Count, own.First + own.Values.Count);
        if (start >= end)
            return;

        int count = checked((int)(end - start));
        memory.Copy(exact.Elements(start - first, count), own.Values.Elements(start - own.First, count));
    }

    /// <summary>What this rank has of a parameter's masters where ranks divide these, from which element on; else null.</summary>
    public static (long First, Tensor Values)? OwnMaster(this Parameter parameter)
    {
        if (!parameter.Master.IsEmpty || parameter.Run is not { } run)
            return null;

        foreach ((Parameter each, long first, Tensor values) in run.PartsOf(run.OwnMaster))
        {
            if (each == parameter)
                return (first, values);
        }

        return null;
    }

    private static int WholeRows(Parameter parameter, int firstRow, int length)
    {
        int count = length / parameter.Shape.Columns;
        return length % parameter.Shape.Columns == 0 && firstRow >= 0 && firstRow + count <= parameter.Shape.Rows
            ? count
            : throw new ArgumentException($"{length} values from row {firstRow} do not fit {parameter}");
    }
}

using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Checkpoints;

/// <summary>
/// Adds an adapter into its base checkpoint. Before anything is written, every merged weight, rounded as the file will have it, is taken
/// apart again: W_merged − s·B·A must be the checkpoint's W up to rounding.
/// </summary>
internal static class AdapterMerge
{
    // An update of some thirty times the weights' size leaves five bits fewer of them than their type has; then base
    // and adapter hardly belong together.
    private const double MaxRoundings = 32;

    /// <summary>
    /// Checks, and writes a checkpoint like the source with the adapter merged; without an adapter it only
    /// writes. The decoder stays as it is.
    /// </summary>
    /// <param name="folder">Folder to write; appears whole or not at all.</param>
    /// <param name="source">The checkpoint from which the decoder's base parameters were loaded; still open.</param>
    /// <param name="addFiles">See <see cref="CheckpointWriter.Write"/>.</param>
    /// <param name="type">Element type of the weights in the files; null for the source's.</param>
    /// <exception cref="UserException">A merged weight is not finite or has lost its base weight; or see
    /// <see cref="CheckpointWriter.Write"/>.</exception>
    public static MergeResult Write(
        string folder, Decoder decoder, Checkpoint source, Action<string>? addFiles = null, StoredType? type = null)
    {
        double largest = 0;
        IReadOnlyList<LoraAdapter> adapters = [.. decoder.Adapters.Where(a => !a.IsMerged)];
        Dictionary<Parameter, TensorBinding> bindings = TensorMap.Bind(source, decoder.BaseParameters)
            .Where(b => b.Parameter is not null && b.AliasOf is null).ToDictionary(b => b.Parameter!);
        foreach (LoraAdapter adapter in adapters)
        {
            TensorBinding binding = bindings[adapter.Weight];
            largest = Math.Max(largest, Check(adapter, binding.Name, type ?? binding.Source.Type, decoder.Backend));
        }

        double lost = CheckpointWriter.WriteMerged(
            folder, source, decoder.BaseParameters, adapters, decoder.Backend, CheckpointWriter.DefaultShardBytes, addFiles, type);
        return new MergeResult(largest, lost);
    }

    private static double Check(LoraAdapter adapter, string name, StoredType type, IBackend backend)
    {
        Shape shape = adapter.Weight.Shape;
        using DeviceBuffer first = backend.Allocate(shape.Count * sizeof(float)), second = backend.Allocate(shape.Count * sizeof(float));
        Tensor apart = first.AsTensor(shape, DType.Float32), original = second.AsTensor(shape, DType.Float32);
        backend.Copy(adapter.Weight.Value, original);
        backend.Copy(original, apart);
        adapter.AddUpdate(backend, apart, 1);
        Round(apart, type, backend);
        adapter.AddUpdate(backend, apart, -1);
        (double difference, double weight) = Compare(apart, original, backend);
        double relative = difference == 0 ? 0 : difference / weight;
        return relative <= MaxRoundings * Rounding(type)
            ? relative
            : throw new UserException(
                $"{name}: merged and taken apart again, a weight is off by {difference:0.###e+0} where the largest base "
                + $"weight is {weight:0.###e+0}, "
                + "expected no more than rounding; the adapter's values are not finite or too large for this model");
    }

    private static void Round(Tensor values, StoredType type, IBackend backend)
    {
        if (type == StoredType.F32)
            return;

        float[] row = new float[values.Columns];
        byte[] encoded = new byte[values.Columns * type.Size()];
        for (int i = 0; i < values.Rows; i++)
        {
            backend.Download(values.RowRange(i, 1), row.AsSpan());
            ElementConversion.FromSingle(row, type, encoded);
            ElementConversion.ToSingle(encoded, type, row);
            backend.Upload<float>(row, values.RowRange(i, 1));
        }
    }

    // Largest |a − b|, infinite where one is not finite, and largest |b|.
    private static (double Difference, double Weight) Compare(Tensor a, Tensor b, IBackend backend)
    {
        float[] left = new float[a.Columns], right = new float[b.Columns];
        double difference = 0, weight = 0;
        for (int i = 0; i < a.Rows; i++)
        {
            backend.Download(a.RowRange(i, 1), left.AsSpan());
            backend.Download(b.RowRange(i, 1), right.AsSpan());
            for (int j = 0; j < left.Length; j++)
            {
                double distance = Math.Abs((double)left[j] - right[j]);
                difference = distance >= difference || double.IsNaN(distance)
                    ? double.IsFinite(distance) ? distance : double.PositiveInfinity
                    : difference;
                weight = Math.Max(weight, Math.Abs(right[j]));
            }
        }

        return (difference, weight);
    }

    // Largest relative error of rounding to nearest.
    private static double Rounding(StoredType type) => type switch
    {
        StoredType.BF16 => 1.0 / (1 << 9),
        StoredType.F16 => 1.0 / (1 << 12),
        _ => 1.0 / (1 << 24),
    };
}

/// <summary>What merging found.</summary>
/// <param name="Difference">Largest |W_merged − s·B·A − W| of an adapted layer, as a share of the layer's largest
/// |W|; 0 without an adapter.</param>
/// <param name="RoundingLoss">What rounding to the files' type took from the change of all weights: ‖error‖ /
/// ‖change‖; 0 without a change.</param>
internal readonly record struct MergeResult(double Difference, double RoundingLoss);

using Forgetting.Backends;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.HuggingFace;

/// <summary>
/// Adds an adapter into its base checkpoint. Before anything is written, every merged weight, rounded as the file will have it, is taken apart again: W_merged − s·B·A
/// must be the checkpoint's W up to rounding.
/// </summary>
public static class AdapterMerge
{
    // An update of some thirty times the weights' size leaves five bits fewer of them than their type has; then base and adapter hardly belong together.
    private const double MostRoundings = 32;

    /// <summary>Merges, checks, and writes a checkpoint like the source; without an adapter it only writes.</summary>
    /// <param name="folder">Folder to write; appears whole or not at all.</param>
    /// <param name="source">The checkpoint from which the decoder's base parameters were loaded; still open.</param>
    /// <param name="addFiles">See <see cref="CheckpointWriter.Write"/>.</param>
    /// <returns>Largest |W_merged − s·B·A − W| of an adapted layer, as a share of the layer's largest |W|; 0 without an adapter.</returns>
    /// <exception cref="UserException">A merged weight is not finite or has lost its base weight; or see <see cref="CheckpointWriter.Write"/>.</exception>
    public static double Write(string folder, Decoder decoder, Checkpoint source, Action<string>? addFiles = null)
    {
        double largest = 0;
        if (decoder.Lora is not null)
        {
            decoder.MergeAdapter();
            Dictionary<Parameter, TensorBinding> bindings = TensorMap.Bind(source, decoder.BaseParameters)
                .Where(b => b.Parameter is not null && b.AliasOf is null).ToDictionary(b => b.Parameter!);
            var buffers = new TransferBuffers();
            foreach (Linear linear in decoder.AdaptedLinears)
            {
                largest = Math.Max(largest, Check(linear, bindings[linear.Weight], decoder.Backend, buffers));
            }
        }

        CheckpointWriter.Write(folder, source, decoder.BaseParameters, decoder.Backend, addFiles: addFiles);
        return largest;
    }

    private static double Check(Linear linear, TensorBinding binding, IBackend backend, TransferBuffers buffers)
    {
        Shape shape = linear.Weight.Shape;
        using DeviceBuffer first = backend.Allocate(shape.Count * sizeof(float)), second = backend.Allocate(shape.Count * sizeof(float));
        Tensor apart = first.AsTensor(shape, DType.Float32), original = second.AsTensor(shape, DType.Float32);
        backend.Copy(linear.Weight.Value, apart);
        Round(apart, binding.Source.Type, backend);
        linear.AddUpdate(backend, apart, -1);
        TensorTransfer.Load(binding.Source, binding.Transposed, original, backend, buffers);
        (double difference, double weight) = Compare(apart, original, backend);
        double relative = difference == 0 ? 0 : difference / weight;
        StoredType coarser = linear.Weight.Value.DType == DType.BFloat16 ? StoredType.BF16 : binding.Source.Type;
        return relative <= MostRoundings * Rounding(coarser)
            ? relative
            : throw new UserException(
                $"{binding.Source.Name}: merged and taken apart again, a weight is off by {difference:0.###e+0} where the largest base weight is {weight:0.###e+0}, "
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
                difference = distance >= difference || double.IsNaN(distance) ? double.IsFinite(distance) ? distance : double.PositiveInfinity : difference;
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

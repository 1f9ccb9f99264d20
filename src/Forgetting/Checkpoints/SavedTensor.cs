using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Checkpoints;

/// <summary>A tensor to write: from a parameter, or, without one, as it lies in the source.</summary>
/// <param name="Entry">Name, type and sizes in the file.</param>
/// <param name="Source">The tensor that the parameter was loaded from, or null.</param>
/// <param name="Parameter">The parameter, or null.</param>
/// <param name="Transposed">The file holds [in, out].</param>
/// <param name="Adapter">The adapter whose update is added to the parameter as it is written, or null.</param>
internal sealed record SavedTensor(
    TensorEntry Entry, StoredTensor? Source, Parameter? Parameter, bool Transposed, LoraAdapter? Adapter = null)
{
    /// <summary>A parameter that comes from no file, in its family's layout.</summary>
    public static SavedTensor New(string name, Parameter parameter, ModelFamily family, StoredType type)
    {
        bool transposed = TensorMap.IsTransposed(family, name);
        Shape shape = parameter.Shape;
        long[] dimensions = parameter.Kind == ParameterKind.Vector ? [shape.Columns]
            : transposed ? [shape.Columns, shape.Rows] : [shape.Rows, shape.Columns];
        return new SavedTensor(new TensorEntry(name, type, dimensions), null, parameter, transposed);
    }

    /// <summary>Writes tensors to one safetensors file.</summary>
    /// <param name="memory">Where the values are: a backend where a tensor has an adapter.</param>
    /// <param name="rounding">Told of what rounding takes from changes; may be null.</param>
    /// <exception cref="UserException">A value is not finite, or too large for its type in the file.</exception>
    public static void WriteFile(
        string path, IReadOnlyList<SavedTensor> tensors, IMemory memory, IReadOnlyDictionary<string, string> metadata,
        UpdateRounding? rounding = null)
    {
        Dictionary<string, SavedTensor> byName = tensors.ToDictionary(i => i.Entry.Name);
        using FileStream stream = File.Create(path, 1 << 20);
        var writer = new SafeTensorsWriter(stream, tensors.Select(i => i.Entry), metadata);
        var buffers = new TransferBuffers();
        foreach (TensorEntry entry in writer.Entries)
        {
            SavedTensor tensor = byName[entry.Name];
            if (tensor.Parameter is not { } parameter)
            {
                TensorTransfer.Copy(tensor.Source!, writer);
            }
            else if (tensor.Adapter is not null || parameter.Value.DType == DType.NormalFloat4)
            {
                // In Float32 whatever the storage type, so that the update is rounded once, to the file's.
                var backend = (IBackend)memory;
                using DeviceBuffer buffer = backend.Allocate(parameter.Shape.Count * sizeof(float));
                Tensor sum = buffer.AsTensor(parameter.Shape, DType.Float32);
                backend.Copy(parameter.Value, sum);
                tensor.Adapter?.AddUpdate(backend, sum, 1);
                TensorTransfer.Save(
                    sum, memory, tensor.Source, entry, tensor.Transposed, writer, buffers, parameter.Value.DType, rounding,
                    areWeights: true);
            }
            else
            {
                Tensor values = parameter.Master.IsEmpty ? parameter.Value : parameter.Master;
                TensorTransfer.Save(
                    values, memory, tensor.Source, entry, tensor.Transposed, writer, buffers, values.DType, rounding, areWeights: true);
            }
        }

        writer.Complete();
    }
}

using Forgetting.Backends;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.HuggingFace;

/// <summary>A tensor to write: from a parameter, or, without one, as it lies in the source.</summary>
/// <param name="Entry">Name, type and sizes in the file.</param>
/// <param name="Source">The tensor that the parameter was loaded from, or null.</param>
/// <param name="Parameter">The parameter, or null.</param>
/// <param name="Transposed">The file holds [in, out].</param>
internal sealed record SavedTensor(TensorEntry Entry, StoredTensor? Source, Parameter? Parameter, bool Transposed)
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
    public static void WriteFile(string path, IReadOnlyList<SavedTensor> tensors, IMemory memory, IReadOnlyDictionary<string, string> metadata)
    {
        Dictionary<string, SavedTensor> byName = tensors.ToDictionary(i => i.Entry.Name);
        using FileStream stream = File.Create(path, 1 << 20);
        var writer = new SafeTensorsWriter(stream, tensors.Select(i => i.Entry), metadata);
        var buffers = new TransferBuffers();
        foreach (TensorEntry entry in writer.Entries)
        {
            SavedTensor tensor = byName[entry.Name];
            if (tensor.Parameter is { } parameter)
            {
                Tensor values = parameter.Master.IsEmpty ? parameter.Value : parameter.Master;
                TensorTransfer.Save(values, memory, tensor.Source, entry.Type, tensor.Transposed, writer, buffers);
            }
            else
            {
                TensorTransfer.Copy(tensor.Source!, writer);
            }
        }

        writer.Complete();
    }
}

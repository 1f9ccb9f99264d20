using System.Globalization;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>
/// A diagonal Fisher information as safetensors: Float32 tensors under the checkpoint's (or adapter's) parameter names and in its layout.
/// </summary>
internal static class FisherFile
{
    /// <summary>Writes what <see cref="FisherInformation.Compute"/> left in the gradients.</summary>
    /// <exception cref="UserException">The file cannot be written.</exception>
    public static void Write(string path, Decoder decoder, int examples, FisherKind kind)
    {
        ArgumentNullException.ThrowIfNull(decoder);
        var metadata = new Dictionary<string, string>(SafeTensorsWriter.StandardMetadata)
        {
            ["fisher"] = kind == FisherKind.True ? "true" : "empirical",
            ["examples"] = examples.ToString(CultureInfo.InvariantCulture),
        };
        Dictionary<string, Parameter> parameters = decoder.TrainableParameters.ToDictionary(p => p.Name);
        AtomicFile.Write(path, stream =>
        {
            var writer = new SafeTensorsWriter(stream, parameters.Values.Select(p => Entry(p, decoder.Config.Family)), metadata);
            var buffers = new TransferBuffers();
            foreach (TensorEntry entry in writer.Entries)
            {
                Parameter parameter = parameters[entry.Name];
                bool transposed = TensorMap.IsTransposed(decoder.Config.Family, parameter.Name);
                TensorTransfer.Save(parameter.Gradient, decoder.Backend, null, entry, transposed, writer, buffers);
            }

            writer.Complete();
        });
    }

    /// <summary>
    /// Reads a file into tensors that belong to <paramref name="parameters"/>, one each, given by <paramref name="destination"/>.
    /// </summary>
    /// <exception cref="UserException">The file is bad, or its tensors are not those of the parameters; names
    /// the first that is not.</exception>
    public static void Read(
        string path, ModelFamily family, IReadOnlyList<Parameter> parameters, IMemory memory, Func<Parameter, Tensor> destination)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(destination);
        using SafeTensorsFile file = SafeTensorsFile.Open(path);
        Dictionary<string, StoredTensor> tensors = file.Tensors.ToDictionary(t => t.Name);
        var buffers = new TransferBuffers();
        foreach (Parameter parameter in parameters)
        {
            if (!tensors.Remove(parameter.Name, out StoredTensor? tensor))
            {
                throw new UserException(
                    $"{path}: no tensor \"{parameter.Name}\": expected the Fisher information of this model's parameters");
            }

            bool transposed = TensorMap.IsTransposed(family, parameter.Name);
            Shape shape = transposed ? new Shape(parameter.Shape.Columns, parameter.Shape.Rows) : parameter.Shape;
            if (tensor.Type != StoredType.F32 || !tensor.Has(shape))
                throw new UserException($"{path}: tensor \"{parameter.Name}\" is {tensor.Type} {tensor.ShapeText}, expected F32 {shape}");

            TensorTransfer.Load(tensor, transposed, destination(parameter), memory, buffers);
        }

        if (tensors.Count > 0)
            throw new UserException($"{path}: tensor \"{tensors.Keys.First()}\" belongs to no parameter of this model");
    }

    private static TensorEntry Entry(Parameter parameter, ModelFamily family)
    {
        Shape shape = parameter.Shape;
        IReadOnlyList<long> dimensions = parameter.Kind == ParameterKind.Vector ? [shape.Columns]
            : TensorMap.IsTransposed(family, parameter.Name) ? [shape.Columns, shape.Rows]
            : [shape.Rows, shape.Columns];
        return new TensorEntry(parameter.Name, StoredType.F32, dimensions);
    }
}

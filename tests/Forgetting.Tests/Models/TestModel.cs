using Forgetting.Backends.Cpu;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>A small random model, in the library and in the double-precision reference, with the same values in both.</summary>
internal sealed class TestModel : IDisposable
{
    private readonly Dictionary<string, double[]> _weights;
    private readonly Dictionary<string, ReferenceLora> _lora = [];

    public TestModel(ModelConfig config, LoraConfig? lora = null, int seed = 1)
    {
        Backend = new CpuBackend();
        Decoder = new Decoder(config, Backend, lora, (ulong)seed);
        _weights = ReferenceConfigs.RandomWeights(config, seed);
        if (config.TiedHead && !Decoder.HeadIsTied)
            _weights.Add($"{config.Family.Names.Head}.weight", [.. _weights[Decoder.BaseParameters[0].Name]]);

        foreach (Parameter parameter in Decoder.BaseParameters)
        {
            double[] file = _weights[parameter.Name];
            float[] values = [.. Enumerable.Range(0, file.Length).Select(i => (float)file[FileIndex(parameter, i)])];
            parameter.SetRows(Backend, 0, values);
        }

        var random = new Random(seed);
        foreach (LoraAdapter adapter in Decoder.Adapters)
        {
            // One of the two is zero at first, which would hide the other's gradient: B, or a table's A.
            (Parameter first, Parameter b) = (adapter.A, adapter.B);
            if (first.Kind == ParameterKind.Embedding)
                first.SetRows(Backend, 0, [.. Enumerable.Range(0, (int)first.Shape.Count).Select(_ => (float)(random.NextDouble() - 0.5))]);

            float[] a = Read(first);
            float[] values = [.. Enumerable.Range(0, (int)b.Shape.Count).Select(_ => (float)(random.NextDouble() - 0.5))];
            b.SetRows(Backend, 0, values);
            string path = Forgetting.Checkpoints.PeftNames.ModuleOf(b.Name);
            var update = new ReferenceLora(
                [.. a.Select(x => (double)x)], [.. values.Select(x => (double)x)], lora!.RankOf(path), lora.ScaleOf(path), [], []);
            _lora[path] = adapter.Magnitude is { } magnitude ? WithMagnitude(adapter.Weight, magnitude, update, random) : update;
        }

        Decoder.AllocateGradients();
        Reference = new ReferenceDecoder(config, _weights, _lora);
    }

    public CpuBackend Backend { get; }

    public Decoder Decoder { get; }

    public ReferenceDecoder Reference { get; }

    /// <summary>The base's values by their names in files.</summary>
    public IReadOnlyDictionary<string, double[]> Weights => _weights;

    /// <summary>Names of all small configurations.</summary>
    public static TheoryData<string> Names => [.. ReferenceConfigs.All.Keys];

    /// <summary>Names of all small configurations; of each family one has low-rank adapters too.</summary>
    public static TheoryData<string, bool> WithAndWithoutLora
    {
        get
        {
            var data = new TheoryData<string, bool>();
            ReferenceConfigs.All.Keys.ToList().ForEach(name => data.Add(name, false));
            ReferenceConfigs.OfFamilies.ToList().ForEach(name => data.Add(name, true));
            return data;
        }
    }

    /// <summary>The reference's values of a parameter, and where in them an element of the parameter is.</summary>
    public (double[] Values, int Index) Place(Parameter parameter, int element)
    {
        if (_weights.TryGetValue(parameter.Name, out double[]? values))
            return (values, FileIndex(parameter, element));

        string path = Forgetting.Checkpoints.PeftNames.ModuleOf(parameter.Name);
        if (parameter.Name.EndsWith("lora_magnitude_vector", StringComparison.Ordinal))
            return (_lora[path].Magnitude, element);

        return (parameter.Name.Contains("lora_A", StringComparison.Ordinal)
            || parameter.Name.Contains("lora_embedding_A", StringComparison.Ordinal) ? _lora[path].A : _lora[path].B, element);
    }

    public float[] Read(Parameter parameter)
    {
        var values = new float[parameter.Shape.Count];
        Backend.Download<float>(parameter.Value, values);
        return values;
    }

    /// <summary>Gradients (or what another sink summed) of all trainable parameters.</summary>
    public float[][] Gradients() => GradientsOf(Decoder);

    /// <inheritdoc cref="Gradients"/>
    public static float[][] GradientsOf(Decoder decoder) => [.. decoder.TrainableParameters.Select(parameter =>
    {
        var values = new float[parameter.Shape.Count];
        decoder.Backend.Download<float>(parameter.Gradient, values);
        return values;
    })];

    public void Dispose()
    {
        Decoder.Dispose();
        Backend.Dispose();
    }

    // Lengths of the rows of W + s·B·A, and magnitudes near them that are drawn.
    private ReferenceLora WithMagnitude(Parameter weight, Parameter magnitude, ReferenceLora update, Random random)
    {
        int inputs = weight.Shape.Columns;
        double[] lengths = new double[weight.Shape.Rows];
        for (int j = 0; j < lengths.Length; j++)
        {
            double sum = 0;
            for (int i = 0; i < inputs; i++)
            {
                double value = _weights[weight.Name][FileIndex(weight, (j * inputs) + i)];
                for (int k = 0; k < update.Rank; k++)
                {
                    value += update.Scale * update.B[(j * update.Rank) + k] * update.A[(k * inputs) + i];
                }

                sum += value * value;
            }

            lengths[j] = Math.Sqrt(sum);
        }

        float[] values = [.. lengths.Select(length => (float)(length * (0.6 + (0.8 * random.NextDouble()))))];
        magnitude.SetRows(Backend, 0, values);
        return update with { Magnitude = [.. values.Select(value => (double)value)], Lengths = lengths };
    }

    // gpt2 files hold the four projections as [in, out].
    private int FileIndex(Parameter parameter, int element)
    {
        if (Decoder.Config.Family != ModelFamilies.Gpt2 || parameter.Kind != ParameterKind.Matrix
            || !parameter.Name.Contains(".c_", StringComparison.Ordinal))
        {
            return element;
        }

        (int row, int column) = Math.DivRem(element, parameter.Shape.Columns);
        return (column * parameter.Shape.Rows) + row;
    }
}

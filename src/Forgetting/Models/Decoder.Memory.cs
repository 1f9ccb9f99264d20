using Forgetting.Backends;
using Forgetting.Backends.DryRun;
using Forgetting.Tensors;

namespace Forgetting.Models;

// Where the parameters lie, what activations take, and what must be there before a pass.
internal sealed partial class Decoder
{
    /// <summary>Makes the adapters ready for a pass, once the base and what there is of an adapter's file are loaded.</summary>
    internal void PrepareAdapters()
    {
        for (int i = 0; i < Adapters.Count; i++)
        {
            Adapters[i].Prepare(Backend);
        }
    }

    private void Begin(
        ReadOnlySpan<int> ids, ReadOnlySpan<int> positions, ReadOnlySpan<int> offsets, ReadOnlySpan<int> rowKeys = default,
        ulong? dropoutSeed = null, KeyValueCache? cache = null)
    {
        PrepareAdapters();
        _pass.Begin(ids, positions, offsets, rowKeys, dropoutSeed, cache);
    }

    /// <summary>
    /// Runs <paramref name="pass"/> on a decoder like this one that has no memory, and reserves the activations that it took: what does not
    /// fit says so before any work, and an arena that grew with the batches would hold more.
    /// </summary>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    internal void Reserve(Action<Decoder> pass)
    {
        using var backend = new DryRunBackend(Backend.Name, Backend.StorageType);
        using Decoder twin = Twin(backend);
        pass(twin);
        Activations.Reserve(twin.Activations.PeakBytes);
    }

    /// <summary>A decoder like this one on another backend, its values undefined.</summary>
    internal Decoder Twin(IBackend backend) =>
        new(Config, backend, Lora, training: TrainableParameters.Count > 0, baseType: BaseType, trainedType: TrainedType);

    private void AllocateValues(Decoder? shared)
    {
        foreach (Parameter parameter in TrainableParameters)
        {
            parameter.Trainable = true;
        }

        Parameter[] all = [.. BaseParameters, .. AdapterParameters];
        Dictionary<string, Parameter> known =
            shared?.BaseParameters.Where(p => Lora?.Holds(p.Name) != true).ToDictionary(p => p.Name) ?? [];
        foreach (ParameterGroup group in ParameterGroup.Of(all).ToArray())
        {
            // What is trained, frozen and another decoder's lies in different memory; what is quantised or divided by ranks, each apart.
            bool together = Sharding is null && !group.Parameters.Any(IsQuantized)
                && group.Parameters.Select(p => (p.Trainable, known.GetValueOrDefault(p.Name)?.Group)).Distinct().Count() == 1;
            if (!together)
                group.Split();
        }

        ParameterGroup[] groups = [.. ParameterGroup.Of(all)];
        foreach (ParameterGroup group in groups)
        {
            if (known.TryGetValue(group.Parameters[0].Name, out Parameter? same))
            {
                // The first of a group: the others follow it there as here.
                group.SetValue(same.Value);
                continue;
            }

            _own.UnionWith(group.Parameters);
            if (!group.Parameters[0].Trainable)
                group.SetValue(Allocate(group.Shape, IsQuantized(group.Parameters[0]) ? BaseType!.Value : Backend.StorageType));
        }

        TrainableRuns = Sharding is null
            ? ParameterRun.Of(TrainableParameters, joined: Backend.Records && shared is null)
            : ParameterRun.Of(TrainableParameters, Sharding);
        foreach (ParameterRun run in TrainableRuns)
        {
            DType? unmastered = run.HasVectors ? null : TrainedType;
            if (run.Value.IsEmpty)
                run.SetValue(Allocate(run.Shape, unmastered ?? Backend.StorageType));

            run.SetMaster(
                unmastered is not null || Backend.StorageType == DType.Float32 ? run.Value : Allocate(run.OwnShape, DType.Float32));
            if (run.Parameters.Count > 1 || Sharding != null)
            {
                // What lies between and behind them is updated with them.
                Backend.Fill(run.Value, 0);
                Backend.Fill(run.OwnMaster, 0);
            }
        }

        foreach (ParameterGroup group in groups.Where(group => Owns(group.Parameters[0])))
        {
            DeclareWeight(group);
        }
    }

    private void DeclareWeight(ParameterGroup group)
    {
        bool isProductsB = group.Parameters[0].Kind == ParameterKind.Matrix || group.Parameters[0] == _head.Weight;
        if (!isProductsB || group.Parameters[0].Value.DType != Backend.StorageType)
            return;

        if (Lora is { Dropout: > 0 } && AdapterParameters.Contains(group.Parameters[0]))
        {
            // Every layer drops its own elements, so that products read them one by one.
            foreach (Parameter parameter in group.Parameters)
            {
                Backend.DeclareWeight(parameter.Value);
            }
        }
        else
        {
            Backend.DeclareWeight(group.Value);
        }
    }

    private bool IsQuantized(Parameter parameter) => BaseType is not null && parameter.Kind == ParameterKind.Matrix
        && parameter != _head.Weight && BaseParameters.Contains(parameter);

    private Tensor Allocate(Shape shape, DType dtype)
    {
        DeviceBuffer buffer = Backend.Allocate(dtype.Bytes(shape));
        _memory.Add(buffer);
        return buffer.AsTensor(shape, dtype);
    }
}

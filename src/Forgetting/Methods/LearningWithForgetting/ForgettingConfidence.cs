using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>The forgetting confidence of one sample and its three terms.</summary>
/// <param name="Index">Index of the sample in its data set.</param>
/// <param name="Confidence">½ Σ F (θ_base − α g − θ_L)².</param>
/// <param name="Constant">½ Σ F Δ² with Δ = θ_L − θ_base; the same for all samples.</param>
/// <param name="Linear">α Σ F Δ g.</param>
/// <param name="Quadratic">½ α² Σ F g².</param>
internal sealed record ConfidenceRecord(int Index, double Confidence, double Constant, double Linear, double Quadratic)
{
    /// <summary>Writes records as JSON Lines, the file whole or not at all.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public static void Write(string path, IReadOnlyList<ConfidenceRecord> records) => JsonLines.Write(path, records);

    /// <summary>Reads the records of a data set, one for each sample in any order.</summary>
    /// <param name="path">JSON Lines.</param>
    /// <param name="samples">Samples of the data set.</param>
    /// <returns>In the order of the samples.</returns>
    /// <exception cref="UserException">The file cannot be read, or is not that of so many samples.</exception>
    public static IReadOnlyList<ConfidenceRecord> Read(string path, int samples)
    {
        var records = new ConfidenceRecord?[samples];
        foreach (ConfidenceRecord record in JsonLines.Read<ConfidenceRecord>(path))
        {
            if ((uint)record.Index >= (uint)samples || records[record.Index] != null)
            {
                throw new UserException(
                    $"{path}: index {record.Index}, expected each of 0 to {samples - 1} once: confidences of other samples?");
            }

            records[record.Index] = record;
        }

        int missing = Array.IndexOf(records, null);
        return missing < 0
            ? [.. records.OfType<ConfidenceRecord>()]
            : throw new UserException($"{path}: no confidence of sample {missing}, expected each of 0 to {samples - 1} once");
    }
}

/// <summary>
/// How far learning a self-generated sample would lead away from where the learning task ends, in that task's own metric
/// (arXiv 2505.19715): FC(x) = ½ Σ_i F_i·(θ_base,i − α·g_i(x) − θ_L,i)², g the gradient of the sample's mean response loss at θ_base.
/// A sample costs one backward pass and two reductions against F∘Δ and F; its gradient is never stored.
/// </summary>
internal sealed class ForgettingConfidence : IDisposable
{
    private readonly Decoder _decoder;
    private readonly Dictionary<Parameter, Projection> _projections = [];
    private readonly List<DeviceBuffer> _buffers = [];

    /// <summary>Prepares the reductions.</summary>
    /// <param name="decoder">The model at θ_base: without an adapter, or with its adapter merged.</param>
    /// <param name="source">The checkpoint that the model was read from: the model may hold its values rounded, and the
    /// difference to θ_L is small.</param>
    /// <param name="learned">The checkpoint at θ_L: the same model after ordinary fine-tuning on the learning data.</param>
    /// <param name="fisher">File of the learning data's diagonal Fisher information at θ_L.</param>
    /// <exception cref="UserException">The files do not fit the model.</exception>
    public ForgettingConfidence(Decoder decoder, Checkpoint source, Checkpoint learned, string fisher)
        : this(decoder, projections =>
        {
            ArgumentNullException.ThrowIfNull(source);
            ArgumentNullException.ThrowIfNull(learned);
            IBackend backend = decoder.Backend;
            learned.LoadInto(
                [.. decoder.BaseParameters.Select(p => new Parameter(p.Name, p.Kind, p.Shape) { Value = projections[p].A })], backend);

            // θ_base stands in F's place until F is read.
            source.LoadInto(
                [.. decoder.BaseParameters.Select(p => new Parameter(p.Name, p.Kind, p.Shape) { Value = projections[p].B })], backend);
            foreach (Parameter parameter in decoder.BaseParameters.Where(p => decoder.Lora?.Holds(p.Name) == true))
            {
                backend.Copy(parameter.Value, projections[parameter].B);
            }

            foreach (LoraAdapter adapter in decoder.Adapters)
            {
                adapter.AddUpdate(backend, projections[adapter.Weight].B, 1);
            }

            foreach (Projection projection in projections.Values)
            {
                backend.Axpy(-1, projection.B, projection.A);
            }

            FisherFile.Read(fisher, decoder.Config.Family, decoder.BaseParameters, backend, p => projections[p].B);
        })
    {
    }

    /// <summary>Prepares the reductions from Δ and F as <paramref name="load"/> leaves them in the A and B of each parameter.</summary>
    internal ForgettingConfidence(Decoder decoder, Action<IReadOnlyDictionary<Parameter, Projection>> load)
    {
        ArgumentNullException.ThrowIfNull(decoder);
        _decoder = decoder;
        try
        {
            foreach (Parameter parameter in decoder.BaseParameters)
            {
                _projections.Add(parameter, new Projection(Take(parameter.Shape), Take(parameter.Shape)));
            }

            load(_projections);
            Prepare();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>½ Σ F Δ².</summary>
    public double Constant { get; private set; }

    /// <summary>The confidence of every sample, in their order.</summary>
    /// <param name="samples">Self-generated samples; the response is what the model wrote.</param>
    /// <param name="alpha">Learning rate α of the imagined step.</param>
    /// <param name="maxTokens">Tokens computed at once; bounds memory, not results.</param>
    /// <param name="observer">Told of tokens done, or null.</param>
    /// <param name="cancellation">Ends the computation between two batches.</param>
    /// <param name="ranks">Share the batches; null for this process alone.</param>
    /// <exception cref="UserException">A confidence is not finite; names the sample.</exception>
    public IReadOnlyList<ConfidenceRecord> Compute(
        IReadOnlyList<EncodedExample> samples, double alpha, int maxTokens, ITrainingObserver? observer = null,
        ICommunicator? ranks = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(samples);
        var records = new List<ConfidenceRecord>(samples.Count);
        float[][] weights = [.. samples.Select(s => FisherInformation.UniformWeights(s, 1f / s.ResponseCount))];
        if (samples.Count > 0)
        {
            TokenBatch fullest = BatchBuilder.Fullest(samples, maxTokens);
            _decoder.Reserve(twin => twin.ForwardBackward(
                fullest, default, new ProjectSink(twin.Backend, twin.BaseParameters.ToDictionary(p => p, _ => default(Projection))),
                new float[fullest.HeadRows.Length]));
        }

        var sink = new ProjectSink(_decoder.Backend, _projections);
        long done = 0, total = ExampleLists.Tokens(samples, 0, samples.Count);
        using var results = new Arena(_decoder.Backend);
        SharedWork.Run(ranks ?? SingleProcess.Instance, BatchBuilder.MicroBatches(samples, maxTokens), Sums, Take, cancellation);
        return records;

        float[] Sums(MicroBatch run)
        {
            TokenBatch batch = BatchBuilder.Create(samples, run, weights);
            results.Reset();
            sink.Result = results.Take(run.Count, 2);
            _decoder.Backend.Fill(sink.Result, 0);
            _decoder.ForwardBackward(batch, default, sink, new float[batch.HeadRows.Length]);
            var sums = new float[run.Count * 2];
            _decoder.Backend.Download(sink.Result, sums.AsSpan());
            return sums;
        }

        void Take(MicroBatch run, float[] sums)
        {
            for (int i = 0; i < run.Count; i++)
            {
                EncodedExample sample = samples[run.First + i];
                double linear = alpha * sums[2 * i], quadratic = 0.5 * alpha * alpha * sums[2 * i + 1];
                if (!double.IsFinite(Constant + linear + quadratic))
                {
                    throw new UserException(
                        $"the forgetting confidence of sample {sample.Index} is {Constant + linear + quadratic}, "
                        + "expected a finite number; are the weights and the Fisher information sound?");
                }

                records.Add(new ConfidenceRecord(sample.Index, Constant + linear + quadratic, Constant, linear, quadratic));
                done += sample.Length;
            }

            observer?.Progressed(done, total);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _buffers)
        {
            buffer.Dispose();
        }

        _buffers.Clear();
    }

    // Per parameter: A = F∘Δ in place of Δ, in Float32.
    private void Prepare()
    {
        IBackend backend = _decoder.Backend;
        using DeviceBuffer scratch = backend.Allocate(_decoder.BaseParameters.Max(p => p.Shape.Count) * sizeof(float));
        using DeviceBuffer sum = backend.Allocate(sizeof(float) * _decoder.BaseParameters.Count);
        Tensor sums = sum.AsTensor(new Shape(_decoder.BaseParameters.Count), DType.Float32);
        backend.Fill(sums, 0);
        for (int i = 0; i < _decoder.BaseParameters.Count; i++)
        {
            Parameter parameter = _decoder.BaseParameters[i];
            (Tensor d, Tensor f) = _projections[parameter];
            Tensor temporary = scratch.AsTensor(parameter.Shape, DType.Float32);
            backend.Copy(d, temporary);
            backend.Multiply(d, f, d);
            backend.Dot(d, temporary, sums, i);
        }

        var values = new float[_decoder.BaseParameters.Count];
        backend.Download(sums, values.AsSpan());
        Constant = 0.5 * values.Sum(v => (double)v);
    }

    private Tensor Take(Shape shape)
    {
        DeviceBuffer buffer = _decoder.Backend.Allocate(shape.Count * sizeof(float));
        _buffers.Add(buffer);
        return buffer.AsTensor(shape, DType.Float32);
    }
}

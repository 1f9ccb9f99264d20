using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// A decoder of any of the <see cref="ModelFamily"/> kinds: embedding, pre-norm blocks, final norm, head. Forward and backward are written
/// by hand; activations live in an arena and nothing is allocated in a step whose shapes have been met before.
/// </summary>
/// <remarks>Not safe for use by several threads at once; operations are parallel inside.</remarks>
internal sealed partial class Decoder : IDisposable
{
    private readonly EmbeddingLayer _embedding;
    private readonly Block[] _blocks;
    private readonly NormLayer _finalNorm;
    private readonly LossHead _head;
    private readonly RotaryTable?[] _rotary; // of each block
    private readonly Pass _pass;
    private readonly Tensor[] _inputs; // [T, C] complete input of each block, while recomputing
    private readonly List<DeviceBuffer> _memory = [];
    private readonly HashSet<Parameter> _own = [];
    private bool _merged;

    /// <summary>Allocates the parameters; base values are undefined until read from a checkpoint or <see cref="Initialize"/>d.</summary>
    /// <param name="config">The model.</param>
    /// <param name="backend">Where it lives; not disposed with the decoder.</param>
    /// <param name="lora">Adapter to train instead of the base, or null. A is uniform in ±1/√in, B zero; of an
    /// embedding A zero, B normal.</param>
    /// <param name="seed">Key of A's values.</param>
    /// <param name="training">False for a model that is only evaluated: nothing is trainable and no Float32 masters are kept.</param>
    /// <param name="shared">
    /// A decoder of the same configuration and backend whose base values this one uses too, and does not
    /// change, but for those that the adapter holds whole; it must live longer. Or null.
    /// </param>
    /// <param name="sharding">What ranks divide of what is trained, or null.</param>
    /// <param name="baseType">
    /// <see cref="DType.NormalFloat4"/> for the matrices of blocks that are not trained; null for the backend's storage type. Embeddings,
    /// head, gains and biases are in that always (arXiv 2305.14314).
    /// </param>
    /// <param name="trainedType">
    /// <see cref="DType.BFloat16"/> for matrices and tables that are trained without Float32 masters; null for the backend's storage type
    /// with masters.
    /// </param>
    /// <exception cref="UserException">The adapter does not fit the model.</exception>
    /// <exception cref="DeviceMemoryException">Not enough memory for the parameters.</exception>
    public Decoder(
        ModelConfig config, IBackend backend, LoraConfig? lora = null, ulong seed = 0, bool training = true, Decoder? shared = null,
        Sharding? sharding = null, DType? baseType = null, DType? trainedType = null)
    {
        if (shared is not null && training)
            throw new ArgumentException("weights that are shared cannot be trained", nameof(shared));

        if (baseType is not null && training && lora is null)
            throw new UserException("base-dtype is given, and all weights are to be trained; expected an adapter, which leaves them alone");

        if (trainedType is not null && lora is not null)
        {
            throw new UserException(
                "no-masters is given, and an adapter is trained, whose masters are small; expected lora-rank 0 with it");
        }

        if (trainedType is not null && backend.Name != "cpu" && backend.StorageType != trainedType)
            throw new UserException($"no-masters is given, and weights on {backend.Name} are in fp32; expected dtype bf16 with it");

        Check(config);
        Config = config;
        Backend = backend;
        Lora = lora;
        Sharding = sharding;
        BaseType = baseType;
        TrainedType = trainedType;
        var builder = new ModuleBuilder(config, lora);
        (_embedding, _blocks, _finalNorm, _head) = DecoderModules.Build(builder, lora);
        _head.LeastRows = backend.Records ? LossHead.RowsOnCard : 0;
        BaseParameters = builder.BaseParameters;
        AdapterParameters = builder.AdapterParameters;
        Adapters = builder.Adapters;
        TrainableParameters = !training ? [] : lora is null ? BaseParameters
            : [.. AdapterParameters, .. BaseParameters.Where(p => lora.Saves(p.Name))];
        _rotary = RotaryTables(config, backend);
        Activations = new Arena(backend);
        int[] heads = config.QueryKeyNorm == QueryKeyNorm.Head ? [.. new[] { config.Heads, config.KeyValueHeads }.Distinct()] : [];
        _pass = new Pass(backend, Activations, _rotary, heads);
        _inputs = new Tensor[config.Layers];
        AllocateValues(shared);
        for (int i = 0; i < Adapters.Count; i++)
        {
            // As PEFT begins: a linear layer's A uniform and B zero, a table's A zero and B normal.
            (Parameter a, Parameter b) = (Adapters[i].A, Adapters[i].B);
            bool table = a.Kind == ParameterKind.Embedding;
            if (table)
            {
                Initializer.Normal(backend, b, seed, 2 * i, 1);
            }
            else
            {
                Initializer.Uniform(backend, a, seed, 2 * i, 1 / MathF.Sqrt(a.Shape.Columns));
            }

            Initializer.Constant(backend, table ? a : b, 0);
            if (Adapters[i].Magnitude is { } magnitude)
                Initializer.Constant(backend, magnitude, 0); // not set yet
        }
    }

    /// <summary>The parameters that a decoder would have, base and adapter, without memory: names, kinds and shapes.</summary>
    /// <exception cref="UserException">The adapter does not fit the model.</exception>
    public static (IReadOnlyList<Parameter> Base, IReadOnlyList<Parameter> Adapter) Describe(ModelConfig config, LoraConfig? lora = null)
    {
        var builder = new ModuleBuilder(config, lora);
        DecoderModules.Build(builder, lora);
        return (builder.BaseParameters, builder.AdapterParameters);
    }

    /// <summary>Sizes and kinds.</summary>
    public ModelConfig Config { get; }

    /// <summary>Where parameters and activations are.</summary>
    public IBackend Backend { get; }

    /// <summary>Element type of the matrices of blocks that are not trained; null for the backend's storage type.</summary>
    internal DType? BaseType { get; }

    /// <summary>Element type of matrices and tables that are trained without masters; null where they have masters.</summary>
    internal DType? TrainedType { get; }

    /// <summary>The adapter's settings, or null.</summary>
    public LoraConfig? Lora { get; }

    /// <summary>What ranks divide of what is trained; null where this process holds all of it.</summary>
    public Sharding? Sharding { get; }

    /// <summary>Parameters of the checkpoint, in its order, a tied head's only once.</summary>
    public IReadOnlyList<Parameter> BaseParameters { get; }

    /// <summary>[V, C] of the output head.</summary>
    internal Parameter HeadWeight => _head.Weight;

    /// <summary>Whether the head is the token embedding in this model; an adapter of one of them sets a tied pair apart.</summary>
    internal bool HeadIsTied => _head.Weight == _embedding.Tokens;

    /// <summary>A and B of each adapted layer, in turn, named as PEFT does; empty without LoRA.</summary>
    public IReadOnlyList<Parameter> AdapterParameters { get; }

    /// <summary>
    /// The adapter's parameters with LoRA and those of <see cref="LoraConfig.ModulesToSave"/>, else the base's;
    /// none in a model made for evaluation. <see cref="TrainOnly"/> leaves some of them.
    /// </summary>
    public IReadOnlyList<Parameter> TrainableParameters { get; private set; }

    /// <summary>Whether a parameter's values are this decoder's own, and not those of the one that it shares.</summary>
    internal bool Owns(Parameter parameter) => _own.Contains(parameter);

    /// <summary><see cref="TrainableParameters"/> as they lie in memory.</summary>
    internal IReadOnlyList<ParameterRun> TrainableRuns { get; private set; } = [];

    /// <summary>Elements of the base parameters.</summary>
    public long ParameterCount => BaseParameters.Sum(p => p.Shape.Count);

    /// <summary>Memory of one pass; its peak is the cost of the largest batch so far.</summary>
    public Arena Activations { get; }

    /// <summary>
    /// Most bytes of logits at a time, unless one document's must stay together (<see cref="IGradientSink.PerDocument"/>). Every chunk
    /// reads and writes the whole head's gradient, so a chunk should have hundreds of rows.
    /// </summary>
    internal long LogitBytes
    {
        get => _head.ChunkBytes;
        set => _head.ChunkBytes = value;
    }

    /// <summary>
    /// Whether training passes over batches of a shape that has come before are left to <see cref="IRepetition"/>, on a card to CUDA
    /// graphs. Profilers see more without.
    /// </summary>
    public bool Repeats { get; set; } = true;

    /// <summary>
    /// Values for pretraining: weights normal(0, 0.02), those of projections to the residual stream divided by √(2·layers) (as in GPT-2),
    /// gains 1, biases 0. The adapter is left as it is.
    /// </summary>
    public void Initialize(ulong seed)
    {
        HashSet<Parameter> residual = [.. _blocks.SelectMany(b => b.ResidualProjections).Select(l => l.Weight)];
        for (int i = 0; i < BaseParameters.Count; i++)
        {
            Parameter parameter = BaseParameters[i];
            if (parameter.Kind == ParameterKind.Vector)
            {
                bool bias = parameter.Name.EndsWith(".bias", StringComparison.Ordinal);
                Initializer.Constant(Backend, parameter, bias ? 0 : 1 - (float)Config.GainOffset);
            }
            else
            {
                float deviation = residual.Contains(parameter) ? 0.02f / MathF.Sqrt(2 * Config.Layers) : 0.02f;
                Initializer.Normal(Backend, parameter, seed, i, deviation);
            }
        }
    }

    /// <summary>Cross-entropy in nats of every head row, without dropout and keeping no activations.</summary>
    /// <param name="losses">[R].</param>
    /// <param name="greedy">[R] receives the arg-max of each row's logits, or empty.</param>
    /// <exception cref="UserException">A token or position is outside the model.</exception>
    public void Forward(TokenBatch batch, Span<float> losses, Span<int> greedy = default) => Forward(batch, losses, greedy, cache: null);

    /// <summary>
    /// As <see cref="Forward(TokenBatch, Span{float}, Span{int})"/>, of documents whose earlier tokens are in a
    /// key-value cache that knows their places.
    /// </summary>
    internal void Forward(TokenBatch batch, Span<float> losses, Span<int> greedy, KeyValueCache? cache)
    {
        BatchCheck.Require(batch, losses.Length, Config);
        Begin(batch.Ids, batch.Positions, batch.Offsets, cache: cache);
        Tensor hidden = Hidden(_pass); // [T, C]
        _head.Forward(_pass, batch, hidden, losses, greedy);
    }

    /// <summary>Mean of each document's final hidden states, without dropout.</summary>
    /// <param name="features">[n·C] row by row.</param>
    /// <exception cref="UserException">A token or position is outside the model.</exception>
    public void PooledFeatures(TokenBatch batch, Span<float> features)
    {
        BatchCheck.Require(batch, batch.HeadRows.Length, Config);
        Begin(batch.Ids, batch.Positions, batch.Offsets);
        Tensor hidden = Hidden(_pass); // [T, C]
        Tensor mean = Activations.Take(batch.Documents, Config.HiddenSize); // [n, C]
        Backend.SegmentMean(hidden, _pass.Offsets, mean);
        Backend.Download(mean, features);
    }

    /// <summary>The hidden states before the head, of a pass without dropout, at the head rows; valid until the next pass.</summary>
    internal BaseHead AtHeadRows(TokenBatch batch)
    {
        Begin(batch.Ids, batch.Positions, batch.Offsets);
        Tensor hidden = Hidden(_pass), rows = Activations.Take(batch.HeadRows.Length, Config.HiddenSize, hidden.DType); // [T, C], [R, C]
        Backend.GatherRows(hidden, _pass.Upload(batch.HeadRows), rows);
        return new BaseHead(_head, _pass, rows);
    }

    /// <summary>A block's output, of a pass without dropout that ends there; valid until the next pass.</summary>
    /// <param name="last">Number of the block, from 0.</param>
    /// <returns>Float32 [T, C].</returns>
    internal Tensor BlockOutput(TokenBatch batch, int last)
    {
        Begin(batch.Ids, batch.Positions, batch.Offsets);
        (Tensor x, Tensor residual, _) = Blocks(_pass, last + 1); // [T, C] both
        Tensor sum = Activations.Take(batch.Rows, Config.HiddenSize), term = Activations.Take(batch.Rows, Config.HiddenSize); // [T, C] both
        Backend.Copy(x, sum);
        Backend.Copy(residual, term);
        Backend.Axpy(1, term, sum);
        return sum;
    }

    /// <summary>Adds s·B·A to the adapted weights, after which the low-rank products are skipped and nothing can be trained.</summary>
    public void MergeAdapter()
    {
        if (_own.Count < BaseParameters.Count + AdapterParameters.Count)
            throw new InvalidOperationException("the weights are another decoder's too");

        foreach (LoraAdapter adapter in Adapters)
        {
            adapter.Merge(Backend);
        }

        _merged = Lora is not null;
    }

    /// <summary>The adapters that <see cref="AdapterParameters"/> belong to, in their order.</summary>
    internal IReadOnlyList<LoraAdapter> Adapters { get; }

    /// <summary>Logits after some rows, with a key-value cache that knows their places; valid until the next pass.</summary>
    /// <param name="rows">Rows among those of <paramref name="ids"/> whose logits are wanted.</param>
    /// <returns>Float32 [rows, V], or default where none is wanted.</returns>
    internal Tensor Logits(
        ReadOnlySpan<int> ids, ReadOnlySpan<int> positions, ReadOnlySpan<int> offsets, ReadOnlySpan<int> rows, KeyValueCache cache)
    {
        Begin(ids, positions, offsets, cache: cache);
        var pass = new LogitsPass(
            this, AreAll(rows, ids.Length) ? default : _pass.Upload(rows),
            rows.IsEmpty ? default : Activations.Take(rows.Length, Config.VocabularySize));
        if (ids.Length == offsets.Length - 1)
        {
            // A token a sequence: generation does the same again and again.
            Repeat(new LogitsKey(this, cache, ids.Length, rows.Length, _merged), pass, static pass => pass.Decoder.RunLogits(pass));
        }
        else
        {
            RunLogits(pass);
        }

        return pass.Logits;
    }

    private void RunLogits(in LogitsPass pass)
    {
        Tensor hidden = Hidden(_pass); // [T, C]
        if (pass.Logits.IsEmpty)
            return;

        Tensor wanted = hidden; // [rows, C]
        if (!pass.Rows.IsEmpty)
        {
            wanted = Activations.Take(pass.Logits.Rows, Config.HiddenSize, hidden.DType);
            Backend.GatherRows(hidden, pass.Rows, wanted);
        }

        _head.Logits(_pass, wanted, pass.Logits);
    }

    // 0, 1, … count − 1.
    private static bool AreAll(ReadOnlySpan<int> rows, int count)
    {
        bool all = rows.Length == count;
        for (int i = 0; all && i < count; i++)
        {
            all = rows[i] == i;
        }

        return all;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Activations.Dispose();
        foreach (RotaryTable? table in _rotary)
        {
            table?.Dispose();
        }

        foreach (LoraAdapter adapter in Adapters)
        {
            adapter.Dispose();
        }

        foreach (DeviceBuffer buffer in _memory)
        {
            buffer.Dispose();
        }

        _memory.Clear();
    }

    // Output of the final norm, holding no more than one block's activations.
    private Tensor Hidden(Pass pass)
    {
        (Tensor x, Tensor residual, Tensor y) = Blocks(pass, _blocks.Length);
        _finalNorm.Forward(pass, x, residual, y);
        return y;
    }

    // The two terms of the output of the first blocks, and a tensor of their shape that is free. Holds no more than one block's
    // activations.
    private (Tensor X, Tensor Residual, Tensor Free) Blocks(Pass pass, int count)
    {
        Tensor x = pass.Take(Config.HiddenSize); // [T, C]
        Tensor y = pass.Take(Config.HiddenSize); // [T, C]
        Tensor middle = pass.Take(Config.HiddenSize); // [T, C]
        Tensor residual = _embedding.Forward(pass, x, middle);
        foreach (Block block in _blocks.AsSpan(0, count))
        {
            ArenaMark mark = Activations.Mark();
            block.Forward(pass, x, residual, middle, y);
            Activations.Release(mark);
            (x, y, residual) = (y, x, middle);
        }

        return (x, residual, y);
    }

    // Rows is default where all are wanted, and Logits where none is.
    private readonly record struct LogitsPass(Decoder Decoder, Tensor Rows, Tensor Logits);

    private readonly record struct LogitsKey(Decoder Decoder, KeyValueCache Cache, int Sequences, int Wanted, bool Merged);

    // Blocks whose positions are the same share a table.
    private static RotaryTable?[] RotaryTables(ModelConfig config, IBackend backend)
    {
        Dictionary<Rope, RotaryTable> tables = [];
        var ofLayers = new RotaryTable?[config.Layers];
        for (int layer = 0; layer < ofLayers.Length; layer++)
        {
            if (config.RopeOf(layer) is not { } rope)
                continue;

            if (!tables.TryGetValue(rope, out ofLayers[layer]))
                tables[rope] = ofLayers[layer] = new RotaryTable(rope, config.ContextLength, backend);
        }

        return ofLayers;
    }

    private static void Check(ModelConfig config)
    {
        int rotary = config.RotaryColumns ?? config.HeadSize;
        if (config.Heads % config.KeyValueHeads != 0 || (!config.LearnedPositions && (rotary % 2 != 0 || rotary > config.HeadSize))
            || !(config.AttentionScale > 0) || (config.QueryKeyValueByHead && config.Heads != config.KeyValueHeads)
            || (config.RotaryLayers.Count != 0 && config.RotaryLayers.Count != config.Layers)
            || (config.Windows.Count != 0 && config.Windows.Count != config.Layers))
        {
            throw new ArgumentException(
                $"inconsistent model: {config.Heads} heads, {config.KeyValueHeads} key-value heads of {config.HeadSize}, attention scale "
                + $"{config.AttentionScale}, {config.Windows.Count} windows for {config.Layers} blocks");
        }
    }
}

using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Tensors;

namespace Forgetting.Models;

// Training: gradients, and the pass that fills them.
internal sealed partial class Decoder
{
    private long _dividedGradients; // elements of the memory of gradients that ranks divide

    /// <summary>Gives every trainable parameter a gradient, zeroed.</summary>
    /// <param name="type">Element type of those of matrices and tables; where ranks divide gradients Float32.</param>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public void AllocateGradients(DType type = DType.Float32)
    {
        if (DividesGradients)
        {
            if (TrainableRuns.Any(run => run.Gradient.IsEmpty))
                AllocateDividedGradients();
        }
        else
        {
            foreach (ParameterRun run in TrainableRuns)
            {
                if (run.Gradient.IsEmpty)
                    run.SetGradient(Allocate(run.Shape, run.HasVectors ? DType.Float32 : type));
            }
        }

        ZeroGradients();
    }

    /// <summary>Whether ranks divide the gradients, so that the memory of a pass is not that of the sums.</summary>
    internal bool DividesGradients => Sharding is { Gradients: true };

    /// <summary>Bytes of the memory that gradients have.</summary>
    internal long GradientBytes =>
        _dividedGradients > 0 ? _dividedGradients * sizeof(float) : TrainableParameters.Sum(p => p.Gradient.Bytes);

    /// <summary>Whether gradients of some runs lie where a pass through a unit leaves its own, where ranks divide gradients.</summary>
    internal bool SharesGradients(IReadOnlyList<ParameterRun> runs, int unit) =>
        runs.Any(run => Slot(run.Unit) == Slot(unit));

    // Where nothing is recorded, what a unit left is summed while a pass is in the next, so neighbours take turns in two slots of memory.
    private int Slot(int unit) => Backend.Records ? 0 : unit % 2;

    // This rank's part of the sums, and memory for the units that a pass is in. With the head a pass is in the embedding too where that is
    // the head's table.
    private void AllocateDividedGradients()
    {
        int embedding = TrainableRuns.Where(run => HeadIsTied && run.Unit == EmbeddingUnit).Sum(run => run.Shape.Rows);
        foreach (IGrouping<int, IGrouping<int, ParameterRun>> slot in
            TrainableRuns.GroupBy(run => run.Unit).GroupBy(unit => Slot(unit.Key)))
        {
            var first = new Dictionary<ParameterRun, int>();
            int rows = 0;
            foreach (IGrouping<int, ParameterRun> unit in slot)
            {
                int row = unit.Key == HeadUnit && Slot(HeadUnit) == Slot(EmbeddingUnit) ? embedding : 0;
                foreach (ParameterRun run in unit)
                {
                    first.Add(run, row);
                    row += run.Shape.Rows;
                }

                rows = Math.Max(rows, row);
            }

            Tensor passing = Allocate(new Shape(rows, TrainableRuns[0].Shape.Columns), DType.Float32);
            Backend.Fill(passing, 0);
            _dividedGradients += passing.Count;
            foreach ((ParameterRun run, int row) in first)
            {
                run.SetGradient(passing.RowRange(row, run.Shape.Rows), Allocate(run.OwnShape, DType.Float32));
                _dividedGradients += run.OwnShape.Count;
            }
        }
    }

    /// <summary>Sets all gradients to zero; no work where they are, as after the optimiser's step.</summary>
    public void ZeroGradients()
    {
        // Where ranks divide the gradients, what is known of those of a pass says nothing of the sums.
        if (HasZeroGradients() && !DividesGradients)
            return;

        Repeat(new ZeroKey(this), this, static decoder =>
        {
            for (int i = 0; i < decoder.TrainableRuns.Count; i++)
            {
                ParameterRun run = decoder.TrainableRuns[i];
                decoder.Backend.Fill(decoder.DividesGradients ? run.OwnGradient : run.Gradient, 0);
            }
        });
        SetZeroGradient(true);
    }

    /// <summary>
    /// One micro-batch: losses of the head rows, and the gradients of Σ weight·loss (negative weights as
    /// <paramref name="ascent"/> says) to the sink.
    /// </summary>
    /// <param name="sink">Where gradients go; an <see cref="AccumulateSink"/> needs <see cref="AllocateGradients"/> first.</param>
    /// <param name="losses">[R] cross-entropies in nats.</param>
    /// <param name="dropoutSeed">Key of LoRA's dropout masks for this optimiser step; null for no dropout.</param>
    /// <param name="recompute">Keep only the blocks' inputs and compute each block again in its backward: less memory, a
    /// third more work, same bits.</param>
    /// <param name="regularizer">A further term on the hidden states.</param>
    /// <param name="targetSeed">Draw the targets from the model itself (the true Fisher information), as a function of
    /// (seed, example, position).</param>
    /// <param name="baseModel">Descend the divergence from this model (<see cref="ILossOperations.KlDivergence"/>) instead of the losses,
    /// which are only measured; or null.</param>
    /// <param name="divergences">[R] KL(base‖model) in nats where there is a base model, or empty.</param>
    /// <exception cref="UserException">A token or position is outside the model.</exception>
    /// <exception cref="InvalidOperationException">The adapter that would be trained is merged.</exception>
    public void ForwardBackward(
        TokenBatch batch, Ascent ascent, IGradientSink sink, Span<float> losses, ulong? dropoutSeed = null, bool recompute = false,
        IRegularizer? regularizer = null, ulong? targetSeed = null, Decoder? baseModel = null, Span<float> divergences = default)
    {
        BatchCheck.Require(batch, losses.Length, Config);
        if (_merged && TrainableParameters.Count > 0)
            throw new InvalidOperationException("the adapter is merged and cannot be trained any more");

        // Chunks end with documents, hidden states are looked at, the base model has a pass of its own, or ranks speak to each other.
        bool alone = sink.PerDocument || regularizer is not null || baseModel is not null || sink.Communicates;
        if (Backend.Records && !alone)
            batch = BatchFiller.Fill(batch, Config.VocabularySize, Config.ContextLength);

        bool zero = HasZeroGradients();
        Begin(batch.Ids, batch.Positions, batch.Offsets, batch.RowKeys, dropoutSeed);
        HeadInputs head = _head.Upload(_pass, batch, targetSeed);
        var pass = new PassState(this, batch, head, ascent, sink, recompute, zero, regularizer, baseModel?.AtHeadRows(batch));
        if (alone)
        {
            RunPass(pass);
        }
        else
        {
            var key = new PassKey(
                this, sink, ascent, batch.Rows, batch.Documents, batch.HeadRows.Length, !head.Uniforms.IsEmpty, !head.BaseLogs.IsEmpty,
                _pass.Dropout, recompute, zero, LogitBytes);
            Repeat(key, pass, static pass => pass.Decoder.RunPass(pass));
        }

        if (!sink.Communicates)
            SetZeroGradient(false); // a pass that is replayed does not come to where the sink does

        if (losses.Length > 0)
            Backend.Download(LossHead.Part(head.Losses, 0, losses.Length), losses);

        if (!divergences.IsEmpty)
            Backend.Download(head.Divergences, divergences);
    }

    /// <summary>
    /// Leaves the chosen of the <see cref="TrainableParameters"/> trainable and freezes the others. Before <see cref="AllocateGradients"/>.
    /// </summary>
    /// <exception cref="InvalidOperationException">Ranks divide what is trained.</exception>
    public void TrainOnly(Func<Parameter, bool> chosen)
    {
        if (Sharding != null)
            throw new InvalidOperationException("ranks divide all that is trained");

        foreach (Parameter parameter in TrainableParameters)
        {
            parameter.Trainable = chosen(parameter);
        }

        foreach (ParameterGroup group in ParameterGroup.Of(TrainableParameters).ToArray())
        {
            if (group.Parameters.Select(p => p.Trainable).Distinct().Count() == 1)
                continue;

            group.Split();
            foreach (Parameter parameter in group.Parameters)
            {
                DeclareWeight(parameter.Group);
            }
        }

        TrainableParameters = [.. TrainableParameters.Where(p => p.Trainable)];

        // What is frozen lies between what is not: each by itself.
        TrainableRuns = ParameterRun.Of(TrainableParameters, joined: false);
    }

    /// <summary>
    /// The weight, and where it is adapted the adapter's, of the last layer of a block's MLP, which writes to the residual stream.
    /// </summary>
    public IEnumerable<Parameter> MlpOutput(int block)
    {
        Parameter weight = _blocks[block].MlpOutput.Weight;
        return [weight, .. Adapters.Where(a => a.Weight == weight).SelectMany(a => new[] { a.A, a.B })];
    }

    /// <summary><see cref="Parameter.Unit"/> of what is before the blocks.</summary>
    internal const int EmbeddingUnit = 0;

    /// <summary><see cref="Parameter.Unit"/> of what is behind the blocks.</summary>
    internal int HeadUnit => Config.Layers + 1;

    private bool HasZeroGradients()
    {
        // By index, as enumerators would be allocated in every step.
        for (int i = 0; i < TrainableParameters.Count; i++)
        {
            if (!TrainableParameters[i].HasZeroGradient)
                return false;
        }

        return true;
    }

    private void SetZeroGradient(bool zero)
    {
        for (int i = 0; i < TrainableParameters.Count; i++)
        {
            TrainableParameters[i].HasZeroGradient = zero;
        }
    }

    private void RunPass(in PassState pass)
    {
        // Also while it is recorded, after the sink has written.
        SetZeroGradient(pass.Zero);
        (Tensor x, Tensor residual) = ForwardBlocks(pass); // [T, C] both
        bool nonlinearTie = HeadIsTied && pass.Sink.PerDocument && pass.Sink.Wants(_head.Weight);
        Tensor tokenRows = nonlinearTie ? Activations.Take(pass.Batch.Rows, Config.HiddenSize) : default; // Float32 [T, C]
        Tensor dX = _pass.Take(Config.HiddenSize); // [T, C]
        HeadBackward(pass, x, residual, dX, tokenRows);
        pass.Sink.Completed(HeadUnit);
        BackwardBlocks(pass, output: x, middle: residual, dX, tokenRows);
    }

    /// <summary><see cref="IRepetition.Repeat"/> where <see cref="Repeats"/> says so.</summary>
    internal void Repeat<TKey, TState>(TKey key, TState state, Action<TState> operations)
        where TKey : notnull
    {
        if (Repeats)
        {
            Backend.Repeat(key, state, operations);
        }
        else
        {
            operations(state);
        }
    }

    // The last block's output, whose two terms are still to be added; the blocks' inputs stay in _inputs, and unless they
    // are recomputed their activations too.
    private (Tensor X, Tensor Residual) ForwardBlocks(in PassState pass)
    {
        using var range = Nvtx.Range("forward"u8);
        Tensor x = _pass.Take(Config.HiddenSize); // [T, C]
        Tensor middle = _pass.Take(Config.HiddenSize); // [T, C]
        Tensor residual = _embedding.Forward(_pass, x, middle);
        for (int layer = 0; layer < _blocks.Length; layer++)
        {
            if (layer > 0 && !pass.Recompute)
            {
                // The backward reads every block's. Where they are computed again one does for all: a block
                // reads the one below's before it writes.
                middle = _pass.Take(Config.HiddenSize);
            }

            Tensor y = _pass.Take(Config.HiddenSize); // [T, C]
            pass.Regularizer?.Disturb(Backend, Activations, pass.Batch, layer, x);
            ArenaMark mark = Activations.Mark();
            _blocks[layer].Forward(_pass, x, residual, middle, y);
            if (pass.Recompute)
                Activations.Release(mark);

            _inputs[layer] = x;
            (x, residual) = (y, middle);
        }

        return (x, residual);
    }

    // Final norm, head and their backward; dX receives the gradient at the last block's output x + residual, which takes the place of x.
    private void HeadBackward(in PassState pass, Tensor x, Tensor residual, Tensor dX, Tensor tokenRows)
    {
        using var range = Nvtx.Range("head"u8);
        ArenaMark mark = Activations.Mark();
        Tensor hidden = _pass.Take(Config.HiddenSize); // [T, C]
        _finalNorm.Forward(_pass, x, residual, hidden);
        Tensor dHidden = _pass.Take(Config.HiddenSize); // [T, C]
        _head.ForwardBackward(_pass, pass.Batch, pass.Head, hidden, pass.Ascent, pass.Sink, dHidden, tokenRows, pass.Base);
        pass.Regularizer?.AddGradient(Backend, Activations, hidden, _pass.Offsets, dHidden);
        Backend.Fill(dX, 0);
        _finalNorm.Backward(_pass, pass.Sink, dHidden, x, dX);
        Activations.Release(mark);
    }

    // From dX [T, C], the gradient at the last block's output [T, C], down to the embedding. Blocks that are computed again
    // have their middle [T, C] in common.
    private void BackwardBlocks(in PassState pass, Tensor output, Tensor middle, Tensor dX, Tensor tokenRows)
    {
        using var range = Nvtx.Range("backward"u8);
        IGradientSink sink = pass.Sink;
        bool belowWanted = _embedding.Wanted(sink);
        for (int layer = _blocks.Length - 1; layer >= 0; layer--)
        {
            Block block = _blocks[layer];
            ArenaMark mark = Activations.Mark();
            pass.Regularizer?.AddBlockGradient(Backend, Activations, pass.Batch, layer, output, dX);
            output = _inputs[layer];
            if (pass.Recompute)
                block.Forward(_pass, _inputs[layer], residual: default, middle, y: default);

            block.Backward(_pass, sink, dX, inputGradient: layer > 0 || belowWanted || block.NormWanted(sink));
            Activations.Release(mark);
            sink.Completed(layer + 1);
        }

        if (belowWanted)
            _embedding.Backward(_pass, sink, dX, tokenRows);

        sink.Completed(EmbeddingUnit);
    }

    private readonly record struct PassState(
        Decoder Decoder, TokenBatch Batch, HeadInputs Head, Ascent Ascent, IGradientSink Sink, bool Recompute, bool Zero,
        IRegularizer? Regularizer, BaseHead? Base);

    // What decides the launches of a pass and of setting gradients to zero.
    private readonly record struct PassKey(
        Decoder Decoder, IGradientSink Sink, Ascent Ascent, int Rows, int Documents, int HeadRows, bool DrawnTargets, bool BaseLogs,
        bool Dropout, bool Recompute, bool Zero, long LogitBytes);

    private readonly record struct ZeroKey(Decoder Decoder);
}

using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Output projection and signed loss, fused by chunks of head rows: the logits of a chunk become losses and, in place, the gradient at the
/// logits, which is used up at once for the weight's and the input's gradient. Logits of a whole batch never exist.
/// </summary>
/// <param name="weight">[V, C].</param>
/// <param name="adapter">Its low-rank update, or null.</param>
/// <param name="scale">Factor on the logits.</param>
/// <param name="cap">Logits x become cap·tanh(x / cap), after the factor; 0 for no cap.</param>
internal sealed class LossHead(Parameter weight, LoraAdapter? adapter, float scale, float cap)
{
    /// <summary>
    /// Default of <see cref="ChunkBytes"/>: some hundred rows, since every chunk reads the weight and reads and writes all of its gradient.
    /// </summary>
    public const long DefaultChunkBytes = 128L << 20;

    /// <summary>
    /// <see cref="LeastRows"/> for a card, whose products are bound by reading the weight and its gradient where chunks are smaller.
    /// </summary>
    public const int RowsOnCard = 2048;

    // No vocabulary makes a chunk larger because of LeastRows.
    private const long MaxBytes = 1L << 30;
    private const int TileRows = 256;

    private int[] _offsets = []; // [n + 1] head rows of each document within a chunk
    private int[] _tokenOffsets = []; // [n + 1] tokens of each document within a chunk
    private float[] _uniforms = []; // [R]

    /// <summary>Most bytes of a chunk's logits, unless one document's rows that must stay together need more.</summary>
    public long ChunkBytes { get; set; } = DefaultChunkBytes;

    /// <summary>Rows that a chunk has even where they need more than <see cref="ChunkBytes"/>, up to a GiB.</summary>
    public int LeastRows { get; set; }

    /// <summary>[V, C]; the token embedding where that is tied.</summary>
    public Parameter Weight => weight;

    private LoraAdapter? ActiveAdapter => adapter is { IsMerged: false } ? adapter : null;

    /// <summary>Losses, and arg-maxes where <paramref name="greedy"/> is not empty, of the head rows.</summary>
    /// <param name="hidden">[T, C] output of the final norm.</param>
    /// <param name="losses">[R] receives the cross-entropies in nats.</param>
    /// <param name="greedy">[R] or empty.</param>
    public void Forward(Pass pass, TokenBatch batch, Tensor hidden, Span<float> losses, Span<int> greedy)
    {
        IBackend backend = pass.Backend;
        int rows = batch.HeadRows.Length; // R
        if (rows == 0)
            return;

        Tensor x = Gather(pass, pass.Upload(batch.HeadRows), hidden); // [R, C]
        Tensor targets = pass.Upload(batch.Targets); // [1, R]
        Tensor loss = pass.Arena.Take(1, rows); // [1, R]
        Tensor best = greedy.IsEmpty ? default : pass.Arena.Take(1, rows, DType.Int32); // [1, R]
        int step = ChunkRows(DType.Float32);
        for (int first = 0; first < rows; first += step)
        {
            int count = Math.Min(step, rows - first);
            ArenaMark mark = pass.Arena.Mark();
            Tensor logits = pass.Arena.Take(count, weight.Shape.Rows); // Float32 [count, V]
            Logits(pass, x.RowRange(first, count), logits);
            backend.SignedLoss(
                logits, Part(targets, first, count), default, default, default, Part(loss, first, count),
                best.IsEmpty ? default : Part(best, first, count));
            pass.Arena.Release(mark);
        }

        backend.Download(loss, losses);
        if (!greedy.IsEmpty)
            backend.Download(best, greedy);
    }

    /// <summary>Logits without dropout.</summary>
    /// <param name="x">[N, C].</param>
    /// <param name="logits">[N, V], overwritten; Float32 where scores are compared, for which bfloat16 is too coarse.</param>
    public void Logits(Pass pass, Tensor x, Tensor logits)
    {
        pass.Backend.Gemm(x, false, weight.Value, true, logits);
        if (ActiveAdapter is { } lora)
        {
            // Nobody reads logits alone with dropout.
            Tensor low = pass.Arena.Take(x.Rows, lora.Rank, x.DType); // [N, r]
            pass.Backend.Gemm(x, false, lora.A.Value, true, low, alpha: lora.Scale);
            pass.Backend.Gemm(low, false, lora.B.Value, true, logits, beta: 1);
        }

        Scale(pass, logits);
        if (cap > 0)
            pass.Backend.SoftCap(logits, logits, cap);
    }

    /// <summary>Brings what <see cref="ForwardBackward"/> reads of a batch to the device.</summary>
    /// <param name="targetSeed">Draw the targets from the model with this seed, or null to take the batch's.</param>
    public HeadInputs Upload(Pass pass, TokenBatch batch, ulong? targetSeed)
    {
        int rows = batch.HeadRows.Length; // R
        return new HeadInputs(
            pass.Upload(batch.HeadRows),
            targetSeed is null ? pass.Upload(batch.Targets) : pass.Arena.Take(1, rows, DType.Int32),
            targetSeed is { } seed ? Uniforms(pass, batch, seed) : default,
            pass.Upload(batch.Weights),
            batch.BaseLogProbabilities is { } values ? pass.Upload(values) : default,
            pass.Arena.Take(1, rows), pass.Arena.Take(1, rows));
    }

    /// <summary>
    /// Losses of the head rows, the weight's gradient to the sink, and the hidden states' gradient. Descended is the signed loss, or where
    /// there is a base the divergence from it.
    /// </summary>
    /// <param name="inputs">As <see cref="Upload"/> gave them; receives the losses.</param>
    /// <param name="hidden">[T, C].</param>
    /// <param name="dHidden">[T, C], overwritten.</param>
    /// <param name="tokenRows">Float32 [T, C], overwritten: the weight's gradient of each document in the rows of its input tokens, for a
    /// tied embedding under a sink that is not linear; else default.</param>
    /// <param name="known">What the base says at the head rows, or null.</param>
    public void ForwardBackward(
        Pass pass, TokenBatch batch, HeadInputs inputs, Tensor hidden, Ascent ascent, IGradientSink sink, Tensor dHidden, Tensor tokenRows,
        BaseHead? known = null)
    {
        IBackend backend = pass.Backend;
        backend.Fill(dHidden, 0);
        if (!tokenRows.IsEmpty)
            backend.Fill(tokenRows, 0);

        int rows = batch.HeadRows.Length; // R
        if (rows == 0)
            return;

        Tensor x = Gather(pass, inputs.Rows, hidden); // [R, C]
        Tensor dX = pass.Arena.Take(rows, hidden.Columns, hidden.DType); // [R, C]
        HeadAdapterPass low = ActiveAdapter is { } lora ? HeadAdapterPass.Forward(lora, pass, inputs.Rows, hidden) : default;
        var chunk = new Chunk(0, 0, 0, 0);
        int limit = ChunkRows(hidden.DType);
        while (NextChunk(batch, sink.PerDocument, limit, ref chunk))
        {
            ArenaMark mark = pass.Arena.Mark();
            Tensor xs = x.RowRange(chunk.FirstRow, chunk.Rows); // [r, C]
            Tensor logits = pass.Arena.Take(chunk.Rows, weight.Shape.Rows, hidden.DType); // [r, V]
            backend.Gemm(xs, false, weight.Value, true, logits);
            low.AddTo(backend, logits, chunk.FirstRow);
            Scale(pass, logits);
            Tensor plain = logits; // kept beside the capped ones, for the cap's derivative
            if (cap > 0)
            {
                logits = pass.Arena.Take(logits.Shape, logits.DType);
                backend.SoftCap(plain, logits, cap);
            }

            Tensor targets = Part(inputs.Targets, chunk.FirstRow, chunk.Rows);
            if (!inputs.Uniforms.IsEmpty)
                backend.Sample(logits, 1, 0, 1, Part(inputs.Uniforms, chunk.FirstRow, chunk.Rows), targets);

            Tensor weights = Part(inputs.Weights, chunk.FirstRow, chunk.Rows), losses = Part(inputs.Losses, chunk.FirstRow, chunk.Rows);
            if (known is null)
            {
                backend.SignedLoss(
                    logits, targets, weights,
                    inputs.BaseLogs.IsEmpty ? default : Part(inputs.BaseLogs, chunk.FirstRow, chunk.Rows), ascent, losses, default);
            }
            else
            {
                backend.SignedLoss(logits, targets, default, default, default, losses, default);
                known.Diverge(logits, weights, Part(inputs.Divergences, chunk.FirstRow, chunk.Rows), chunk.FirstRow);
            }

            if (cap > 0)
                backend.SoftCapBackward(plain, logits, logits, cap);

            Scale(pass, logits);

            // A pass that is repeated uploads nothing in its midst: what was recorded would bring what lay there then.
            Tensor offsets = sink.PerDocument ? Offsets(pass, batch, chunk) : default;
            if (sink.Wants(weight))
                sink.Matrix(weight, xs, logits, offsets);

            low.ChunkBackward(backend, sink, logits, chunk.FirstRow, offsets);

            if (!tokenRows.IsEmpty)
                TokenRows(pass, batch, chunk, logits, xs, tokenRows);

            backend.Gemm(logits, false, weight.Value, false, dX.RowRange(chunk.FirstRow, chunk.Rows));
            pass.Arena.Release(mark);
        }

        backend.ScatterRows(dX, inputs.Rows, dHidden);
        low.Backward(pass, sink, inputs.Rows, hidden, dHidden);
    }

    // Logits on the way up, their gradient on the way down.
    private void Scale(Pass pass, Tensor logits)
    {
        if (scale != 1)
            pass.Backend.Scale(logits, scale);
    }

    private static Tensor Gather(Pass pass, Tensor rows, Tensor hidden)
    {
        Tensor x = pass.Arena.Take((int)rows.Count, hidden.Columns, hidden.DType); // [R, C]
        pass.Backend.GatherRows(hidden, rows, x);
        return x;
    }

    /// <summary>Some elements [1, <paramref name="count"/>] of a vector.</summary>
    public static Tensor Part(Tensor vector, int first, int count) =>
        vector.Reshape(new Shape(vector.Columns, 1)).RowRange(first, count).Reshape(new Shape(count));

    /// <summary>Most rows of a chunk of logits of this type: whole tiles of a product where there is one.</summary>
    internal int ChunkRows(DType dtype)
    {
        long bytes = (long)weight.Shape.Rows * dtype.Size();
        long rows = Math.Clamp(Math.Max(ChunkBytes / bytes, Math.Min(LeastRows, MaxBytes / bytes)), 1, 1 << 16);
        return (int)(rows < TileRows ? rows : rows / TileRows * TileRows);
    }

    // Chunks hold whole documents where gradients stay apart by document; a document longer than a chunk is a chunk of its own.
    private static bool NextChunk(TokenBatch batch, bool wholeDocuments, int limit, ref Chunk chunk)
    {
        int total = batch.HeadRows.Length;
        int first = chunk.FirstRow + chunk.Rows;
        if (first == total)
            return false;

        if (!wholeDocuments)
        {
            chunk = new Chunk(first, Math.Min(limit, total - first), 0, batch.Documents);
            return true;
        }

        int document = chunk.FirstDocument + chunk.Documents;
        int end = document + 1;
        while (end < batch.Documents && (batch.HeadOffsets[end] == first || batch.HeadOffsets[end + 1] - first <= limit))
        {
            end++;
        }

        chunk = new Chunk(first, batch.HeadOffsets[end] - first, document, end - document);
        return true;
    }

    // [1, n + 1] rows of every document of the batch within the chunk; documents outside it have none there.
    private Tensor Offsets(Pass pass, TokenBatch batch, Chunk chunk)
    {
        Span<int> offsets = Buffer(ref _offsets, batch.Documents + 1);
        for (int i = 0; i < offsets.Length; i++)
        {
            offsets[i] = Math.Clamp(batch.HeadOffsets[i] - chunk.FirstRow, 0, chunk.Rows);
        }

        return pass.Upload(offsets);
    }

    private void TokenRows(Pass pass, TokenBatch batch, Chunk chunk, Tensor dLogits, Tensor x, Tensor tokenRows)
    {
        Span<int> rows = Buffer(ref _offsets, chunk.Documents + 1);
        Span<int> tokens = Buffer(ref _tokenOffsets, chunk.Documents + 1);
        int firstToken = batch.Offsets[chunk.FirstDocument];
        for (int i = 0; i < rows.Length; i++)
        {
            rows[i] = batch.HeadOffsets[chunk.FirstDocument + i] - chunk.FirstRow;
            tokens[i] = batch.Offsets[chunk.FirstDocument + i] - firstToken;
        }

        int count = tokens[^1];
        pass.Backend.HeadRows(
            dLogits, x, pass.Upload(rows), Part(pass.Ids, firstToken, count), pass.Upload(tokens), tokenRows.RowRange(firstToken, count));
    }

    // One number for each (seed, example, position), so that what is drawn does not depend on batching.
    private Tensor Uniforms(Pass pass, TokenBatch batch, ulong seed)
    {
        Span<float> uniforms = Buffer(ref _uniforms, batch.HeadRows.Length);
        for (int document = 0; document < batch.Documents; document++)
        {
            for (int r = batch.HeadOffsets[document]; r < batch.HeadOffsets[document + 1]; r++)
            {
                uint position = (uint)batch.Positions[batch.HeadRows[r]];
                uniforms[r] = Philox.ToUniform(Philox.Words(seed, (uint)batch.Examples[document], position, 0, RandomDomain.Targets).X);
            }
        }

        return pass.Upload(uniforms);
    }

    private static Span<T> Buffer<T>(ref T[] buffer, int length)
    {
        if (buffer.Length < length)
            buffer = new T[Math.Max(length, 2 * buffer.Length)];

        return buffer.AsSpan(0, length);
    }

    /// <summary>Some rows of the head, and the documents they belong to.</summary>
    private readonly record struct Chunk(int FirstRow, int Rows, int FirstDocument, int Documents);
}

/// <summary>What the head reads of a batch, and the losses it leaves; all [1, R].</summary>
/// <param name="Rows">Int32: rows whose next token is predicted.</param>
/// <param name="Targets">Int32: the tokens to predict, or room for those that are drawn.</param>
/// <param name="Uniforms">What targets are drawn with; default where they are given.</param>
/// <param name="Weights">Weights in the objective.</param>
/// <param name="BaseLogs">The base model's log-probabilities; default where there are none.</param>
/// <param name="Losses">Receives the cross-entropies in nats.</param>
/// <param name="Divergences">Receives the divergences from the base in nats, where there is one.</param>
internal readonly record struct HeadInputs(
    Tensor Rows, Tensor Targets, Tensor Uniforms, Tensor Weights, Tensor BaseLogs, Tensor Losses, Tensor Divergences);

/// <summary>The base model at the head rows of a batch; its logits of a whole batch never exist either.</summary>
/// <param name="head">Its head.</param>
/// <param name="pass">The pass of its own that made the hidden states.</param>
/// <param name="hidden">[R, C] its hidden states at the head rows.</param>
internal sealed class BaseHead(LossHead head, Pass pass, Tensor hidden)
{
    /// <summary><see cref="ILossOperations.KlDivergence"/> of a chunk of rows.</summary>
    /// <param name="first">Its first head row.</param>
    public void Diverge(Tensor logits, Tensor weights, Tensor divergences, int first)
    {
        ArenaMark mark = pass.Arena.Mark();
        Tensor known = pass.Arena.Take(logits.Rows, logits.Columns, logits.DType); // [r, V]
        head.Logits(pass, hidden.RowRange(first, logits.Rows), known);
        pass.Backend.KlDivergence(logits, known, weights, divergences);
        pass.Arena.Release(mark);
    }
}

using Forgetting.Tensors;

namespace Forgetting.Backends;

/// <summary>
/// The operations a decoder needs, on one device. Every operation exists with its backward; all of them take packed row-major tensors
/// (see <see cref="Tensor"/>), or columns of such (<see cref="ColumnView"/>), whose rows are the tokens of a ragged batch: sequences lie
/// end to end and <c>offsets</c> [n + 1] (Int32) gives the first row of each, the total last. There is no padding anywhere.
/// </summary>
/// <remarks>
/// Storage of activations and weights is <see cref="StorageType"/>; sums, statistics, losses, gradients of weights
/// and optimiser state are Float32. An operation may be asynchronous; <see cref="IMemory.Download{T}"/> waits for what it reads.
/// The same inputs give the same bits every time, and a row's result does not depend on the other rows of the batch. On a card the number
/// of rows may matter to a product's last bits, since cuBLAS chooses an algorithm by it; what lies in the other rows never does.
/// Outputs are overwritten unless the summary says "adds". Unless it says otherwise, an output may not alias an input.
/// </remarks>
internal interface IBackend
    : IMemory, IRepetition, IDenseOperations, ISequenceOperations, IElementwiseOperations, ILossOperations, ISinkOperations,
        IOptimizerOperations
{
    /// <summary>Name as in <c>--device</c>: cpu, cuda, cuda:N, cuda-emu or cuda-ptx.</summary>
    string Name { get; }

    /// <summary>Element type of activations and of the weights used in products.</summary>
    DType StorageType { get; }

    /// <summary>
    /// Says that many products will read <paramref name="weight"/> as their B between two writes, so that the backend may keep copies of it
    /// in the layout that its products want. Results stay the same. The declaration ends with the tensor's memory; whatever operation
    /// writes to the tensor is seen, a write to its memory by other means is not.
    /// </summary>
    /// <param name="weight">A whole matrix in storage type.</param>
    void DeclareWeight(Tensor weight);
}

/// <summary>Sequences of operations that come again and again and differ in nothing but the contents of the memory they work on.</summary>
internal interface IRepetition
{
    /// <summary>
    /// Whether <see cref="Repeat"/> records sequences. Then it pays to fill batches up, so that many become the same sequence
    /// (<see cref="Data.BatchFiller"/>).
    /// </summary>
    bool Records { get; }

    /// <summary>
    /// Does <paramref name="operations"/>. Where a sequence has come before under an equal key, a backend may launch what it recorded then
    /// as one piece (on a card, a CUDA graph) instead of calling <paramref name="operations"/> again.
    /// </summary>
    /// <param name="key">Compared by value: all that decides the operations, their scalars and their tensors. Memory given back meanwhile
    /// needs no mention: what was recorded is forgotten with it.</param>
    /// <param name="state">Handed to <paramref name="operations"/>.</param>
    /// <param name="operations">Neither uploads, downloads, allocates nor waits, and leaves nothing on the
    /// host that is read afterwards.</param>
    void Repeat<TKey, TState>(TKey key, TState state, Action<TState> operations)
        where TKey : notnull;
}

/// <summary>Dense products.</summary>
internal interface IDenseOperations
{
    /// <summary>
    /// C = α·op(A)·op(B) + β·C with op the identity or the transpose; sums in Float32. β = 0 does not read C.
    /// A linear layer's forward is (X, W, transposeB), its input gradient (dY, W), its weight gradient (dY, transposeA, X, β 1).
    /// </summary>
    /// <param name="a">[M, K], or [K, M] with <paramref name="transposeA"/>.</param>
    /// <param name="b">[K, N], or [N, K] with <paramref name="transposeB"/>; may be NormalFloat4, of which only a part at a time is ever in
    /// the storage type.</param>
    /// <param name="c">[M, N].</param>
    void Gemm(ColumnView a, bool transposeA, ColumnView b, bool transposeB, ColumnView c, float alpha = 1, float beta = 0);

    /// <summary>Adds <paramref name="bias"/> [1, C] to every row of <paramref name="y"/> [T, C].</summary>
    void AddBias(ColumnView y, Tensor bias);

    /// <summary>
    /// low = scale·drop(x)·Aᵀ: the first half of a low-rank update with inverted dropout (arXiv 2106.09685), drop(x) = x ∘ mask / (1 −
    /// rate). The mask is a function of (seed, stream, row key, column) alone (<see cref="DropoutMask"/>), so that it does not depend on
    /// how examples are batched, and forward and backward make it where they need it: drop(x) is never stored whole.
    /// </summary>
    /// <param name="x">[T, in].</param>
    /// <param name="a">[r, in].</param>
    /// <param name="low">[T, r].</param>
    void LoraDown(Tensor x, DropoutMask mask, Tensor a, float scale, Tensor low);

    /// <summary>Adds dLowᵀ·drop(x) to the gradient of A.</summary>
    /// <param name="dLow">[T, r]: gradient at drop(x)·Aᵀ.</param>
    /// <param name="gradient">Float32 [r, in].</param>
    void LoraDownGradient(Tensor dLow, Tensor x, DropoutMask mask, Tensor gradient);

    /// <summary>Adds drop(dLow·A) to <paramref name="dX"/> [T, in].</summary>
    void LoraDownInput(Tensor dLow, Tensor a, DropoutMask mask, Tensor dX);

    /// <summary>
    /// What the rows of V = W + s·B·A are divided by and multiplied with where a weight is a direction and a magnitude of each output
    /// (DoRA, arXiv 2402.09353): factors[0, j] = 1 / ‖V[j]‖ and factors[1, j] = m[j] / ‖V[j]‖, 0 for a row of zeros. V is never made:
    /// ‖V[j]‖² = ‖W[j]‖² + Σₖ B[j, k]·(2s·(A·Wᵀ)[k, j] + s²·(A·Aᵀ·Bᵀ)[k, j]).
    /// </summary>
    /// <param name="squares">Float32 [1, out] ‖W[j]‖².</param>
    /// <param name="magnitude">Float32 [1, out] m.</param>
    /// <param name="b">[out, r].</param>
    /// <param name="cross">Float32 [r, out] A·Wᵀ.</param>
    /// <param name="gram">Float32 [r, r] A·Aᵀ.</param>
    /// <param name="scale">s.</param>
    /// <param name="factors">Float32 [2, out].</param>
    void MagnitudeFactors(Tensor squares, Tensor magnitude, Tensor b, Tensor cross, Tensor gram, float scale, Tensor factors);

    /// <summary>unit = y ∘ factors[0], y = y ∘ factors[1], the factors of a column being the same in all rows.</summary>
    /// <param name="y">[T, out], x·Vᵀ, multiplied.</param>
    /// <param name="factors">Float32 [2, out].</param>
    /// <param name="unit">[T, out], or default where nobody needs it.</param>
    void Magnitude(ColumnView y, Tensor factors, Tensor unit);

    /// <summary>
    /// The gradients of <see cref="Magnitude"/>, ‖V‖ being a constant (section 4.3 there): dV = dY ∘ factors[1], and unit = dY ∘ unit,
    /// whose column sums are the gradient at m.
    /// </summary>
    /// <param name="dY">[T, out].</param>
    /// <param name="factors">Float32 [2, out].</param>
    /// <param name="unit">[T, out], as the forward left it, multiplied.</param>
    /// <param name="dV">[T, out]; may be <paramref name="dY"/>.</param>
    void MagnitudeBackward(ColumnView dY, Tensor factors, Tensor unit, ColumnView dV);
}

/// <summary>Operations that look at more than one row or head: gathering, positions, attention, pooling.</summary>
internal interface ISequenceOperations
{
    /// <summary>y[t] = table[rows[t]]: token and position embeddings, and the rows that need logits.</summary>
    /// <param name="table">[V, C].</param>
    /// <param name="rows">Int32 [1, T].</param>
    /// <param name="y">[T, C].</param>
    void GatherRows(Tensor table, Tensor rows, Tensor y);

    /// <summary>y[rows[t]] = x[t]; rows are distinct. Rows of y not named keep their contents.</summary>
    void ScatterRows(ColumnView x, Tensor rows, Tensor y);

    /// <summary>Copies <paramref name="count"/> columns of every row: splits and joins fused projections.</summary>
    void CopyColumns(Tensor source, int sourceColumn, Tensor destination, int destinationColumn, int count);

    /// <summary>
    /// Rotary position embedding in place, rotate-half layout: with i &lt; R/2, the pair (x_i, x_{i+R/2}) of every head turns by
    /// the angle whose cosine and sine are cosine[position, i] and sine[position, i] (RoFormer, arXiv 2104.09864, eq. 34).
    /// <paramref name="inverse"/> turns back, which is the backward.
    /// </summary>
    /// <param name="x">[T, heads·D].</param>
    /// <param name="positions">Int32 [1, T].</param>
    /// <param name="cosine">Float32 [P, R/2]; columns of a head from R on stay as they are.</param>
    /// <param name="sine">Float32 [P, R/2].</param>
    void Rope(ColumnView x, Tensor positions, Tensor cosine, Tensor sine, int headSize, bool inverse);

    /// <summary>
    /// Causal attention within each sequence, with grouped queries and an optional sliding window, never storing a T × T matrix
    /// (FlashAttention-2, arXiv 2307.08691). o_t = Σ_{s ≤ t, t − s &lt; window} softmax_s(scale·q_t·k_s) v_s, the scores x capped to
    /// cap·tanh(x / cap) where there is a cap.
    /// </summary>
    /// <param name="q">[T, heads·D]; head h uses key-value head h / (heads / kvHeads).</param>
    /// <param name="k">[T, kvHeads·D].</param>
    /// <param name="v">[T, kvHeads·D], with the stride of <paramref name="k"/>.</param>
    /// <param name="offsets">Int32 [1, n + 1].</param>
    /// <param name="o">[T, heads·D].</param>
    /// <param name="logSumExp">Float32 [T, heads]: log Σ exp of the scaled scores, for the backward.</param>
    void Attention(AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp);

    /// <summary>Gradients of <see cref="Attention"/> with respect to q, k and v (overwritten), with the strides of these.</summary>
    /// <param name="delta">Float32 [T, heads], scratch: receives Σ_d dO·O.</param>
    void AttentionBackward(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp, Tensor dO,
        Tensor delta, ColumnView dQ, ColumnView dK, ColumnView dV);

    /// <summary>
    /// Attention of new tokens against a key-value cache that already holds them: the i-th of the m new tokens of sequence s stands at
    /// position lengths[s] − m + i and sees cache rows starts[s] … starts[s] + position. With m = 1 this is decoding.
    /// </summary>
    /// <param name="q">[T, heads·D], sequences end to end as <paramref name="offsets"/> says.</param>
    /// <param name="keys">[R, kvHeads·D], the cache of one layer.</param>
    /// <param name="values">[R, kvHeads·D].</param>
    /// <param name="starts">Int32 [1, n]: first cache row of each sequence.</param>
    /// <param name="lengths">Int32 [1, n]: tokens of each sequence in the cache, the new ones included.</param>
    void AttentionWithCache(
        AttentionShape shape, ColumnView q, Tensor offsets, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o);

    /// <summary>y[s] = mean of the rows of sequence s. y is Float32 [n, C].</summary>
    void SegmentMean(Tensor x, Tensor offsets, Tensor y);

    /// <summary>Adds dY[s] / length(s) to every row of sequence s of dX. dY is Float32 [n, C].</summary>
    void SegmentMeanBackward(Tensor dY, Tensor offsets, Tensor dX);
}

/// <summary>Norms, activations and sums.</summary>
internal interface IElementwiseOperations
{
    /// <summary>
    /// y = (offset + gain) ∘ x̂ with x̂ = x·rstd, rstd = 1/√(mean(x²) + ε) (arXiv 1910.07467, eq. 4). With a residual, x becomes
    /// x + residual first; it is normalised as it is stored, rounded to storage type, since the backward reads it from there.
    /// </summary>
    /// <param name="x">[T, C]: what a layer adds to the residual stream; receives the sum, and is only read
    /// where there is no residual.</param>
    /// <param name="residual">[T, C]: the stream below that layer, or default where x is all of it.</param>
    /// <param name="offset">1 where gains are held as what they differ from 1 by, else 0.</param>
    /// <param name="y">[T, C].</param>
    /// <param name="rstd">Float32 [1, T], kept for the backward.</param>
    void RmsNorm(Tensor x, Tensor residual, Tensor gain, float offset, float epsilon, Tensor y, Tensor rstd);

    /// <summary>
    /// Adds the input gradient of <see cref="RmsNorm"/> to <paramref name="dX"/>, so that the residual's gradient passes through it.
    /// </summary>
    /// <param name="x">[T, C] as the forward left it: the sum.</param>
    /// <param name="gainProduct">[T, C], receives dY ∘ x̂, whose column sums are the gain's gradient; default where the
    /// gain is frozen. May alias dY.</param>
    void RmsNormBackward(Tensor dY, Tensor x, Tensor gain, float offset, Tensor rstd, Tensor dX, Tensor gainProduct);

    /// <summary>y = gain ∘ x̂ + bias with x̂ = (x − mean)·rstd (arXiv 1607.06450), of x + residual as in <see cref="RmsNorm"/>.</summary>
    /// <param name="statistics">Float32 [T, 2]: mean and rstd of each row, kept for the backward.</param>
    void LayerNorm(Tensor x, Tensor residual, Tensor gain, Tensor bias, float epsilon, Tensor y, Tensor statistics);

    /// <summary>Adds the input gradient of <see cref="LayerNorm"/> to <paramref name="dX"/>.</summary>
    /// <param name="gainProduct">As in <see cref="RmsNormBackward"/>, but may not alias dY: the bias'
    /// gradient is the column sum of dY.</param>
    void LayerNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor statistics, Tensor dX, Tensor gainProduct);

    /// <summary>
    /// y = silu(gate) ∘ up (arXiv 2002.05202), gate and up of one stride. y may alias gate or up where these are whole tensors.
    /// </summary>
    void SwiGlu(ColumnView gate, ColumnView up, Tensor y);

    /// <summary>Gradients of <see cref="SwiGlu"/>, with the stride of gate and up, which they may alias.</summary>
    void SwiGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp);

    /// <summary>y = gelu(gate) ∘ up by GELU's tanh approximation (arXiv 2002.05202), as <see cref="SwiGlu"/> otherwise.</summary>
    void GeGlu(ColumnView gate, ColumnView up, Tensor y);

    /// <summary>Gradients of <see cref="GeGlu"/>, as <see cref="SwiGluBackward"/> otherwise.</summary>
    void GeGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp);

    /// <summary>y = cap·tanh(x / cap) (arXiv 2408.00118, section 2). y may alias x.</summary>
    void SoftCap(Tensor x, Tensor y, float cap);

    /// <summary>dX = dY ∘ (1 − tanh²(x / cap)). dX may alias dY or x.</summary>
    void SoftCapBackward(Tensor x, Tensor dY, Tensor dX, float cap);

    /// <summary>y = GELU(x): x·Φ(x), or its tanh approximation (arXiv 1606.08415).</summary>
    void Gelu(Tensor x, Tensor y, bool tanh);

    /// <summary>dX = dY ∘ GELU′(x). dX may alias dY or x.</summary>
    void GeluBackward(Tensor x, Tensor dY, Tensor dX, bool tanh);

    /// <summary>y = α·x + y, both of one type.</summary>
    void Axpy(float alpha, Tensor x, Tensor y);

    /// <summary>x = α·x.</summary>
    void Scale(Tensor x, float alpha);

    /// <summary>y = a ∘ b, Float32. y may alias either.</summary>
    void Multiply(Tensor a, Tensor b, Tensor y);
}

/// <summary>What happens to logits.</summary>
internal interface ILossOperations
{
    /// <summary>
    /// Turns a chunk of logits into per-token losses and, if weights are given, into the gradient of the signed objective, in place.
    /// With p = softmax(logits row), e = one-hot target: weight w ≥ 0 gives w·(p − e); w &lt; 0 gives what <see cref="Ascent"/> says.
    /// </summary>
    /// <param name="logits">[R, V]; overwritten by the gradient where <paramref name="weights"/> is given, else left.</param>
    /// <param name="targets">Int32 [1, R].</param>
    /// <param name="weights">Float32 [1, R], or default: losses only.</param>
    /// <param name="baseLogProbability">Float32 [1, R]: log p0 of the target under the base model; needed where
    /// <see cref="Ascent.NeedsBase"/> only.</param>
    /// <param name="losses">Float32 [1, R]: cross-entropy in nats, always.</param>
    /// <param name="greedy">Int32 [1, R], or default: receives the arg-max of each row (the lowest index of equals).</param>
    void SignedLoss(Tensor logits, Tensor targets, Tensor weights, Tensor baseLogProbability, Ascent ascent, Tensor losses, Tensor greedy);

    /// <summary>
    /// Divergence from the base model, and its gradient in place: with p = softmax(logits row) and p0 that of the base, KL(p0‖p) =
    /// Σ p0·(log p0 − log p) over the whole vocabulary, whose gradient at the logits is p − p0.
    /// </summary>
    /// <param name="logits">[R, V]; overwritten by weight·(p − p0).</param>
    /// <param name="baseLogits">[R, V], storage type.</param>
    /// <param name="weights">Float32 [1, R].</param>
    /// <param name="divergences">Float32 [1, R]: nats, of every row.</param>
    void KlDivergence(Tensor logits, Tensor baseLogits, Tensor weights, Tensor divergences);

    /// <summary>
    /// Draws one token a row: arg-max at temperature 0, else from softmax(logits / temperature) cut to the top k (0: all) and then to the
    /// smallest set with ≥ top p of the remaining mass (1: all). The set is ordered by probability, ties by index, and the draw inverts its
    /// cumulative sum at <paramref name="uniforms"/>.
    /// </summary>
    /// <param name="uniforms">Float32 [1, R] in [0, 1).</param>
    /// <param name="ids">Int32 [1, R].</param>
    void Sample(Tensor logits, float temperature, int topK, float topP, Tensor uniforms, Tensor ids);
}

/// <summary>
/// What a layer's backward ends in. Given a parameter's pair, with G_s the gradient that sequence s alone contributes:
/// Accumulate adds Σ_s G_s, SquareAccumulate adds Σ_s G_s² (the diagonal Fisher's sum over examples), and Project adds, for
/// each s, Σ A∘G_s to result[s, 0] and Σ B∘G_s² to result[s, 1]. No G_s is ever stored. All of dY, X are [T, ·] with rows grouped
/// by <c>offsets</c>; gradients, A, B and results are Float32.
/// </summary>
internal interface ISinkOperations
{
    /// <summary>Matrix W [out, in] with y = x·Wᵀ: G_s = dY_sᵀ·X_s. Accumulate is <see cref="IDenseOperations.Gemm"/> with β 1.</summary>
    void SquareAccumulateMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor sum);

    /// <summary>See <see cref="ISinkOperations"/>. <paramref name="result"/> is [n, 2].</summary>
    void ProjectMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result);

    /// <summary>Vector added to (or, with dY ∘ x̂ in place of dY, multiplied into) every row: adds Σ_t dY_t to gradient [1, C].</summary>
    void AccumulateColumns(ColumnView dY, Tensor gradient);

    /// <summary>See <see cref="ISinkOperations"/>; G_s = Σ_{t in s} dY_t.</summary>
    void SquareAccumulateColumns(ColumnView dY, Tensor offsets, Tensor sum);

    /// <summary>See <see cref="ISinkOperations"/>; G_s = Σ_{t in s} dY_t.</summary>
    void ProjectColumns(ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result);

    /// <summary>
    /// Embedding: adds dY_t to row rows[t] of gradient [V, C], in the order of t. A gradient in BFloat16 is added up in Float32 and rounded
    /// once.
    /// </summary>
    /// <param name="gradient">Float32, or BFloat16 where there is a <paramref name="rounding"/>.</param>
    void AccumulateRows(Tensor rows, Tensor dY, Tensor gradient, Rounding rounding = default);

    /// <summary>
    /// Embedding: G_s[v] = Σ_{t in s, rows[t] = v} dY_t. Where the table is also the output head, <paramref name="head"/> holds the
    /// head's part of G_s for the same rows (<see cref="HeadRows"/>) and the addition is G_s² + 2·head∘G_s, completing (head + G_s)².
    /// </summary>
    /// <param name="head">[T, C] Float32, or default.</param>
    void SquareAccumulateRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor sum);

    /// <summary>See <see cref="SquareAccumulateRows"/>; the first result is linear and needs no head part.</summary>
    void ProjectRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor a, Tensor b, Tensor result);

    /// <summary>
    /// The rows of the head's gradient that belong to a sequence's own input tokens, for tied tables: for every t of sequence s that is the
    /// first with its rows[t], y[t] = Σ_{r in headOffsets of s} dLogits[r, rows[t]]·x[r]; other rows of y are 0.
    /// </summary>
    /// <param name="dLogits">[R, V] gradient at the logits of the rows that have some.</param>
    /// <param name="x">[R, C] the head's input for the same rows.</param>
    /// <param name="headOffsets">Int32 [1, n + 1]: R rows grouped by sequence.</param>
    /// <param name="rows">Int32 [1, T] input token ids.</param>
    /// <param name="offsets">Int32 [1, n + 1]: T rows grouped by sequence.</param>
    /// <param name="y">Float32 [T, C].</param>
    void HeadRows(Tensor dLogits, Tensor x, Tensor headOffsets, Tensor rows, Tensor offsets, Tensor y);
}

/// <summary>What an optimiser step needs. Scalars are read back by the caller once a step.</summary>
internal interface IOptimizerOperations
{
    /// <summary>
    /// y = x, or x + y, rounded stochastically, so that sums of what is small beside them are right on average (arXiv 1502.02551, section
    /// 3). What is no number, and infinity, stay as they are.
    /// </summary>
    /// <param name="x">Float32.</param>
    /// <param name="y">BFloat16.</param>
    void StochasticRound(Tensor x, Tensor y, bool add, Rounding rounding);

    /// <summary>Adds Σ x² to result[0, index] (Float32), summed in a fixed order.</summary>
    void SumOfSquares(Tensor x, Tensor result, int index);

    /// <summary>Adds Σ a∘b to result[0, index] (Float32), summed in a fixed order.</summary>
    void Dot(Tensor a, Tensor b, Tensor result, int index);

    /// <summary>
    /// AdamW (arXiv 1711.05101, algorithm 2): g = gradientScale·gradient; m, v the moving means; master −= lr·(m̂/(√v̂ + ε) +
    /// decay·master); <paramref name="value"/>, where it is not the master itself, receives the master in storage type; the gradient is
    /// left zero, for the next step's sums.
    /// </summary>
    /// <param name="numbers">Float32 [1, 4]: <see cref="AdamWSettings.Numbers"/> of this step, the same for all parameters.</param>
    void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, AdamWSettings settings, Tensor numbers);

    /// <summary>
    /// <see cref="AdamW"/> with moments in 8 bits (arXiv 2110.02861): they are dequantised, updated and used in Float32, and what is stored
    /// is each block's largest magnitude and of every element the code that is nearest.
    /// </summary>
    /// <param name="m">Of as many elements as the master, by the signed map.</param>
    /// <param name="v">By the unsigned map.</param>
    /// <param name="maps">Float32 [2, 256]: <see cref="DynamicMap.Signed"/> and <see cref="DynamicMap.Unsigned"/>.</param>
    void AdamW8Bit(
        Tensor master, Tensor value, Tensor gradient, BlockwiseTensor m, BlockwiseTensor v, Tensor maps, AdamWSettings settings,
        Tensor numbers);
}

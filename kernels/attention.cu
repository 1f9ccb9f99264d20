// Causal attention on tensor cores, bf16, heads of up to 128 columns (FlashAttention-2, arXiv 2307.08691). Nothing of size T × T is stored.
//
//   o_t = Σ_s p_ts v_s,  p_ts = exp(scale·q_t·k_s − L_t),  L_t = log Σ_s exp(scale·q_t·k_s), s ≤ t in t's own sequence (and t − s < window)
//
// The kernels named _capped have cap·tanh(x / cap) in place of every x = scale·q_t·k_s.
//
// q, o, dO, dQ [T, heads·D]; k, v, dK, dV [T, kvHeads·D]; logSumExp, delta [T, heads]; head h reads key-value head h / (heads / kvHeads).
// Rows of q and dQ are qStride elements apart, those of k, v, dK and dV kvStride: the three may be columns of one tensor.
// With starts and lengths the keys lie in a cache (attention.cuh) and logSumExp may be null.
//
// A block of 4 warps owns 64 query rows of one head, 16 a warp, and runs over tiles of 64 keys; K and V of the next tile arrive (cp.async,
// two buffers) while this one is computed. Scores stay in registers: an accumulator's layout is the A operand's of the next product. The
// heaviest tiles, the last of each sequence, are started first, in all heads. Q is needed only until it is in registers: it arrives in the
// second buffer of K.
//
// Launch: grid (heads, T / 64 + sequences), 128 threads, dynamic shared memory 4·64·(HD + 8)·2 bytes, HD = 32, 64 or 128 the first ≥ D.
#include "include/attention.cuh"
#include "include/fragment.cuh"
#include "include/reduce.cuh"

constexpr int kRows = 64;
constexpr int kThreads = 128;
constexpr float kLog2E = 1.4426950408889634f;

template <int HD, bool Capped>
__device__ void attention_forward(const bf16* q, const bf16* k, const bf16* v, const int* offsets, int sequences, const int* starts,
                                  const int* lengths, bf16* o, float* logSumExp, int heads, int kvHeads, int D, long long qStride,
                                  long long kvStride, float scale, int window, float cap) {
    constexpr int kStride = HD + kPad, kTile = kRows * kStride;
    DYNAMIC_SHARED(bf16, shared);
    bf16 *keys = shared, *queries = shared + kTile, *values = shared + 2 * kTile;

    Tile tile = tile_of_slot(offsets, sequences, gridDim.y - 1 - blockIdx.y, kRows);
    if (tile.empty()) {
        return;
    }
    Sequence sequence = sequence_of(tile, starts, lengths);
    int head = blockIdx.x, kvHead = head / (heads / kvHeads);
    long long stride = (long long)heads * D;
    bool wide = D % 8 == 0 && qStride % 8 == 0 && kvStride % 8 == 0 && aligned16(q, k, v, o);
    int rows = min(kRows, tile.end - tile.first);
    int position = sequence.shift + tile.first - sequence.queryBegin; // of the tile's first row
    int keyCount = position + rows;
    const bf16* headKeys = k + sequence.keyBegin * kvStride + kvHead * D;
    const bf16* headValues = v + sequence.keyBegin * kvStride + kvHead * D;
    auto load_keys = [&](int first, int stage) {
        load_tile<kRows, HD, kThreads>(keys + stage * kTile, headKeys + first * kvStride, kvStride, keyCount - first, D, wide);
        load_tile<kRows, HD, kThreads>(values + stage * kTile, headValues + first * kvStride, kvStride, keyCount - first, D, wide);
    };

    int firstTile = first_key(position, window) / kRows * kRows;
    load_tile<kRows, HD, kThreads>(queries, q + tile.first * qStride + head * D, qStride, rows, D, wide);
    load_keys(firstTile, 0);
    cp_async_commit();

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int low = position + warp * 16 + lane / 4; // positions of this thread's two rows: low and low + 8
    uint32_t query[HD / 16][4];
    cp_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int d = 0; d < HD / 16; d++) {
        load_a<kStride>(query[d], queries + warp * 16 * kStride + d * 16);
    }
    __syncthreads(); // the next tile of K arrives where Q was
    float output[HD / 8][4] = {};
    float maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {};
    float factor = (Capped ? 1.0f : scale) * kLog2E; // exponentials are taken to base 2; capped scores are scaled already

    for (int first = firstTile, stage = 0; first < keyCount; first += kRows, stage ^= 1) {
        if (first + kRows < keyCount) {
            load_keys(first + kRows, stage ^ 1);
        }
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();

        float score[kRows / 8][4] = {};
        const bf16* keyTile = keys + stage * kTile;
#pragma unroll
        for (int d = 0; d < HD / 16; d++) {
#pragma unroll
            for (int n = 0; n < kRows / 8; n += 2) {
                uint32_t b0[2], b1[2];
                load_b_transposed<kStride>(b0, b1, keyTile + n * 8 * kStride + d * 16);
                mma_m16n8k16(score[n], query[d], b0);
                mma_m16n8k16(score[n + 1], query[d], b1);
            }
        }

        cap_scores<Capped>(score, scale, cap);

        // Only tiles on the diagonal or at the window's edge have keys that some row may not see.
        if (first + kRows > position + 1 || (window > 0 && first < first_key(position + kRows - 1, window))) {
#pragma unroll
            for (int n = 0; n < kRows / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int key = first + n * 8 + lane % 4 * 2 + i % 2;
                    score[n][i] = sees(low + i / 2 * 8, key, window) ? score[n][i] : -INFINITY;
                }
            }
        }

#pragma unroll
        for (int r = 0; r < 2; r++) {
            float m = maximum[r];
#pragma unroll
            for (int n = 0; n < kRows / 8; n++) {
                m = fmaxf(m, fmaxf(score[n][2 * r], score[n][2 * r + 1]));
            }
            m = max_lanes<4>(m);
            // A row that has seen no key yet keeps −∞; 0 in its place avoids ∞ − ∞.
            float reference = m == -INFINITY ? 0.0f : m * factor;
            float shrink = exp2_approximate(maximum[r] * factor - reference);
            maximum[r] = m;
            float added = 0;
#pragma unroll
            for (int n = 0; n < kRows / 8; n++) {
                score[n][2 * r] = exp2_approximate(score[n][2 * r] * factor - reference);
                score[n][2 * r + 1] = exp2_approximate(score[n][2 * r + 1] * factor - reference);
                added += score[n][2 * r] + score[n][2 * r + 1];
            }
            sum[r] = sum[r] * shrink + added; // of this lane's columns; lanes are added at the end
#pragma unroll
            for (int d = 0; d < HD / 8; d++) {
                output[d][2 * r] *= shrink;
                output[d][2 * r + 1] *= shrink;
            }
        }

        multiply_accumulators<kRows, HD>(output, score, values + stage * kTile);
        __syncthreads(); // the next round loads into the buffer just read
    }

    float total[2] = {sum_lanes<4>(sum[0]), sum_lanes<4>(sum[1])};
    if (logSumExp != nullptr && lane % 4 == 0) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int row = warp * 16 + lane / 4 + r * 8;
            if (row < rows) {
                logSumExp[(long long)(tile.first + row) * heads + head] = maximum[r] * (Capped ? 1.0f : scale) + logf(total[r]);
            }
        }
    }
    store_rows<HD>(output, 1.0f / total[0], 1.0f / total[1], keys + warp * 16 * kStride, o + (tile.first + warp * 16) * stride + head * D,
                   stride, rows - warp * 16, D, wide);
}

#define ATTENTION_FORWARD(HD, name, capped) \
    KERNEL_BOUNDED(128, 1, name, const bf16* q, const bf16* k, const bf16* v, const int* offsets, int sequences, const int* starts, \
                   const int* lengths, bf16* o, float* logSumExp, int heads, int kvHeads, int D, long long qStride, long long kvStride, \
                   float scale, int window, float cap) { \
        attention_forward<HD, capped>(q, k, v, offsets, sequences, starts, lengths, o, logSumExp, heads, kvHeads, D, qStride, kvStride, \
                                      scale, window, cap); \
    }

ATTENTION_FORWARD(32, attention_32_bf16, false)
ATTENTION_FORWARD(64, attention_64_bf16, false)
ATTENTION_FORWARD(128, attention_128_bf16, false)
ATTENTION_FORWARD(32, attention_capped_32_bf16, true)
ATTENTION_FORWARD(64, attention_capped_64_bf16, true)
ATTENTION_FORWARD(128, attention_capped_128_bf16, true)

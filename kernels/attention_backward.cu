// Backward of attention.cu, in three kernels without atomics, so that the bits do not depend on the order of blocks:
//
//   delta_t = Σ_d dO_td·o_td                                    attention_delta
//   dS_ts = p_ts·(dO_t·v_s − delta_t), times 1 − (x_ts / cap)² where scores are capped to x_ts (kernels named _capped)
//   dQ_t = scale·Σ_s dS_ts k_s                                  attention_queries: a block owns 64 query rows of a head, runs over keys
//   dK_s = scale·Σ_t dS_ts q_t,  dV_s = Σ_t p_ts dO_t           attention_keys: a block owns 64 keys of a key-value head, runs over queries
//
// with p recomputed from logSumExp. The second and third both compute the scores: 7 products instead of 5, the price of determinism.
//
// Shared memory stays below what cards other than the largest have (99 KiB): Q and dO arrive in the second buffers of K and V, since they
// are needed only until they are in registers; where K and V must stay, for HD 128, the tiles of queries have 32 rows.
//
// Launch of attention_delta: ⌈T·heads / 8⌉ blocks of 256 (a warp each). Of attention_queries: grid (heads, T / 64 + sequences), 128
// threads, dynamic shared memory 4·64·(HD + 8)·2 bytes. Of attention_keys: grid (kvHeads, T / 64 + sequences), 128 threads, dynamic shared
// memory (2·64 + 4·N)·(HD + 8)·2 + 4·N·4 bytes with tiles of N = 64 queries, 32 for HD 128.
#include "include/attention.cuh"
#include "include/fragment.cuh"
#include "include/reduce.cuh"

constexpr int kRows = 64;
constexpr int kThreads = 128;
constexpr int kPart = 32; // of the inner tile, held in registers at a time
constexpr float kLog2E = 1.4426950408889634f;

template <int N, typename T> __device__ float dot_row(const T* a, const T* b, int D, int lane) {
    float sum = 0;
    for (int d = lane * N; d < D; d += 32 * N) {
        float p[N], q[N];
        load<N>(a + d, p);
        load<N>(b + d, q);
#pragma unroll
        for (int k = 0; k < N; k++) {
            sum += p[k] * q[k];
        }
    }
    return sum_lanes(sum);
}

// A row here is one head of one token: heads lie side by side, so row i starts at i·D.
template <typename T> __device__ void attention_delta(const T* o, const T* dO, float* delta, long long rows, int D) {
    long long row = (long long)blockIdx.x * 8 + threadIdx.x / 32;
    if (row >= rows) {
        return;
    }
    constexpr int W = kWide<T>;
    int lane = threadIdx.x % 32;
    float sum =
        D % W == 0 && aligned16(o, dO) ? dot_row<W>(o + row * D, dO + row * D, D, lane) : dot_row<1>(o + row * D, dO + row * D, D, lane);
    if (lane == 0) {
        delta[row] = sum;
    }
}

KERNEL(attention_delta_f32, const float* o, const float* dO, float* delta, long long rows, int D) {
    attention_delta(o, dO, delta, rows, D);
}
KERNEL(attention_delta_bf16, const bf16* o, const bf16* dO, float* delta, long long rows, int D) { attention_delta(o, dO, delta, rows, D); }

template <int HD, bool Capped>
__device__ void attention_queries(const bf16* q, const bf16* k, const bf16* v, const int* offsets, int sequences, const float* logSumExp,
                                  const bf16* dO, const float* delta, bf16* dQ, int heads, int kvHeads, int D, long long qStride,
                                  long long kvStride, float scale, int window, float cap) {
    constexpr int kStride = HD + kPad, kTile = kRows * kStride;
    DYNAMIC_SHARED(bf16, shared);
    bf16 *keys = shared, *queries = shared + kTile, *values = shared + 2 * kTile, *gradients = shared + 3 * kTile;

    Tile tile = tile_of_slot(offsets, sequences, gridDim.y - 1 - blockIdx.y, kRows);
    if (tile.empty()) {
        return;
    }
    int head = blockIdx.x, kvHead = head / (heads / kvHeads);
    long long stride = (long long)heads * D;
    bool wide = D % 8 == 0 && qStride % 8 == 0 && kvStride % 8 == 0 && aligned16(q, k, v, dO, dQ);
    int rows = min(kRows, tile.end - tile.first), position = tile.first - tile.begin, keyCount = position + rows;
    auto load_keys = [&](int first, int stage) {
        long long at = (tile.begin + first) * kvStride + kvHead * D;
        load_tile<kRows, HD, kThreads>(keys + stage * kTile, k + at, kvStride, keyCount - first, D, wide);
        load_tile<kRows, HD, kThreads>(values + stage * kTile, v + at, kvStride, keyCount - first, D, wide);
    };

    int firstTile = first_key(position, window) / kRows * kRows;
    load_tile<kRows, HD, kThreads>(queries, q + tile.first * qStride + head * D, qStride, rows, D, wide);
    load_tile<kRows, HD, kThreads>(gradients, dO + tile.first * stride + head * D, stride, rows, D, wide);
    load_keys(firstTile, 0);
    cp_async_commit();

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int low = position + warp * 16 + lane / 4;
    float normaliser[2], shift[2]; // log₂ Σ exp, and delta, of this thread's two rows; a row past the end gets p = 0
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int row = warp * 16 + lane / 4 + r * 8;
        long long at = (long long)(tile.first + row) * heads + head;
        normaliser[r] = row < rows ? logSumExp[at] * kLog2E : INFINITY;
        shift[r] = row < rows ? delta[at] : 0.0f;
    }
    float factor = (Capped ? 1.0f : scale) * kLog2E; // capped scores are scaled already
    uint32_t query[HD / 16][4], gradient[HD / 16][4];
    cp_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int d = 0; d < HD / 16; d++) {
        load_a<kStride>(query[d], queries + warp * 16 * kStride + d * 16);
        load_a<kStride>(gradient[d], gradients + warp * 16 * kStride + d * 16);
    }
    __syncthreads(); // the next tiles of K and V arrive where Q and dO were
    float result[HD / 8][4] = {};

    for (int first = firstTile, stage = 0; first < keyCount; first += kRows, stage ^= 1) {
        if (first + kRows < keyCount) {
            load_keys(first + kRows, stage ^ 1);
        }
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
#pragma unroll 1
        for (int part = 0; part < kRows; part += kPart) {
            const bf16* keyTile = keys + stage * kTile + part * kStride;
            const bf16* valueTile = values + stage * kTile + part * kStride;
            float score[kPart / 8][4] = {}, dP[kPart / 8][4] = {};
#pragma unroll
            for (int d = 0; d < HD / 16; d++) {
#pragma unroll
                for (int n = 0; n < kPart / 8; n += 2) {
                    uint32_t b0[2], b1[2];
                    load_b_transposed<kStride>(b0, b1, keyTile + n * 8 * kStride + d * 16);
                    mma_m16n8k16(score[n], query[d], b0);
                    mma_m16n8k16(score[n + 1], query[d], b1);
                    load_b_transposed<kStride>(b0, b1, valueTile + n * 8 * kStride + d * 16);
                    mma_m16n8k16(dP[n], gradient[d], b0);
                    mma_m16n8k16(dP[n + 1], gradient[d], b1);
                }
            }
            cap_scores<Capped>(score, scale, cap);
            // Only parts on the diagonal or at the window's edge have keys that some row may not see.
            int firstKey = first + part;
            if (firstKey + kPart > position + 1 || (window > 0 && firstKey < first_key(position + kRows - 1, window))) {
#pragma unroll
                for (int n = 0; n < kPart / 8; n++) {
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        bool seen = sees(low + i / 2 * 8, firstKey + n * 8 + lane % 4 * 2 + i % 2, window);
                        score[n][i] = seen ? score[n][i] : -INFINITY;
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < kPart / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    float p = exp2_approximate(score[n][i] * factor - normaliser[i / 2]);
                    float slope = score_slope<Capped>(score[n][i], cap);
                    score[n][i] = p * (dP[n][i] - shift[i / 2]) * slope;
                }
            }
            multiply_accumulators<kPart, HD>(result, score, keyTile);
        }
        __syncthreads();
    }
    store_rows<HD>(result, scale, scale, keys + warp * 16 * kStride, dQ + (tile.first + warp * 16) * qStride + head * D, qStride,
                   rows - warp * 16, D, wide);
}

// Everything is transposed here: rows of the accumulators are keys, columns queries.
template <int HD, bool Capped>
__device__ void attention_keys(const bf16* q, const bf16* k, const bf16* v, const int* offsets, int sequences, const float* logSumExp,
                               const bf16* dO, const float* delta, bf16* dK, bf16* dV, int heads, int kvHeads, int D, long long qStride,
                               long long kvStride, float scale, int window, float cap) {
    constexpr int kStride = HD + kPad, kTile = kRows * kStride;
    constexpr int kQueries = HD > 64 ? 32 : 64, kQueryTile = kQueries * kStride;
    constexpr int kHeld = Capped && HD > 64 ? kPart / 2 : kPart; // caps take registers
    DYNAMIC_SHARED(bf16, shared);
    bf16 *keys = shared, *values = shared + kTile, *queries = shared + 2 * kTile, *gradients = queries + 2 * kQueryTile;
    float* normalisers = reinterpret_cast<float*>(gradients + 2 * kQueryTile); // [2][kQueries]
    float* shifts = normalisers + 2 * kQueries;

    Tile tile = tile_of_slot(offsets, sequences, blockIdx.y, kRows);
    if (tile.empty()) {
        return;
    }
    int kvHead = blockIdx.x, group = heads / kvHeads;
    long long stride = (long long)heads * D;
    bool wide = D % 8 == 0 && qStride % 8 == 0 && kvStride % 8 == 0 && aligned16(q, k, v, dO) && aligned16(dK, dV);
    int rows = min(kRows, tile.end - tile.first), position = tile.first - tile.begin, length = tile.end - tile.begin;
    // Queries that see any of these keys: from the first key's own position to the last key's plus the window.
    int firstQuery = position, endQuery = window > 0 ? min(length, position + rows - 1 + window) : length;
    int tilesPerHead = (endQuery - firstQuery + kQueries - 1) / kQueries, rounds = tilesPerHead * group;
    auto load_queries = [&](int round, int stage) {
        int head = kvHead * group + round / tilesPerHead, first = firstQuery + round % tilesPerHead * kQueries;
        long long row = tile.begin + first;
        load_tile<kQueries, HD, kThreads>(queries + stage * kQueryTile, q + row * qStride + head * D, qStride, length - first, D, wide);
        load_tile<kQueries, HD, kThreads>(gradients + stage * kQueryTile, dO + row * stride + head * D, stride, length - first, D, wide);
        if (threadIdx.x < kQueries) {
            int i = threadIdx.x;
            bool valid = first + i < length; // a query past the end gets p = 0
            normalisers[stage * kQueries + i] = valid ? logSumExp[(row + i) * heads + head] * kLog2E : INFINITY;
            shifts[stage * kQueries + i] = valid ? delta[(row + i) * heads + head] : 0.0f;
        }
    };

    load_tile<kRows, HD, kThreads>(keys, k + tile.first * kvStride + kvHead * D, kvStride, rows, D, wide);
    load_tile<kRows, HD, kThreads>(values, v + tile.first * kvStride + kvHead * D, kvStride, rows, D, wide);
    load_queries(0, 0);
    cp_async_commit();

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int low = position + warp * 16 + lane / 4; // this thread's keys: low and low + 8
    const bf16* warpKeys = keys + warp * 16 * kStride;
    const bf16* warpValues = values + warp * 16 * kStride;
    float factor = (Capped ? 1.0f : scale) * kLog2E; // capped scores are scaled already
    float resultK[HD / 8][4] = {}, resultV[HD / 8][4] = {};

    for (int round = 0, stage = 0; round < rounds; round++, stage ^= 1) {
        if (round + 1 < rounds) {
            load_queries(round + 1, stage ^ 1);
        }
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        int first = firstQuery + round % tilesPerHead * kQueries;

#pragma unroll 1
        for (int part = 0; part < kQueries; part += kHeld) {
            const bf16* queryTile = queries + stage * kQueryTile + part * kStride;
            const bf16* gradientTile = gradients + stage * kQueryTile + part * kStride;
            float score[kHeld / 8][4] = {}, dP[kHeld / 8][4] = {};
#pragma unroll
            for (int d = 0; d < HD / 16; d++) {
                uint32_t a[4], c[4];
                load_a<kStride>(a, warpKeys + d * 16);
                load_a<kStride>(c, warpValues + d * 16);
#pragma unroll
                for (int n = 0; n < kHeld / 8; n += 2) {
                    uint32_t b0[2], b1[2];
                    load_b_transposed<kStride>(b0, b1, queryTile + n * 8 * kStride + d * 16);
                    mma_m16n8k16(score[n], a, b0);
                    mma_m16n8k16(score[n + 1], a, b1);
                    load_b_transposed<kStride>(b0, b1, gradientTile + n * 8 * kStride + d * 16);
                    mma_m16n8k16(dP[n], c, b0);
                    mma_m16n8k16(dP[n + 1], c, b1);
                }
            }
            cap_scores<Capped>(score, scale, cap);
            int firstSeer = first + part;
            if (firstSeer < position + kRows - 1 || (window > 0 && firstSeer + kHeld - 1 - position >= window)) {
#pragma unroll
                for (int n = 0; n < kHeld / 8; n++) {
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        bool seen = sees(firstSeer + n * 8 + lane % 4 * 2 + i % 2, low + i / 2 * 8, window);
                        score[n][i] = seen ? score[n][i] : -INFINITY;
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < kHeld / 8; n++) {
                int column = stage * kQueries + part + n * 8 + lane % 4 * 2;
                float normaliser[2], shift[2];
                load<2>(normalisers + column, normaliser);
                load<2>(shifts + column, shift);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    float p = exp2_approximate(score[n][i] * factor - normaliser[i % 2]);
                    dP[n][i] = p * (dP[n][i] - shift[i % 2]) * score_slope<Capped>(score[n][i], cap);
                    score[n][i] = p;
                }
            }
            multiply_accumulators<kHeld, HD>(resultV, score, gradientTile);
            multiply_accumulators<kHeld, HD>(resultK, dP, queryTile);
        }
        __syncthreads();
    }
    long long at = (tile.first + warp * 16) * kvStride + kvHead * D;
    store_rows<HD>(resultK, scale, scale, keys + warp * 16 * kStride, dK + at, kvStride, rows - warp * 16, D, wide);
    store_rows<HD>(resultV, 1.0f, 1.0f, values + warp * 16 * kStride, dV + at, kvStride, rows - warp * 16, D, wide);
}

// KEY_BLOCKS: of attention_keys on a multiprocessor, which bounds its registers.
#define ATTENTION_BACKWARD(HD, KEY_BLOCKS, name, capped) \
    KERNEL_BOUNDED(128, 1, attention_queries_##name, const bf16* q, const bf16* k, const bf16* v, const int* offsets, int sequences, \
                   const float* logSumExp, const bf16* dO, const float* delta, bf16* dQ, int heads, int kvHeads, int D, \
                   long long qStride, long long kvStride, float scale, int window, float cap) { \
        attention_queries<HD, capped>(q, k, v, offsets, sequences, logSumExp, dO, delta, dQ, heads, kvHeads, D, qStride, kvStride, scale, \
                                      window, cap); \
    } \
    KERNEL_BOUNDED(128, KEY_BLOCKS, attention_keys_##name, const bf16* q, const bf16* k, const bf16* v, const int* offsets, \
                   int sequences, const float* logSumExp, const bf16* dO, const float* delta, bf16* dK, bf16* dV, int heads, int kvHeads, \
                   int D, long long qStride, long long kvStride, float scale, int window, float cap) { \
        attention_keys<HD, capped>(q, k, v, offsets, sequences, logSumExp, dO, delta, dK, dV, heads, kvHeads, D, qStride, kvStride, \
                                   scale, window, cap); \
    }

ATTENTION_BACKWARD(32, 4, 32_bf16, false)
ATTENTION_BACKWARD(64, 3, 64_bf16, false)
ATTENTION_BACKWARD(128, 2, 128_bf16, false)
ATTENTION_BACKWARD(32, 3, capped_32_bf16, true)
ATTENTION_BACKWARD(64, 2, capped_64_bf16, true)
ATTENTION_BACKWARD(128, 1, capped_128_bf16, true)

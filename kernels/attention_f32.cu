// Attention, forward and backward, by fused multiply-adds: Float32, and bf16 heads of more than 128 columns. Formulas and shapes as in
// attention.cu and attention_backward.cu; same division of work, smaller tiles.
//
// A block owns R rows (queries, or keys in the last kernel), 8 lanes a row, and runs over tiles of R of the others. For the scores a lane
// takes every 8th row of the other tile; for the results it takes every 8th group of 4 columns. Tiles have 4 columns more than HD, so that
// lanes reading different rows hit different banks.
//
// Launch: grid (heads, T / R + sequences), or kvHeads for attention_keys; 8·R threads; R = 32 for HD 64 and 128, 16 for HD 256 (the first
// HD ≥ D); dynamic shared memory in floats: 3·R·(HD + 4) + R·(R + 1) forward, 4·R·(HD + 4) + R·(R + 1) queries, 4·R·(HD + 4) + 2·R·(R + 1)
// + 2·R keys.
#include "include/attention.cuh"
#include "include/pack.cuh"
#include "include/reduce.cuh"

constexpr int kLanes = 8;

// R rows of `columns` columns to a Float32 tile; rows past `rows` and columns up to the next multiple of 4 become 0.
template <int R, int HD, typename T>
__device__ void load_floats(float* tile, const T* source, long long stride, int rows, int columns, bool wide) {
    int packs = (columns + 3) / 4;
    for (int i = threadIdx.x; i < R * packs; i += R * kLanes) {
        int row = i / packs, c = i % packs * 4;
        float x[4] = {};
        if (row < rows) {
            if (wide) {
                load<4>(source + row * stride + c, x);
            } else {
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    x[k] = c + k < columns ? to_float(source[row * stride + c + k]) : 0.0f;
                }
            }
        }
        store<4>(tile + row * (HD + 4) + c, x);
    }
}

// scores[j] = a · row (lane + 8j) of the tile
template <int R, int HD> __device__ inline void dot_tile(const float* a, const float* tile, int lane, int D, float (&scores)[R / kLanes]) {
#pragma unroll
    for (int j = 0; j < R / kLanes; j++) {
        scores[j] = 0;
    }
    for (int d = 0; d < D; d += 4) {
        float x[4];
        load<4>(a + d, x);
#pragma unroll
        for (int j = 0; j < R / kLanes; j++) {
            float y[4];
            load<4>(tile + (lane + kLanes * j) * (HD + 4) + d, y);
            scores[j] += x[0] * y[0] + x[1] * y[1] + x[2] * y[2] + x[3] * y[3];
        }
    }
}

// sum[c] += Σ_j weights[j]·tile[j][c] over this lane's columns: groups of 4, 8 groups apart
template <int R, int HD> __device__ inline void add_weighted(float (&sum)[HD / kLanes], const float* weights, const float* tile, int lane) {
    for (int j = 0; j < R; j++) {
        float w = weights[j];
#pragma unroll
        for (int i = 0; i < HD / kLanes; i += 4) {
            float x[4];
            load<4>(tile + j * (HD + 4) + i * kLanes + lane * 4, x);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                sum[i + k] += w * x[k];
            }
        }
    }
}

template <int HD, typename T> __device__ inline void store_columns(T* row, const float (&x)[HD / kLanes], float factor, int lane, int D) {
#pragma unroll
    for (int i = 0; i < HD / kLanes; i++) {
        int d = i / 4 * 4 * kLanes + lane * 4 + i % 4;
        if (d < D) {
            row[d] = from_float<T>(x[i] * factor);
        }
    }
}

// Columns from the last multiple of 4 to HD are never loaded but are read by add_weighted.
template <int R, int HD> __device__ inline void clear_tiles(float* tiles, int count) {
    for (int i = threadIdx.x; i < count * R * (HD + 4); i += R * kLanes) {
        tiles[i] = 0;
    }
    __syncthreads();
}

template <int R, int HD, bool Capped, typename T>
__device__ void attention_rows(const T* q, const T* k, const T* v, const int* offsets, int sequences, const int* starts,
                               const int* lengths, T* o, float* logSumExp, int heads, int kvHeads, int D, long long qStride,
                               long long kvStride, float scale, int window, float cap) {
    DYNAMIC_SHARED(float, shared);
    float *queries = shared, *keys = queries + R * (HD + 4), *values = keys + R * (HD + 4), *weights = values + R * (HD + 4);
    Tile tile = tile_of_slot(offsets, sequences, gridDim.y - 1 - blockIdx.y, R);
    if (tile.empty()) {
        return;
    }
    Sequence sequence = sequence_of(tile, starts, lengths);
    int head = blockIdx.x, kvHead = head / (heads / kvHeads), row = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    long long stride = (long long)heads * D;
    bool wide = D % 4 == 0 && qStride % 4 == 0 && kvStride % 4 == 0 && aligned16(q, k, v);
    int rows = min(R, tile.end - tile.first), position = sequence.shift + tile.first - sequence.queryBegin, keyCount = position + rows;
    const T* headKeys = k + sequence.keyBegin * kvStride + kvHead * D;
    const T* headValues = v + sequence.keyBegin * kvStride + kvHead * D;
    clear_tiles<R, HD>(shared, 3);
    load_floats<R, HD>(queries, q + tile.first * qStride + head * D, qStride, rows, D, wide);
    float output[HD / kLanes] = {}, maximum = -INFINITY, sum = 0;
    float* rowWeights = weights + row * (R + 1);
    for (int first = first_key(position, window) / R * R; first < keyCount; first += R) {
        __syncthreads();
        load_floats<R, HD>(keys, headKeys + first * kvStride, kvStride, keyCount - first, D, wide);
        load_floats<R, HD>(values, headValues + first * kvStride, kvStride, keyCount - first, D, wide);
        __syncthreads();
        float score[R / kLanes], m = maximum;
        dot_tile<R, HD>(queries + row * (HD + 4), keys, lane, D, score);
#pragma unroll
        for (int j = 0; j < R / kLanes; j++) {
            score[j] = score_of<Capped>(score[j], scale, cap);
            score[j] = sees(position + row, first + lane + kLanes * j, window) ? score[j] : -INFINITY;
            m = fmaxf(m, score[j]);
        }
        m = max_lanes<kLanes>(m);
        float reference = m == -INFINITY ? 0.0f : m, shrink = expf(maximum - reference), added = 0;
        maximum = m;
#pragma unroll
        for (int j = 0; j < R / kLanes; j++) {
            float p = expf(score[j] - reference);
            rowWeights[lane + kLanes * j] = p;
            added += p;
        }
        sum = sum * shrink + sum_lanes<kLanes>(added);
        __syncwarp(); // a row's weights are written and read by its own 8 lanes
#pragma unroll
        for (int i = 0; i < HD / kLanes; i++) {
            output[i] *= shrink;
        }
        add_weighted<R, HD>(output, rowWeights, values, lane);
    }
    if (row < rows) {
        long long t = tile.first + row;
        if (lane == 0 && logSumExp != nullptr) {
            logSumExp[t * heads + head] = maximum + logf(sum);
        }
        store_columns<HD>(o + t * stride + head * D, output, 1.0f / sum, lane, D);
    }
}

template <int R, int HD, bool Capped, typename T>
__device__ void attention_query_rows(const T* q, const T* k, const T* v, const int* offsets, int sequences, const float* logSumExp,
                                     const T* dO, const float* delta, T* dQ, int heads, int kvHeads, int D, long long qStride,
                                     long long kvStride, float scale, int window, float cap) {
    DYNAMIC_SHARED(float, shared);
    float *queries = shared, *gradients = queries + R * (HD + 4), *keys = gradients + R * (HD + 4), *values = keys + R * (HD + 4),
          *weights = values + R * (HD + 4);
    Tile tile = tile_of_slot(offsets, sequences, gridDim.y - 1 - blockIdx.y, R);
    if (tile.empty()) {
        return;
    }
    int head = blockIdx.x, kvHead = head / (heads / kvHeads), row = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    long long stride = (long long)heads * D;
    bool wide = D % 4 == 0 && qStride % 4 == 0 && kvStride % 4 == 0 && aligned16(q, k, v, dO);
    int rows = min(R, tile.end - tile.first), position = tile.first - tile.begin, keyCount = position + rows;
    clear_tiles<R, HD>(shared, 4);
    load_floats<R, HD>(queries, q + tile.first * qStride + head * D, qStride, rows, D, wide);
    load_floats<R, HD>(gradients, dO + tile.first * stride + head * D, stride, rows, D, wide);
    long long t = tile.first + row;
    float normaliser = row < rows ? logSumExp[t * heads + head] : INFINITY, shift = row < rows ? delta[t * heads + head] : 0.0f;
    float result[HD / kLanes] = {};
    float* rowWeights = weights + row * (R + 1);
    for (int first = first_key(position, window) / R * R; first < keyCount; first += R) {
        long long at = (tile.begin + first) * kvStride + kvHead * D;
        __syncthreads();
        load_floats<R, HD>(keys, k + at, kvStride, keyCount - first, D, wide);
        load_floats<R, HD>(values, v + at, kvStride, keyCount - first, D, wide);
        __syncthreads();
        float score[R / kLanes], dP[R / kLanes];
        dot_tile<R, HD>(queries + row * (HD + 4), keys, lane, D, score);
        dot_tile<R, HD>(gradients + row * (HD + 4), values, lane, D, dP);
#pragma unroll
        for (int j = 0; j < R / kLanes; j++) {
            float x = score_of<Capped>(score[j], scale, cap);
            float p = sees(position + row, first + lane + kLanes * j, window) ? expf(x - normaliser) : 0.0f;
            rowWeights[lane + kLanes * j] = p * (dP[j] - shift) * score_slope<Capped>(x, cap);
        }
        __syncwarp();
        add_weighted<R, HD>(result, rowWeights, keys, lane);
    }
    if (row < rows) {
        store_columns<HD>(dQ + t * qStride + head * D, result, scale, lane, D);
    }
}

template <int R, int HD, bool Capped, typename T>
__device__ void attention_key_rows(const T* q, const T* k, const T* v, const int* offsets, int sequences, const float* logSumExp,
                                   const T* dO, const float* delta, T* dK, T* dV, int heads, int kvHeads, int D, long long qStride,
                                   long long kvStride, float scale, int window, float cap) {
    DYNAMIC_SHARED(float, shared);
    float *keys = shared, *values = keys + R * (HD + 4), *queries = values + R * (HD + 4), *gradients = queries + R * (HD + 4),
          *weights = gradients + R * (HD + 4), *differences = weights + R * (R + 1), *normalisers = differences + R * (R + 1),
          *shifts = normalisers + R;
    Tile tile = tile_of_slot(offsets, sequences, blockIdx.y, R);
    if (tile.empty()) {
        return;
    }
    int kvHead = blockIdx.x, group = heads / kvHeads, row = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    long long stride = (long long)heads * D;
    bool wide = D % 4 == 0 && qStride % 4 == 0 && kvStride % 4 == 0 && aligned16(q, k, v, dO);
    int rows = min(R, tile.end - tile.first), position = tile.first - tile.begin, length = tile.end - tile.begin;
    clear_tiles<R, HD>(shared, 4);
    load_floats<R, HD>(keys, k + tile.first * kvStride + kvHead * D, kvStride, rows, D, wide);
    load_floats<R, HD>(values, v + tile.first * kvStride + kvHead * D, kvStride, rows, D, wide);
    float resultK[HD / kLanes] = {}, resultV[HD / kLanes] = {};
    float *p = weights + row * (R + 1), *dS = differences + row * (R + 1);
    int endQuery = window > 0 ? min(length, position + rows - 1 + window) : length;
    for (int head = kvHead * group; head < (kvHead + 1) * group; head++) {
        for (int first = position; first < endQuery; first += R) {
            long long t = tile.begin + first;
            __syncthreads();
            load_floats<R, HD>(queries, q + t * qStride + head * D, qStride, length - first, D, wide);
            load_floats<R, HD>(gradients, dO + t * stride + head * D, stride, length - first, D, wide);
            if (threadIdx.x < R) {
                bool valid = first + (int)threadIdx.x < length;
                normalisers[threadIdx.x] = valid ? logSumExp[(t + threadIdx.x) * heads + head] : INFINITY;
                shifts[threadIdx.x] = valid ? delta[(t + threadIdx.x) * heads + head] : 0.0f;
            }
            __syncthreads();
            float score[R / kLanes], dP[R / kLanes];
            dot_tile<R, HD>(keys + row * (HD + 4), queries, lane, D, score);
            dot_tile<R, HD>(values + row * (HD + 4), gradients, lane, D, dP);
#pragma unroll
            for (int j = 0; j < R / kLanes; j++) {
                int column = lane + kLanes * j;
                float x = score_of<Capped>(score[j], scale, cap);
                float weight = sees(first + column, position + row, window) ? expf(x - normalisers[column]) : 0.0f;
                p[column] = weight;
                dS[column] = weight * (dP[j] - shifts[column]) * score_slope<Capped>(x, cap);
            }
            __syncwarp();
            add_weighted<R, HD>(resultV, p, gradients, lane);
            add_weighted<R, HD>(resultK, dS, queries, lane);
        }
    }
    if (row < rows) {
        long long at = (long long)(tile.first + row) * kvStride + kvHead * D;
        store_columns<HD>(dK + at, resultK, scale, lane, D);
        store_columns<HD>(dV + at, resultV, 1.0f, lane, D);
    }
}

#define ATTENTION_ROWS(R, HD, T, name, capped) \
    KERNEL_BOUNDED(R * 8, 1, attention_##name, const T* q, const T* k, const T* v, const int* offsets, int sequences, const int* starts, \
                   const int* lengths, T* o, float* logSumExp, int heads, int kvHeads, int D, long long qStride, long long kvStride, \
                   float scale, int window, float cap) { \
        attention_rows<R, HD, capped>(q, k, v, offsets, sequences, starts, lengths, o, logSumExp, heads, kvHeads, D, qStride, kvStride, \
                                      scale, window, cap); \
    } \
    KERNEL_BOUNDED(R * 8, 1, attention_queries_##name, const T* q, const T* k, const T* v, const int* offsets, int sequences, \
                   const float* logSumExp, const T* dO, const float* delta, T* dQ, int heads, int kvHeads, int D, long long qStride, \
                   long long kvStride, float scale, int window, float cap) { \
        attention_query_rows<R, HD, capped>(q, k, v, offsets, sequences, logSumExp, dO, delta, dQ, heads, kvHeads, D, qStride, kvStride, \
                                            scale, window, cap); \
    } \
    KERNEL_BOUNDED(R * 8, 1, attention_keys_##name, const T* q, const T* k, const T* v, const int* offsets, int sequences, \
                   const float* logSumExp, const T* dO, const float* delta, T* dK, T* dV, int heads, int kvHeads, int D, \
                   long long qStride, long long kvStride, float scale, int window, float cap) { \
        attention_key_rows<R, HD, capped>(q, k, v, offsets, sequences, logSumExp, dO, delta, dK, dV, heads, kvHeads, D, qStride, \
                                          kvStride, scale, window, cap); \
    }

ATTENTION_ROWS(32, 64, float, 64_f32, false)
ATTENTION_ROWS(32, 128, float, 128_f32, false)
ATTENTION_ROWS(16, 256, float, 256_f32, false)
ATTENTION_ROWS(16, 256, bf16, 256_bf16, false)
ATTENTION_ROWS(32, 64, float, capped_64_f32, true)
ATTENTION_ROWS(32, 128, float, capped_128_f32, true)
ATTENTION_ROWS(16, 256, float, capped_256_f32, true)
ATTENTION_ROWS(16, 256, bf16, capped_256_bf16, true)

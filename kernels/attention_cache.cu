// Decoding: attention of one new token per sequence against a key-value cache that already holds it.
//
//   o[s] = Σ_j softmax_j(scale·q_s·k_j) v_j over cache rows starts[s] + j, j < lengths[s] (with a window: the last `window` of them)
//
// q, rows qStride apart, and o [n, heads·D], keys and values [R, kvHeads·D]; head h reads key-value head h / group, group = heads /
// kvHeads.
//
// The cache is read once, so this is bound by memory, and one sequence alone must fill the card: the keys of a sequence are divided among
// kSplits blocks, which leave a maximum, a sum and an unnormalised output each, and a second kernel joins them. A split depends on the
// sequence's own length alone. Within a block each group of 8 lanes takes every 16th key; the query heads of the key-value head share its
// load.
//
//   cache_attention_partials   statistics [n, heads, kSplits, 2] = (maximum, sum), outputs [n, heads, kSplits, D]
//   cache_attention_join       o
//
// Launch of the first: grid (n, kvHeads·⌈group / 4⌉, kSplits), 128 threads; D ≤ 256. Of the second: grid (n, heads), 128 threads.
#include "include/attention.cuh"
#include "include/pack.cuh"
#include "include/reduce.cuh"

constexpr int kSplits = 16;
constexpr int kGroup = 4;     // query heads that a block serves at once
constexpr int kKeyLanes = 8;  // lanes that share a key
constexpr int kKeyGroups = 16; // keys in flight: 128 threads / kKeyLanes

// Columns of a head of at most 8·E columns belong to lanes in packs of N: lane l has packs l, l + 8, …
template <int E, int N, typename T> __device__ void load_head(const T* row, int lane, int D, float (&x)[E]) {
#pragma unroll
    for (int e = 0; e < E; e += N) {
        int d = (e / N * kKeyLanes + lane) * N;
        float part[N] = {};
        if (d < D) {
            load<N>(row + d, part);
        }
#pragma unroll
        for (int k = 0; k < N; k++) {
            x[e + k] = part[k];
        }
    }
}

template <int E, int N, bool Capped, typename T>
__device__ void cache_partials(const T* q, const T* keys, const T* values, int begin, int end, int kvHeads, int D, int kvHead,
                               int firstHead, int count, float scale, float cap, float* statistics, float* outputs, float* scratch) {
    int lane = threadIdx.x % kKeyLanes, group = threadIdx.x / kKeyLanes;
    float query[kGroup][E], output[kGroup][E] = {}, maximum[kGroup], sum[kGroup] = {};
#pragma unroll
    for (int h = 0; h < kGroup; h++) {
        maximum[h] = -INFINITY;
        load_head<E, N>(q + (long long)(firstHead + min(h, count - 1)) * D, lane, D, query[h]);
    }
    // All lanes of a warp make the same number of rounds, since they shuffle together.
    for (int first = begin; first < end; first += kKeyGroups) {
        int j = first + group;
        bool valid = j < end;
        float key[E] = {}, value[E] = {};
        if (valid) {
            long long row = ((long long)j * kvHeads + kvHead) * D;
            load_head<E, N>(keys + row, lane, D, key);
            load_head<E, N>(values + row, lane, D, value);
        }
#pragma unroll
        for (int h = 0; h < kGroup; h++) {
            float score = 0;
#pragma unroll
            for (int e = 0; e < E; e++) {
                score += query[h][e] * key[e];
            }
            score = score_of<Capped>(sum_lanes<kKeyLanes>(score), scale, cap);
            if (valid) {
                float m = fmaxf(maximum[h], score), shrink = expf(maximum[h] - m), p = expf(score - m);
                maximum[h] = m;
                sum[h] = sum[h] * shrink + p;
#pragma unroll
                for (int e = 0; e < E; e++) {
                    output[h][e] = output[h][e] * shrink + p * value[e];
                }
            }
        }
    }
    // Join the key groups, a head at a time: the 16 groups' outputs, then columns are added in the order of groups.
    float* maxima = scratch;
    float* sums = scratch + kKeyGroups;
    float* joined = scratch + 2 * kKeyGroups; // [kKeyGroups][D]
    for (int h = 0; h < count; h++) {
        __syncthreads();
        if (lane == 0) {
#pragma unroll
            for (int i = 0; i < kGroup; i++) {
                if (i == h) {
                    maxima[group] = maximum[i];
                    sums[group] = sum[i];
                }
            }
        }
#pragma unroll
        for (int i = 0; i < kGroup; i++) {
            if (i == h) {
#pragma unroll
                for (int e = 0; e < E; e++) {
                    int d = (e / N * kKeyLanes + lane) * N + e % N;
                    if (d < D) {
                        joined[group * D + d] = output[i][e];
                    }
                }
            }
        }
        __syncthreads();
        float m = -INFINITY, total = 0;
        for (int g = 0; g < kKeyGroups; g++) {
            m = fmaxf(m, maxima[g]);
        }
        float weight[kKeyGroups];
#pragma unroll
        for (int g = 0; g < kKeyGroups; g++) {
            weight[g] = maxima[g] == -INFINITY ? 0.0f : expf(maxima[g] - m);
            total += weight[g] * sums[g];
        }
        long long place = (long long)h * kSplits;
        if (threadIdx.x == 0) {
            statistics[place * 2] = m;
            statistics[place * 2 + 1] = total;
        }
        for (int d = threadIdx.x; d < D; d += blockDim.x) {
            float x = 0;
#pragma unroll
            for (int g = 0; g < kKeyGroups; g++) {
                x += weight[g] * joined[g * D + d];
            }
            outputs[place * D + d] = x;
        }
    }
}

template <int E, bool Capped, typename T>
__device__ void cache_attention_partials(const T* q, const T* keys, const T* values, const int* starts, const int* lengths, int heads,
                                         int kvHeads, int D, long long qStride, float scale, int window, float cap, float* statistics,
                                         float* outputs) {
    __shared__ float scratch[2 * kKeyGroups + kKeyGroups * 8 * E];
    constexpr int W = kWide<T>;
    int s = blockIdx.x, group = heads / kvHeads, parts = (group + kGroup - 1) / kGroup;
    int kvHead = blockIdx.y / parts, part = blockIdx.y % parts;
    int firstHead = kvHead * group + part * kGroup, count = min(kGroup, group - part * kGroup);
    int length = lengths[s], oldest = window > 0 ? max(0, length - window) : 0;
    int each = (length - oldest + kSplits - 1) / kSplits;
    int begin = oldest + min(length - oldest, (int)blockIdx.z * each), end = min(length, begin + each);
    long long place = ((long long)s * heads + firstHead) * kSplits + blockIdx.z;
    const T* query = q + s * qStride;
    if (D % W == 0 && qStride % W == 0 && aligned16(q, keys, values)) {
        cache_partials<E, W, Capped>(query, keys, values, starts[s] + begin, starts[s] + end, kvHeads, D, kvHead, firstHead, count,
                                     scale, cap, statistics + place * 2, outputs + place * D, scratch);
    } else {
        cache_partials<E, 1, Capped>(query, keys, values, starts[s] + begin, starts[s] + end, kvHeads, D, kvHead, firstHead, count,
                                     scale, cap, statistics + place * 2, outputs + place * D, scratch);
    }
}

#define CACHE_PARTIALS(E, T, name, capped) \
    KERNEL_BOUNDED(128, 1, name, const T* q, const T* keys, const T* values, const int* starts, const int* lengths, int heads, \
                   int kvHeads, int D, long long qStride, float scale, int window, float cap, float* statistics, float* outputs) { \
        cache_attention_partials<E, capped>(q, keys, values, starts, lengths, heads, kvHeads, D, qStride, scale, window, cap, statistics, \
                                            outputs); \
    }

CACHE_PARTIALS(8, float, cache_attention_partials_64_f32, false)
CACHE_PARTIALS(8, bf16, cache_attention_partials_64_bf16, false)
CACHE_PARTIALS(16, float, cache_attention_partials_128_f32, false)
CACHE_PARTIALS(16, bf16, cache_attention_partials_128_bf16, false)
CACHE_PARTIALS(8, float, cache_attention_partials_capped_64_f32, true)
CACHE_PARTIALS(8, bf16, cache_attention_partials_capped_64_bf16, true)
CACHE_PARTIALS(16, float, cache_attention_partials_capped_128_f32, true)
CACHE_PARTIALS(16, bf16, cache_attention_partials_capped_128_bf16, true)

template <typename T> __device__ void cache_attention_join(const float* statistics, const float* outputs, T* o, int heads, int D) {
    long long head = (long long)blockIdx.x * heads + blockIdx.y;
    const float* pairs = statistics + head * kSplits * 2;
    float m = -INFINITY, total = 0, weight[kSplits];
#pragma unroll
    for (int i = 0; i < kSplits; i++) {
        m = fmaxf(m, pairs[2 * i]);
    }
#pragma unroll
    for (int i = 0; i < kSplits; i++) {
        weight[i] = pairs[2 * i] == -INFINITY ? 0.0f : expf(pairs[2 * i] - m);
        total += weight[i] * pairs[2 * i + 1];
    }
    for (int d = threadIdx.x; d < D; d += blockDim.x) {
        float x = 0;
#pragma unroll
        for (int i = 0; i < kSplits; i++) {
            x += weight[i] * outputs[(head * kSplits + i) * D + d];
        }
        o[head * D + d] = from_float<T>(x / total);
    }
}

KERNEL(cache_attention_join_f32, const float* statistics, const float* outputs, float* o, int heads, int D) {
    cache_attention_join(statistics, outputs, o, heads, D);
}
KERNEL(cache_attention_join_bf16, const float* statistics, const float* outputs, bf16* o, int heads, int D) {
    cache_attention_join(statistics, outputs, o, heads, D);
}

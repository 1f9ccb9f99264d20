// Draws one token a row of logits [R, V]: ids[r] from softmax(row / temperature), cut to the top k (0: all) and then to the smallest set
// whose share of the rest's mass is ≥ p (1: all), at uniforms[r] in [0, 1). Temperature 0 takes the arg-max.
//
// The set is ordered by probability, ties by index, but never sorted. All that is asked of the order is "which element takes the running
// count to k" or "which takes the running mass past m", and that is found by descending the bits of the logit, 8 at a time: a histogram of
// counts and masses over the next 8 bits of those elements that share the bits so far, then a walk from the top. Masses are 40-bit fixed
// point, exp(l − max)·2⁴⁰, so that histograms by integer atomics give the same sums in any order.
//
// Launch: R blocks of 256 threads.
#include "include/pack.cuh"
#include "include/reduce.cuh"

typedef unsigned long long u64;

constexpr int kThreads = 256;

// Ordered like the floats; NaN lies past +∞, so that a broken row shows.
__device__ inline unsigned int order_key(float x) {
    unsigned int bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// A prefix of the ordered set: every element with a larger key, and those of equal key with index ≤ `index`.
struct Cut {
    unsigned int key;
    int index;
    u64 mass; // of the whole prefix
    __device__ bool holds(unsigned int k, int v) const { return k > key || (k == key && v <= index); }
};

struct Histogram {
    u64 mass[256];
    unsigned int count[256];
    // What thread 0 finds in its walk.
    unsigned int prefix;
    u64 massBefore, countBefore;
};

template <typename T> struct Row {
    const T* logits;
    int V;
    float maximum, inverseTemperature;
    __device__ float logit(int v) const { return to_float(logits[v]); }
    __device__ u64 mass(float l) const { return (u64)(expf((l - maximum) * inverseTemperature) * 1099511627776.0f); }
};

// The shortest prefix within `within` that has `count` elements, or (count 0) whose mass exceeds `mass`; all of `within` where neither
// happens.
template <typename T> __device__ Cut find_cut(Row<T> row, Cut within, u64 count, u64 mass, Histogram& h) {
    unsigned int prefix = 0, fixed = 0; // bits of the key found so far, and their mask
    u64 massBefore = 0, countBefore = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        __syncthreads();
        h.mass[threadIdx.x] = 0;
        h.count[threadIdx.x] = 0;
        __syncthreads();
        for (int v = threadIdx.x; v < row.V; v += kThreads) {
            float l = row.logit(v);
            unsigned int key = order_key(l);
            if ((key & fixed) == prefix && within.holds(key, v)) {
                atomicAdd(&h.mass[key >> shift & 255], row.mass(l));
                atomicAdd(&h.count[key >> shift & 255], 1u);
            }
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int bin = 255, last = 255; // last: the lowest bin with an element, for when the end is reached
            for (; bin >= 0; bin--) {
                if (h.count[bin] != 0) {
                    last = bin;
                    if (count != 0 ? countBefore + h.count[bin] >= count : massBefore + h.mass[bin] > mass) {
                        break;
                    }
                }
                massBefore += h.mass[bin];
                countBefore += h.count[bin];
            }
            if (bin < 0) {
                bin = last;
                massBefore -= h.mass[bin];
                countBefore -= h.count[bin];
            }
            h.prefix = prefix | (unsigned)bin << shift;
            h.massBefore = massBefore;
            h.countBefore = countBefore;
        }
        __syncthreads();
        prefix = h.prefix;
        fixed |= 255u << shift;
        massBefore = h.massBefore;
        countBefore = h.countBefore;
    }

    // Elements of this very key have one mass; take them by index until the goal is met.
    u64 each = h.count[prefix & 255] == 0 ? 0 : h.mass[prefix & 255] / h.count[prefix & 255];
    u64 ties = h.count[prefix & 255];
    u64 needed = count != 0 ? count - countBefore : each == 0 ? ties : (mass - massBefore) / each + 1;
    needed = needed < ties ? needed : ties;
    __syncthreads();
    if (threadIdx.x == 0) {
        h.prefix = (unsigned)row.V;
    }
    __syncthreads();
    // The index of the `needed`-th: count ties over chunks of 256 indices in order, and rank them in the one that holds it.
    u64 seen = 0;
    for (int first = 0; first < row.V && seen < needed; first += kThreads) {
        int v = first + threadIdx.x;
        bool tie = v < row.V && order_key(row.logit(v)) == prefix && within.holds(prefix, v);
        u64 all = seen + __syncthreads_count(tie);
        if (all >= needed) {
            h.count[threadIdx.x] = tie;
            __syncthreads();
            if (tie) {
                u64 rank = seen;
                for (int i = 0; i <= (int)threadIdx.x; i++) {
                    rank += h.count[i];
                }
                if (rank == needed) {
                    h.prefix = (unsigned)v;
                }
            }
            __syncthreads();
        }
        seen = all;
    }
    Cut cut = {prefix, (int)h.prefix, massBefore + needed * each};
    __syncthreads();
    return cut;
}

template <typename T>
__device__ void sample(const T* logits, float temperature, int topK, float topP, const float* uniforms, int* ids, int V) {
    __shared__ Histogram histogram;
    Row<T> row = {logits + (long long)blockIdx.x * V, V, -INFINITY, 0};
    for (int v = threadIdx.x; v < V; v += kThreads) {
        row.maximum = fmaxf(row.maximum, row.logit(v));
    }
    __shared__ float maxima[32];
    float warpMaximum = max_lanes(row.maximum);
    if ((threadIdx.x & 31) == 0) {
        maxima[threadIdx.x >> 5] = warpMaximum;
    }
    __syncthreads();
    row.maximum = max_lanes((threadIdx.x & 31) < kThreads / 32 ? maxima[threadIdx.x & 31] : -INFINITY);
    row.inverseTemperature = temperature == 0 ? 1.0f : 1.0f / temperature;

    Cut set = {0, V, 0};
    u64 everything = ~0ull;
    if (temperature == 0) {
        set = find_cut(row, set, 1, 0, histogram); // the arg-max: the prefix of one element
    } else {
        set = find_cut(row, set, topK > 0 && topK < V ? (u64)topK : 0, everything, histogram);
        if (topP < 1) {
            u64 least = (u64)((double)topP * (double)set.mass);
            set = find_cut(row, set, 0, least == 0 ? 0 : least - 1, histogram);
        }
        set = find_cut(row, set, 0, (u64)((double)uniforms[blockIdx.x] * (double)set.mass), histogram);
    }
    if (threadIdx.x == 0) {
        ids[blockIdx.x] = set.index; // the prefix ends with the element drawn
    }
}

KERNEL(sample_f32, const float* logits, float temperature, int topK, float topP, const float* uniforms, int* ids, int V) {
    sample(logits, temperature, topK, topP, uniforms, ids, V);
}
KERNEL(sample_bf16, const bf16* logits, float temperature, int topK, float topP, const float* uniforms, int* ids, int V) {
    sample(logits, temperature, topK, topP, uniforms, ids, V);
}

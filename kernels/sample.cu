// Draws one token a row of logits [R, V]: ids[r] from softmax(row / temperature), cut to the top k (0: all) and then to the smallest set
// whose share of the rest's mass is ≥ p (1: all), at uniforms[r] in [0, 1). Temperature 0 takes the arg-max.
//
// The set is ordered by probability, ties by index, but never sorted. All that is asked of the order is "which element takes the running
// count to k" or "which takes the running mass past m", and that is found by descending the bits of the logit, 11 at a time: a histogram of
// counts and masses over the next 11 bits of those elements that share the bits so far, then a walk from the top. Masses are 40-bit fixed
// point, exp(l − max)·2⁴⁰, so that histograms by integer atomics give the same sums in any order. Digits of 11 bits tell a sign, an
// exponent and a quarter of its range apart at once: with fewer, most of a warp's atomics would wait for each other.
//
// Launch: R blocks of 256 threads.
#include "include/pack.cuh"
#include "include/reduce.cuh"

typedef unsigned long long u64;

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kDigit = 11, kBins = 1 << kDigit, kBinsOfThread = kBins / kThreads;

// Ordered like the floats, −0 equal to 0; NaN lies past +∞, so that a broken row shows.
__device__ inline unsigned int order_key(float x) {
    unsigned int bits = __float_as_uint(x + 0.0f);
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
    unsigned int low[kBins], high[kBins]; // masses: 64 bits in two halves
    unsigned int count[kBins];
    u64 warpMass[kWarps];
    unsigned int warpCount[kWarps];
    // What the walk finds.
    unsigned int prefix;
    u64 massBefore, countBefore;

    __device__ u64 mass(unsigned int bin) const { return (u64)high[bin] << 32 | low[bin]; }

    // Shared memory adds 32 bits at once and 64 only in a loop that tries until no other lane was faster; the carry makes the sum exact.
    __device__ void add(unsigned int bin, u64 mass) {
        unsigned int part = (unsigned int)mass;
        unsigned int before = atomicAdd(&low[bin], part);
        unsigned int rest = (unsigned int)(mass >> 32) + (before + part < part ? 1 : 0);
        if (rest != 0) {
            atomicAdd(&high[bin], rest);
        }
        atomicAdd(&count[bin], 1u);
    }
};

__device__ inline u64 larger_of_lanes(u64 x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        u64 other = __shfl_xor_sync(kAllLanes, x, offset);
        x = other > x ? other : x;
    }
    return x;
}

// The sum over the lanes up to and with each one.
template <typename N> __device__ N sum_to_lane(N x) {
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
        N below = __shfl_up_sync(kAllLanes, x, offset);
        x += (threadIdx.x & 31) >= (unsigned int)offset ? below : 0;
    }
    return x;
}

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
    for (int left = 32; left > 0;) {
        int shift = left > kDigit ? left - kDigit : 0;
        __syncthreads();
        for (int bin = threadIdx.x; bin < kBins; bin += kThreads) {
            h.low[bin] = h.high[bin] = h.count[bin] = 0;
        }
        __syncthreads();
        for (int v = threadIdx.x; v < row.V; v += kThreads) {
            float l = row.logit(v);
            unsigned int key = order_key(l);
            if ((key & fixed) == prefix && within.holds(key, v)) {
                h.add(key >> shift & (kBins - 1), row.mass(l));
            }
        }
        __syncthreads();

        // The walk from the top: a thread has some bins, and sums of all above and with them.
        unsigned int highest = kBins - 1 - threadIdx.x * kBinsOfThread, warp = threadIdx.x >> 5;
        u64 ownMass = 0;
        unsigned int ownCount = 0;
        for (int i = 0; i < kBinsOfThread; i++) {
            ownMass += h.mass(highest - i);
            ownCount += h.count[highest - i];
        }
        u64 aboveMass = sum_to_lane(ownMass);
        unsigned int aboveCount = sum_to_lane(ownCount), all = 0;
        if ((threadIdx.x & 31) == 31) {
            h.warpMass[warp] = aboveMass;
            h.warpCount[warp] = aboveCount;
        }
        __syncthreads();
        for (unsigned int w = 0; w < kWarps; w++) {
            aboveMass += w < warp ? h.warpMass[w] : 0;
            aboveCount += w < warp ? h.warpCount[w] : 0;
            all += h.warpCount[w];
        }
        aboveMass -= ownMass;
        aboveCount -= ownCount;
        for (int i = 0; i < kBinsOfThread; i++) {
            unsigned int bin = highest - i, inBin = h.count[bin];
            u64 massThrough = aboveMass + h.mass(bin);
            unsigned int countThrough = aboveCount + inBin;
            bool above = count != 0 ? countBefore + aboveCount >= count : massBefore + aboveMass > mass;
            bool reached = count != 0 ? countBefore + countThrough >= count : massBefore + massThrough > mass;
            // Where the goal is never reached, the lowest bin that has an element.
            if (inBin != 0 && !above && (reached || countThrough == all)) {
                h.prefix = prefix | bin << shift;
                h.massBefore = massBefore + aboveMass;
                h.countBefore = countBefore + aboveCount;
            }
            aboveMass = massThrough;
            aboveCount = countThrough;
        }
        __syncthreads();
        prefix = h.prefix;
        fixed |= (unsigned int)(kBins - 1) << shift;
        left = shift;
        massBefore = h.massBefore;
        countBefore = h.countBefore;
    }

    // Elements of this very key have one mass; take them by index until the goal is met.
    unsigned int bin = prefix & (kBins - 1);
    u64 ties = h.count[bin], each = ties == 0 ? 0 : h.mass(bin) / ties;
    u64 needed = count != 0 ? count - countBefore : each == 0 ? ties : (mass - massBefore) / each + 1;
    needed = needed < ties ? needed : ties;
    __syncthreads();
    if (threadIdx.x == 0) {
        h.prefix = (unsigned)row.V;
    }
    // The index of the `needed`-th: count ties over chunks of 256 indices in order, and rank them in the one that holds it. There is one,
    // so that the loop's barrier stands before whoever writes next.
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

// Mass of the whole row, in every thread.
template <typename T> __device__ u64 total_mass(Row<T> row, Histogram& h) {
    u64 mass = 0;
    for (int v = threadIdx.x; v < row.V; v += kThreads) {
        mass += row.mass(row.logit(v));
    }
    mass = sum_to_lane(mass);
    __syncthreads(); // what the arg-max left there has been read
    if ((threadIdx.x & 31) == 31) {
        h.warpMass[threadIdx.x >> 5] = mass;
    }
    __syncthreads();
    mass = 0;
    for (int w = 0; w < kWarps; w++) {
        mass += h.warpMass[w];
    }
    return mass;
}

template <typename T>
__device__ void sample(const T* logits, float temperature, int topK, float topP, const float* uniforms, int* ids, int V) {
    __shared__ Histogram histogram;
    Row<T> row = {logits + (long long)blockIdx.x * V, V, 0, temperature == 0 ? 1.0f : 1.0f / temperature};

    // The first of the largest: by key, then by how far it is from the end.
    u64 best = 0;
    for (int v = threadIdx.x; v < V; v += kThreads) {
        u64 each = (u64)order_key(row.logit(v)) << 32 | (unsigned int)(V - 1 - v);
        best = each > best ? each : best;
    }
    best = larger_of_lanes(best);
    if ((threadIdx.x & 31) == 0) {
        histogram.warpMass[threadIdx.x >> 5] = best;
    }
    __syncthreads();
    best = larger_of_lanes(histogram.warpMass[threadIdx.x & (kWarps - 1)]);
    int top = V - 1 - (int)(unsigned int)best;
    if (temperature == 0) {
        if (threadIdx.x == 0) {
            ids[blockIdx.x] = top;
        }
        return;
    }
    row.maximum = row.logit(top);

    Cut set = {0, V, 0};
    if (topK > 0 && topK < V) {
        set = find_cut(row, set, (u64)topK, 0, histogram);
    } else {
        set.mass = total_mass(row, histogram);
    }
    if (topP < 1) {
        u64 least = (u64)((double)topP * (double)set.mass);
        set = find_cut(row, set, 0, least == 0 ? 0 : least - 1, histogram);
    }
    set = find_cut(row, set, 0, (u64)((double)uniforms[blockIdx.x] * (double)set.mass), histogram);
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

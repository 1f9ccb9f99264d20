// Divergence from the base model: of each row of two chunks of logits [R, V], with p and p0 their softmaxes,
//
//   divergences[r] = Σ_v p0_v·(log p0_v − log p_v)        KL(base‖model), nats
//   logits[r, v]   = weights[r]·(p_v − p0_v)              its gradient, in place
//
// The rows are read three times (largest logits, sums, gradient). Logits are taken relative to the largest of their row: with
// s = l − max l, s0 alike of the base, the divergence is Σ exp(s0)·(s0 − s) / Σ exp(s0) − log Σ exp(s0) + log Σ exp(s).
//
// Launch: R blocks of V / (elements in 16 bytes) threads, rounded up to a warp, between 32 and 512.
#include "include/pack.cuh"
#include "include/reduce.cuh"
#include <float.h>

// Every thread of the block receives the largest logit of the row.
template <int N, typename T> __device__ float largest(const T* logits, int V, float* scratch) {
    float top = -FLT_MAX;
    for (int v = threadIdx.x * N; v < V; v += blockDim.x * N) {
        float l[N];
        load<N>(logits + v, l);
#pragma unroll
        for (int k = 0; k < N; k++) {
            top = fmaxf(top, l[k]);
        }
    }
    return reduce_block(top, -FLT_MAX, Max(), scratch);
}

template <int N, typename T> __device__ void kl_divergence_row(T* logits, const T* base, float weight, float* divergence, int V) {
    __shared__ float scratch[32];
    float top = largest<N>(logits, V, scratch), top0 = largest<N>(base, V, scratch);
    float sum = 0, sum0 = 0, cross = 0;
    for (int v = threadIdx.x * N; v < V; v += blockDim.x * N) {
        float l[N], l0[N];
        load<N>(logits + v, l);
        load<N>(base + v, l0);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float s = l[k] - top, s0 = l0[k] - top0, e0 = expf(s0);
            sum += expf(s);
            sum0 += e0;
            cross += e0 * (s0 - s);
        }
    }
    sum = sum_block(sum, scratch);
    sum0 = sum_block(sum0, scratch);
    cross = sum_block(cross, scratch);
    if (threadIdx.x == 0) {
        *divergence = cross / sum0 - logf(sum0) + logf(sum);
    }
    float own = weight / sum, other = weight / sum0;
    for (int v = threadIdx.x * N; v < V; v += blockDim.x * N) {
        float l[N], l0[N];
        load<N>(logits + v, l);
        load<N>(base + v, l0);
#pragma unroll
        for (int k = 0; k < N; k++) {
            l[k] = own * expf(l[k] - top) - other * expf(l0[k] - top0);
        }
        store<N>(logits + v, l);
    }
}

template <typename T> __device__ void kl_divergence(T* logits, const T* base, const float* weights, float* divergences, int V) {
    constexpr int W = kWide<T>;
    int r = blockIdx.x;
    T* row = logits + (long long)r * V;
    const T* row0 = base + (long long)r * V;
    if (V % W == 0 && aligned16(logits, base)) {
        kl_divergence_row<W>(row, row0, weights[r], divergences + r, V);
    } else {
        kl_divergence_row<1>(row, row0, weights[r], divergences + r, V);
    }
}

KERNEL(kl_divergence_f32, float* logits, const float* base, const float* weights, float* divergences, int V) {
    kl_divergence(logits, base, weights, divergences, V);
}
KERNEL(kl_divergence_bf16, bf16* logits, const bf16* base, const float* weights, float* divergences, int V) {
    kl_divergence(logits, base, weights, divergences, V);
}

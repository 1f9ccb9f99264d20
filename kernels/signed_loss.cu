// The fused signed loss: a chunk of logits [R, V] becomes per-token losses and, where weights are given, the gradient of the signed
// objective in place. One block a row; the row is read twice (online softmax, then gradient) and written once.
//
// With y the target, p = softmax(row), e = one-hot of y, r the largest other logit, w = |weight|, the gradient is
//
//   weight ≥ 0     w·p_y^q·(p − e)           q = 0: cross-entropy; q > 0: generalised, (1 − p_y^q)/q   1805.07836
//   ascent        −w·(p − e)                                                   arXiv 2505.19715, 2508.04329
//   weighted      −w·p_y^β·(p − e)                                             2502.19301
//   satimp        −w·p_y^β₁·(1 − p_y)^β₂·(p − e)                               2505.11953
//   npo           −w·W·(p − e),  W = 2p_y^β / (p_y^β + p0_y^β)                 2404.05868
//   belief        −w·W·p0_y^γ·(p − e), W as for npo: as much as the base model believed it   (this project's)
//   hinge          w·∇(1 + p_y − p_r) = w·[(p_r − p_y)·p + p_y·e − p_r·e_r]    2408.06621
//   unlikelihood   w·∇(−log(1 − p_y)) = w·p_y/(1 − p_y)·(e − p)
//   entropy        w·(p − 1/V)
//
// each of which is  factor·exp(l_v − z) + shift  for v ≠ y, one more term at r for hinge, and a value of its own at y. Sums run over v ≠ y:
// with z' = log Σ_{v≠y} exp(l_v) the loss is softplus(z' − l_y) and 1 − p_y = exp(z' − l_y − loss), so neither cancels when p_y nears 1,
// and unlikelihood's p_v/(1 − p_y) = exp(l_v − z') stays bounded.
//
// Launch: R blocks of V / (elements in 16 bytes) threads, rounded up to a warp, between 32 and 512.
#include "include/pack.cuh"
#include "include/reduce.cuh"
#include <float.h>

enum AscentKind { kAscent, kWeighted, kSatImp, kNpo, kHinge, kUnlikelihood, kEntropy, kBelief }; // as Forgetting.Backends.AscentKind

struct RowStatistics {
    float other;     // z' = log Σ_{v≠y} exp(l_v)
    float best;      // largest logit but y's
    int bestIndex;   // its lowest index, −1 where there is none
};

struct Gradient {
    float factor, z, shift, atTarget, atBest;
};

// (a, i) comes before (b, j): larger, or equal with a lower index.
__device__ inline bool before(float a, int i, float b, int j) { return a > b || (a == b && (unsigned)i < (unsigned)j); }

template <int N, typename T> __device__ RowStatistics row_statistics(const T* logits, int target, int V, float* scratch, int* indices) {
    // FLT_MAX instead of ∞, so that a difference of two starting values is 0 and not NaN.
    float maximum = -FLT_MAX, sum = 0, best = -INFINITY;
    int bestIndex = -1;
    for (int v = threadIdx.x * N; v < V; v += blockDim.x * N) {
        float l[N];
        load<N>(logits + v, l);
        float top = -INFINITY;
#pragma unroll
        for (int k = 0; k < N; k++) {
            l[k] = v + k == target ? -INFINITY : l[k];
            top = fmaxf(top, l[k]);
        }
        if (top > best) {
            best = top;
#pragma unroll
            for (int k = N - 1; k >= 0; k--) {
                bestIndex = l[k] == top ? v + k : bestIndex;
            }
        }
        if (top > maximum) {
            sum *= expf(maximum - top);
            maximum = top;
        }
#pragma unroll
        for (int k = 0; k < N; k++) {
            sum += expf(l[k] - maximum);
        }
    }

    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    for (int level = 0; level < 2; level++) { // lanes of a warp, then warps
        float m = max_lanes(maximum);
        sum = sum_lanes(sum * expf(maximum - m));
        maximum = m;
#pragma unroll
        for (int offset = 16; offset > 0; offset /= 2) {
            float value = __shfl_xor_sync(kAllLanes, best, offset);
            int index = __shfl_xor_sync(kAllLanes, bestIndex, offset);
            if (before(value, index, best, bestIndex)) {
                best = value;
                bestIndex = index;
            }
        }
        if (level == 0) {
            if (lane == 0) {
                scratch[warp] = maximum;
                scratch[32 + warp] = sum;
                scratch[64 + warp] = best;
                indices[warp] = bestIndex;
            }
            __syncthreads();
            maximum = lane < warps ? scratch[lane] : -FLT_MAX;
            sum = lane < warps ? scratch[32 + lane] : 0.0f;
            best = lane < warps ? scratch[64 + lane] : -INFINITY;
            bestIndex = lane < warps ? indices[lane] : -1;
        }
    }
    return {maximum + logf(sum), best, bestIndex};
}

__device__ inline Gradient gradient_of(float weight, float target, float loss, RowStatistics row, int kind, float beta, float beta2,
                                       float power, float baseLogProbability, int V) {
    float logP = -loss, p = expf(logP);
    float log1MinusP = row.other - target - loss, q = expf(log1MinusP); // q = 1 − p
    float z = target + loss;
    if (weight >= 0) {
        weight *= power == 0 ? 1.0f : expf(power * logP);
        return {weight, z, 0, -weight * q, 0};
    }
    float w = -weight, factor = w;
    switch (kind) {
    case kWeighted:
        factor = w * expf(beta * logP);
        break;
    case kSatImp:
        factor = w * expf(beta * logP) * (beta2 == 0 ? 1.0f : expf(beta2 * log1MinusP));
        break;
    case kNpo:
        factor = w * 2.0f / (1.0f + expf(beta * (baseLogProbability - logP)));
        break;
    case kBelief:
        factor = w * expf(beta2 * baseLogProbability) * 2.0f / (1.0f + expf(beta * (baseLogProbability - logP)));
        break;
    case kHinge: {
        float pBest = expf(row.best - z);
        return {w * (pBest - p), z, 0, w * p * (1.0f + pBest - p), -w * pBest};
    }
    case kUnlikelihood:
        return {-w * p, row.other, 0, w * p, 0};
    case kEntropy:
        return {w, z, -w / V, w * (p - 1.0f / V), 0};
    }
    return {-factor, z, 0, factor * q, 0};
}

template <int N, typename T> __device__ void write_gradient(T* logits, int target, int best, Gradient g, int V) {
    for (int v = threadIdx.x * N; v < V; v += blockDim.x * N) {
        float l[N];
        load<N>(logits + v, l);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float x = g.factor * expf(l[k] - g.z) + g.shift;
            x = v + k == best ? x + g.atBest : x;
            l[k] = v + k == target ? g.atTarget : x;
        }
        store<N>(logits + v, l);
    }
}

template <int N, typename T>
__device__ void signed_loss_row(T* logits, int target, const float* weight, const float* baseLogProbability, int kind, float beta,
                                float beta2, float power, float* loss, int* greedy, int V) {
    __shared__ float scratch[96];
    __shared__ int indices[32];
    float targetLogit = to_float(logits[target]);
    RowStatistics row = row_statistics<N>(logits, target, V, scratch, indices); // its barrier also ends every reading of logits[target]
    float x = row.other - targetLogit;
    float crossEntropy = x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); // softplus(x)
    if (threadIdx.x == 0) {
        *loss = crossEntropy;
        if (greedy != nullptr) {
            *greedy = before(row.best, row.bestIndex, targetLogit, target) ? row.bestIndex : target;
        }
    }
    if (weight != nullptr) {
        float base = baseLogProbability == nullptr ? 0.0f : *baseLogProbability;
        Gradient g = gradient_of(*weight, targetLogit, crossEntropy, row, kind, beta, beta2, power, base, V);
        write_gradient<N>(logits, target, row.bestIndex, g, V);
    }
}

template <typename T>
__device__ void signed_loss(T* logits, const int* targets, const float* weights, const float* baseLogProbability, int kind, float beta,
                            float beta2, float power, float* losses, int* greedy, int V) {
    constexpr int W = kWide<T>;
    int r = blockIdx.x;
    T* row = logits + (long long)r * V;
    const float* weight = weights == nullptr ? nullptr : weights + r;
    const float* base = baseLogProbability == nullptr ? nullptr : baseLogProbability + r;
    int* best = greedy == nullptr ? nullptr : greedy + r;
    if (V % W == 0 && aligned16(logits)) {
        signed_loss_row<W>(row, targets[r], weight, base, kind, beta, beta2, power, losses + r, best, V);
    } else {
        signed_loss_row<1>(row, targets[r], weight, base, kind, beta, beta2, power, losses + r, best, V);
    }
}

KERNEL(signed_loss_f32, float* logits, const int* targets, const float* weights, const float* baseLogProbability, int kind, float beta,
       float beta2, float power, float* losses, int* greedy, int V) {
    signed_loss(logits, targets, weights, baseLogProbability, kind, beta, beta2, power, losses, greedy, V);
}
KERNEL(signed_loss_bf16, bf16* logits, const int* targets, const float* weights, const float* baseLogProbability, int kind, float beta,
       float beta2, float power, float* losses, int* greedy, int V) {
    signed_loss(logits, targets, weights, baseLogProbability, kind, beta, beta2, power, losses, greedy, V);
}

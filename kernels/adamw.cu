// AdamW (arXiv 1711.05101, algorithm 2) on flat Float32 arrays of n elements:
//
//   g = gradientScale·gradient;  m = β₁m + (1 − β₁)g;  v = β₂v + (1 − β₂)g²
//   master −= lr·(m·correction1 / (√(v·correction2) + ε) + decay·master), correction = 1/(1 − βᵗ)
//   value = master in storage type, where value is not the master itself (null then);  gradient = 0
//
// What changes from step to step is read from numbers [4], since the arguments of a captured launch do not change: lr, gradientScale,
// correction1, correction2.
//
// Launch: 256 threads, one thread for 4 elements, at most 8 blocks a multiprocessor.
#include "include/pack.cuh"

struct AdamWScalars {
    float beta1, beta2, epsilon, decay;
};

template <typename T>
__device__ void adamw(float* master, T* value, float* gradient, float* m, float* v, AdamWScalars s, const float* numbers, long long n) {
    float learningRate = numbers[0], gradientScale = numbers[1], correction1 = numbers[2], correction2 = numbers[3];
    for_each_pack<4>(n, aligned16(master, value, gradient, m, v), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float w[N], g[N], m1[N], m2[N], zero[N] = {};
        load<N>(master + i, w);
        load<N>(gradient + i, g);
        load<N>(m + i, m1);
        load<N>(v + i, m2);
#pragma unroll
        for (int k = 0; k < N; k++) {
            g[k] *= gradientScale;
            m1[k] = s.beta1 * m1[k] + (1.0f - s.beta1) * g[k];
            m2[k] = s.beta2 * m2[k] + (1.0f - s.beta2) * g[k] * g[k];
            float step = m1[k] * correction1 / (sqrtf(m2[k] * correction2) + s.epsilon);
            w[k] -= learningRate * (step + s.decay * w[k]);
        }
        store<N>(master + i, w);
        store<N>(m + i, m1);
        store<N>(v + i, m2);
        store<N>(gradient + i, zero);
        if (value != nullptr) {
            store<N>(value + i, w);
        }
    });
}

KERNEL(adamw_f32, float* master, float* value, float* gradient, float* m, float* v, float beta1, float beta2, float epsilon,
       float decay, const float* numbers, long long n) {
    adamw(master, value, gradient, m, v, {beta1, beta2, epsilon, decay}, numbers, n);
}
KERNEL(adamw_bf16, float* master, bf16* value, float* gradient, float* m, float* v, float beta1, float beta2, float epsilon,
       float decay, const float* numbers, long long n) {
    adamw(master, value, gradient, m, v, {beta1, beta2, epsilon, decay}, numbers, n);
}

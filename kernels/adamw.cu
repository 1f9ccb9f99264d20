// AdamW (arXiv 1711.05101, algorithm 2) on flat Float32 arrays of n elements:
//
//   g = gradientScale·gradient;  m = β₁m + (1 − β₁)g;  v = β₂v + (1 − β₂)g²
//   master −= lr·(m·correction1 / (√(v·correction2) + ε) + decay·master), correction = 1/(1 − βᵗ)
//   value = master in storage type, where value is not the master itself (null then)
//
// Launch: 256 threads, one thread for 4 elements, at most 8 blocks a multiprocessor.
#include "include/pack.cuh"

struct AdamWScalars {
    float learningRate, beta1, beta2, epsilon, decay, gradientScale, correction1, correction2;
};

template <typename T>
__device__ void adamw(float* master, T* value, const float* gradient, float* m, float* v, AdamWScalars s, long long n) {
    for_each_pack<4>(n, aligned16(master, value, gradient, m, v), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float w[N], g[N], m1[N], m2[N];
        load<N>(master + i, w);
        load<N>(gradient + i, g);
        load<N>(m + i, m1);
        load<N>(v + i, m2);
#pragma unroll
        for (int k = 0; k < N; k++) {
            g[k] *= s.gradientScale;
            m1[k] = s.beta1 * m1[k] + (1.0f - s.beta1) * g[k];
            m2[k] = s.beta2 * m2[k] + (1.0f - s.beta2) * g[k] * g[k];
            float step = m1[k] * s.correction1 / (sqrtf(m2[k] * s.correction2) + s.epsilon);
            w[k] -= s.learningRate * (step + s.decay * w[k]);
        }
        store<N>(master + i, w);
        store<N>(m + i, m1);
        store<N>(v + i, m2);
        if (value != nullptr) {
            store<N>(value + i, w);
        }
    });
}

KERNEL(adamw_f32, float* master, float* value, const float* gradient, float* m, float* v, float learningRate, float beta1, float beta2,
       float epsilon, float decay, float gradientScale, float correction1, float correction2, long long n) {
    adamw(master, value, gradient, m, v, {learningRate, beta1, beta2, epsilon, decay, gradientScale, correction1, correction2}, n);
}
KERNEL(adamw_bf16, float* master, bf16* value, const float* gradient, float* m, float* v, float learningRate, float beta1, float beta2,
       float epsilon, float decay, float gradientScale, float correction1, float correction2, long long n) {
    adamw(master, value, gradient, m, v, {learningRate, beta1, beta2, epsilon, decay, gradientScale, correction1, correction2}, n);
}

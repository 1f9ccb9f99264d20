// Activations of the MLP, element by element; all tensors flat with n elements.
//
//   swiglu            y = silu(gate) ∘ up, silu(g) = g·σ(g)                     (arXiv 2002.05202)
//   swiglu_backward   dGate = dY ∘ up ∘ σ(g)·(1 + g·(1 − σ(g))),  dUp = dY ∘ silu(g); outputs may be the inputs
//   geglu             y = gelu(gate) ∘ up by GELU's tanh approximation
//   geglu_backward    dGate = dY ∘ up ∘ gelu′(g),  dUp = dY ∘ gelu(g); outputs may be the inputs
//   soft_cap          y = cap·tanh(x / cap)                                     (arXiv 2408.00118)
//   soft_cap_backward dX = dY ∘ (1 − tanh²(x / cap))
//   gelu              y = x·Φ(x), or its tanh approximation                     (arXiv 1606.08415)
//   gelu_backward     dX = dY ∘ (Φ(x) + x·φ(x)), or the approximation's derivative
//
// An element is read before it is written, by the same thread, so any output may be any input.
// Launch of all: 256 threads, one thread for 16 bytes, at most 8 blocks a multiprocessor.
#include "include/pack.cuh"

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// With u = √(2/π)·(x + 0.044715·x³): ½x(1 + tanh u) = x·σ(2u).
__device__ inline float gelu_tanh(float x) { return x * sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x)); }

__device__ inline float gelu_tanh_derivative(float x) {
    float s = sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x));
    return s + x * s * (1.0f - s) * 1.5957691216057308f * (1.0f + 3.0f * 0.044715f * x * x);
}

// Φ(x) = ½ erfc(−x/√2), which keeps its digits where Φ is small.
__device__ inline float gelu_erf(float x) { return x * 0.5f * erfcf(-0.70710678118654752f * x); }

__device__ inline float gelu_erf_derivative(float x) {
    return 0.5f * erfcf(-0.70710678118654752f * x) + x * 0.39894228040143268f * expf(-0.5f * x * x);
}

template <typename T> __device__ void swiglu(const T* gate, const T* up, T* y, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(gate, up, y), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float g[N], u[N];
        load<N>(gate + i, g);
        load<N>(up + i, u);
#pragma unroll
        for (int k = 0; k < N; k++) {
            u[k] *= g[k] * sigmoid(g[k]);
        }
        store<N>(y + i, u);
    });
}

template <typename T> __device__ void swiglu_backward(const T* gate, const T* up, const T* dY, T* dGate, T* dUp, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(gate, up, dY, dGate, dUp), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float g[N], u[N], d[N];
        load<N>(gate + i, g);
        load<N>(up + i, u);
        load<N>(dY + i, d);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float s = sigmoid(g[k]);
            u[k] *= d[k] * s * (1.0f + g[k] * (1.0f - s));
            d[k] *= g[k] * s;
        }
        store<N>(dGate + i, u);
        store<N>(dUp + i, d);
    });
}

template <typename T> __device__ void geglu(const T* gate, const T* up, T* y, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(gate, up, y), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float g[N], u[N];
        load<N>(gate + i, g);
        load<N>(up + i, u);
#pragma unroll
        for (int k = 0; k < N; k++) {
            u[k] *= gelu_tanh(g[k]);
        }
        store<N>(y + i, u);
    });
}

template <typename T> __device__ void geglu_backward(const T* gate, const T* up, const T* dY, T* dGate, T* dUp, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(gate, up, dY, dGate, dUp), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float g[N], u[N], d[N];
        load<N>(gate + i, g);
        load<N>(up + i, u);
        load<N>(dY + i, d);
#pragma unroll
        for (int k = 0; k < N; k++) {
            u[k] *= d[k] * gelu_tanh_derivative(g[k]);
            d[k] *= gelu_tanh(g[k]);
        }
        store<N>(dGate + i, u);
        store<N>(dUp + i, d);
    });
}

template <typename T> __device__ void soft_cap(const T* x, T* y, float cap, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(x, y), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float a[N];
        load<N>(x + i, a);
#pragma unroll
        for (int k = 0; k < N; k++) {
            a[k] = cap * tanhf(a[k] / cap);
        }
        store<N>(y + i, a);
    });
}

template <typename T> __device__ void soft_cap_backward(const T* x, const T* dY, T* dX, float cap, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(x, dY, dX), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float a[N], d[N];
        load<N>(x + i, a);
        load<N>(dY + i, d);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float t = tanhf(a[k] / cap);
            d[k] *= 1.0f - t * t;
        }
        store<N>(dX + i, d);
    });
}

template <typename T> __device__ void gelu(const T* x, T* y, int approximate, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(x, y), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float a[N];
        load<N>(x + i, a);
#pragma unroll
        for (int k = 0; k < N; k++) {
            a[k] = approximate ? gelu_tanh(a[k]) : gelu_erf(a[k]);
        }
        store<N>(y + i, a);
    });
}

template <typename T> __device__ void gelu_backward(const T* x, const T* dY, T* dX, int approximate, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(x, dY, dX), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float a[N], d[N];
        load<N>(x + i, a);
        load<N>(dY + i, d);
#pragma unroll
        for (int k = 0; k < N; k++) {
            d[k] *= approximate ? gelu_tanh_derivative(a[k]) : gelu_erf_derivative(a[k]);
        }
        store<N>(dX + i, d);
    });
}

KERNEL(swiglu_f32, const float* gate, const float* up, float* y, long long n) { swiglu(gate, up, y, n); }
KERNEL(swiglu_bf16, const bf16* gate, const bf16* up, bf16* y, long long n) { swiglu(gate, up, y, n); }
KERNEL(swiglu_backward_f32, const float* gate, const float* up, const float* dY, float* dGate, float* dUp, long long n) {
    swiglu_backward(gate, up, dY, dGate, dUp, n);
}
KERNEL(swiglu_backward_bf16, const bf16* gate, const bf16* up, const bf16* dY, bf16* dGate, bf16* dUp, long long n) {
    swiglu_backward(gate, up, dY, dGate, dUp, n);
}
KERNEL(gelu_f32, const float* x, float* y, int approximate, long long n) { gelu(x, y, approximate, n); }
KERNEL(gelu_bf16, const bf16* x, bf16* y, int approximate, long long n) { gelu(x, y, approximate, n); }
KERNEL(gelu_backward_f32, const float* x, const float* dY, float* dX, int approximate, long long n) {
    gelu_backward(x, dY, dX, approximate, n);
}
KERNEL(gelu_backward_bf16, const bf16* x, const bf16* dY, bf16* dX, int approximate, long long n) {
    gelu_backward(x, dY, dX, approximate, n);
}

#define GATED(T, suffix) \
    KERNEL(geglu_##suffix, const T* gate, const T* up, T* y, long long n) { geglu(gate, up, y, n); } \
    KERNEL(geglu_backward_##suffix, const T* gate, const T* up, const T* dY, T* dGate, T* dUp, long long n) { \
        geglu_backward(gate, up, dY, dGate, dUp, n); \
    } \
    KERNEL(soft_cap_##suffix, const T* x, T* y, float cap, long long n) { soft_cap(x, y, cap, n); } \
    KERNEL(soft_cap_backward_##suffix, const T* x, const T* dY, T* dX, float cap, long long n) { soft_cap_backward(x, dY, dX, cap, n); }

GATED(float, f32)
GATED(bf16, bf16)

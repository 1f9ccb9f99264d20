// Activations of the MLP, element by element. Tensors are flat with n elements but for those of swiglu and geglu: gate, up, dGate and dUp
// [T, columns] have rows `stride` apart, so that they may be columns of one tensor; y and dY [T, columns] lie end to end.
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
// Launch of swiglu and geglu: one block a row, a thread for each 16 bytes of it, rounded up to a warp, between 32 and 512.
// Launch of the others: 256 threads, one thread for 16 bytes, at most 8 blocks a multiprocessor.
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

// What a gate goes through: its value, and d times its derivative.
struct Silu {
    static __device__ float value(float g) { return g * sigmoid(g); }
    static __device__ float backward(float d, float g) {
        float s = sigmoid(g);
        return d * s * (1.0f + g * (1.0f - s));
    }
};

struct GeluTanh {
    static __device__ float value(float g) { return gelu_tanh(g); }
    static __device__ float backward(float d, float g) { return d * gelu_tanh_derivative(g); }
};

template <typename Activation, int N, typename T> __device__ void gated_row(const T* gate, const T* up, T* y, int columns) {
    for (int c = threadIdx.x * N; c < columns; c += blockDim.x * N) {
        float g[N], u[N];
        load<N>(gate + c, g);
        load<N>(up + c, u);
#pragma unroll
        for (int k = 0; k < N; k++) {
            u[k] *= Activation::value(g[k]);
        }
        store<N>(y + c, u);
    }
}

template <typename Activation, typename T> __device__ void gated(const T* gate, const T* up, T* y, int columns, int stride) {
    constexpr int W = kWide<T>;
    long long at = (long long)blockIdx.x * stride, row = (long long)blockIdx.x * columns;
    if (columns % W == 0 && stride % W == 0 && aligned16(gate, up, y)) {
        gated_row<Activation, W>(gate + at, up + at, y + row, columns);
    } else {
        gated_row<Activation, 1>(gate + at, up + at, y + row, columns);
    }
}

template <typename Activation, int N, typename T>
__device__ void gated_backward_row(const T* gate, const T* up, const T* dY, T* dGate, T* dUp, int columns) {
    for (int c = threadIdx.x * N; c < columns; c += blockDim.x * N) {
        float g[N], u[N], d[N];
        load<N>(gate + c, g);
        load<N>(up + c, u);
        load<N>(dY + c, d);
#pragma unroll
        for (int k = 0; k < N; k++) {
            u[k] *= Activation::backward(d[k], g[k]);
            d[k] *= Activation::value(g[k]);
        }
        store<N>(dGate + c, u);
        store<N>(dUp + c, d);
    }
}

template <typename Activation, typename T>
__device__ void gated_backward(const T* gate, const T* up, const T* dY, T* dGate, T* dUp, int columns, int stride) {
    constexpr int W = kWide<T>;
    long long at = (long long)blockIdx.x * stride, row = (long long)blockIdx.x * columns;
    if (columns % W == 0 && stride % W == 0 && aligned16(gate, up, dY, dGate, dUp)) {
        gated_backward_row<Activation, W>(gate + at, up + at, dY + row, dGate + at, dUp + at, columns);
    } else {
        gated_backward_row<Activation, 1>(gate + at, up + at, dY + row, dGate + at, dUp + at, columns);
    }
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

#define GATED(name, Activation, T, suffix) \
    KERNEL(name##_##suffix, const T* gate, const T* up, T* y, int columns, int stride) { \
        gated<Activation>(gate, up, y, columns, stride); \
    } \
    KERNEL(name##_backward_##suffix, const T* gate, const T* up, const T* dY, T* dGate, T* dUp, int columns, int stride) { \
        gated_backward<Activation>(gate, up, dY, dGate, dUp, columns, stride); \
    }

#define PLAIN(name, Setting, T, suffix) \
    KERNEL(name##_##suffix, const T* x, T* y, Setting setting, long long n) { name(x, y, setting, n); } \
    KERNEL(name##_backward_##suffix, const T* x, const T* dY, T* dX, Setting setting, long long n) { \
        name##_backward(x, dY, dX, setting, n); \
    }

#define ACTIVATIONS(T, suffix) \
    GATED(swiglu, Silu, T, suffix) \
    GATED(geglu, GeluTanh, T, suffix) \
    PLAIN(soft_cap, float, T, suffix) \
    PLAIN(gelu, int, T, suffix)

ACTIVATIONS(float, f32)
ACTIVATIONS(bf16, bf16)

// Sums, products and biases, element by element.
//
//   add_bias   y[t, c] += bias[c]        y [T, C], rows `stride` apart, bias [1, C]
//   axpy       y = α·x + y               flat, n elements
//   scale      x = α·x                   flat
//   multiply   y = a ∘ b                 flat, Float32; y may be a or b
//   fill       y = α                     flat
//   cast       y = x in another type     flat; to bf16 rounds to nearest even
//
// Launch of add_bias: one block a row, a thread for each 16 bytes of it, rounded up to a warp, between 32 and 512.
// Launch of the others: 256 threads, one thread for 16 bytes, at most 8 blocks a multiprocessor (the kernels stride over the rest).
#include "include/pack.cuh"

template <int N, typename T> __device__ void add_bias_row(T* y, const T* bias, int C) {
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float a[N], b[N];
        load<N>(y + c, a);
        load<N>(bias + c, b);
#pragma unroll
        for (int k = 0; k < N; k++) {
            a[k] += b[k];
        }
        store<N>(y + c, a);
    }
}

template <typename T> __device__ void add_bias(T* y, const T* bias, int C, int stride) {
    constexpr int W = kWide<T>;
    T* row = y + (long long)blockIdx.x * stride;
    if (C % W == 0 && stride % W == 0 && aligned16(y, bias)) {
        add_bias_row<W>(row, bias, C);
    } else {
        add_bias_row<1>(row, bias, C);
    }
}

template <typename T> __device__ void scale(T* x, float alpha, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(x), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float p[N];
        load<N>(x + i, p);
#pragma unroll
        for (int k = 0; k < N; k++) {
            p[k] *= alpha;
        }
        store<N>(x + i, p);
    });
}

template <typename T> __device__ void fill(T* y, float alpha, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(y), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float p[N];
#pragma unroll
        for (int k = 0; k < N; k++) {
            p[k] = alpha;
        }
        store<N>(y + i, p);
    });
}

// Four elements a thread: 16 bytes of the Float32 side, 8 of the other.
template <typename From, typename To> __device__ void cast(const From* x, To* y, long long n) {
    for_each_pack<4>(n, aligned16(x, y), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float p[N];
        load<N>(x + i, p);
        store<N>(y + i, p);
    });
}

KERNEL(add_bias_f32, float* y, const float* bias, int C, int stride) { add_bias(y, bias, C, stride); }
KERNEL(add_bias_bf16, bf16* y, const bf16* bias, int C, int stride) { add_bias(y, bias, C, stride); }
KERNEL(scale_f32, float* x, float alpha, long long n) { scale(x, alpha, n); }
KERNEL(scale_bf16, bf16* x, float alpha, long long n) { scale(x, alpha, n); }
KERNEL(fill_f32, float* y, float alpha, long long n) { fill(y, alpha, n); }
KERNEL(fill_bf16, bf16* y, float alpha, long long n) { fill(y, alpha, n); }
KERNEL(cast_f32_bf16, const float* x, bf16* y, long long n) { cast(x, y, n); }
KERNEL(cast_bf16_f32, const bf16* x, float* y, long long n) { cast(x, y, n); }

template <typename T> __device__ void axpy(float alpha, const T* x, T* y, long long n) {
    for_each_pack<kWide<T>>(n, aligned16(x, y), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float p[N], q[N];
        load<N>(x + i, p);
        load<N>(y + i, q);
#pragma unroll
        for (int k = 0; k < N; k++) {
            q[k] += alpha * p[k];
        }
        store<N>(y + i, q);
    });
}

KERNEL(axpy_f32, float alpha, const float* x, float* y, long long n) { axpy(alpha, x, y, n); }
KERNEL(axpy_bf16, float alpha, const bf16* x, bf16* y, long long n) { axpy(alpha, x, y, n); }

KERNEL(multiply_f32, const float* a, const float* b, float* y, long long n) {
    for_each_pack<4>(n, aligned16(a, b, y), [&](long long i, auto width) {
        constexpr int N = decltype(width)::value;
        float p[N], q[N];
        load<N>(a + i, p);
        load<N>(b + i, q);
#pragma unroll
        for (int k = 0; k < N; k++) {
            p[k] *= q[k];
        }
        store<N>(y + i, p);
    });
}

// Loads and stores of up to 16 bytes, and the two storage types as floats.
//
// Every kernel computes in float whatever it stores. A thread moves a Pack of N consecutive elements with one access, so N·sizeof(T)
// must be a power of two of at most 16 and the address a multiple of it. Kernels are written once for any N and choose at run time:
// 16 bytes where all pointers and the row length allow it, single elements otherwise (the branch is uniform over the grid).
#pragma once
#include "portable.cuh"

typedef __nv_bfloat16 bf16;

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }

template <typename T> __device__ inline T from_float(float x);
template <> __device__ inline float from_float<float>(float x) { return x; }
template <> __device__ inline bf16 from_float<bf16>(float x) { return __float2bfloat16_rn(x); }

// Elements of T in a 16-byte access.
template <typename T> constexpr int kWide = 16 / (int)sizeof(T);

template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
    T element[N];
};

template <int N, typename T> __device__ inline void load(const T* source, float (&x)[N]) {
    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(source);
#pragma unroll
    for (int i = 0; i < N; i++) {
        x[i] = to_float(pack.element[i]);
    }
}

template <int N, typename T> __device__ inline void store(T* destination, const float (&x)[N]) {
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; i++) {
        pack.element[i] = from_float<T>(x[i]);
    }
    *reinterpret_cast<Pack<T, N>*>(destination) = pack;
}

// Loads x[i … i + N), after adding the residual's elements where there is a residual: then x holds the sum, and what is returned is the sum
// as it is stored, so that whoever reads x later computes with the same numbers.
template <int N, typename T> __device__ inline void load_sum(T* x, const T* residual, int i, float (&sum)[N]) {
    load<N>(x + i, sum);
    if (residual == nullptr) {
        return;
    }
    float added[N];
    load<N>(residual + i, added);
#pragma unroll
    for (int k = 0; k < N; k++) {
        sum[k] = to_float(from_float<T>(sum[k] + added[k]));
    }
    store<N>(x + i, sum);
}

// True when every pointer is a multiple of 16 bytes (null counts as one).
__device__ inline bool aligned16(const void* a, const void* b = nullptr, const void* c = nullptr, const void* d = nullptr,
                                 const void* e = nullptr) {
    return (((size_t)a | (size_t)b | (size_t)c | (size_t)d | (size_t)e) & 15) == 0;
}

// Index of this thread in the grid, and threads in the grid.
__device__ inline long long thread_index() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline long long thread_count() { return (long long)gridDim.x * blockDim.x; }

// Calls body(start, width) for every run of consecutive elements of a flat array of n: W at a time while `wide`, then one at a time.
// `body` receives the width as a type, so that its arrays have a constant size: body(i, Width<W>()).
template <int N> struct Width {
    static constexpr int value = N;
};

template <int W, typename Body> __device__ inline void for_each_pack(long long n, bool wide, Body body) {
    long long packed = wide ? n / W * W : 0;
    for (long long i = thread_index() * W; i < packed; i += thread_count() * W) {
        body(i, Width<W>());
    }
    for (long long i = packed + thread_index(); i < n; i += thread_count()) {
        body(i, Width<1>());
    }
}

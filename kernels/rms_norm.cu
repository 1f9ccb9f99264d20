// Root-mean-square norm (arXiv 1910.07467, eq. 4), x, residual and y [T, C], gain [1, C], rstd [1, T].
//
//   forward    x += residual, where that is not null, rounded to the storage type before it is normalised;
//              rstd = 1/√(mean(x²) + ε),  y = (offset + gain) ∘ x̂ with x̂ = x·rstd
//   backward   dX += rstd·(g − x̂·mean(g ∘ x̂)) with g = (offset + gain) ∘ dY;  gainProduct = dY ∘ x̂ where it is wanted (it may be dY)
//
// One block a row: the row is read from memory once, its second reading comes from the first-level cache.
// Launch of both: T blocks of C / (elements in 16 bytes) threads, rounded up to a warp, between 32 and 512.
#include "include/pack.cuh"
#include "include/reduce.cuh"

template <int N, typename T>
__device__ void rms_norm_row(T* x, const T* residual, const T* gain, float offset, float epsilon, T* y, float* rstd, int C,
                             float* scratch) {
    float squares = 0;
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float a[N];
        load_sum<N>(x, residual, c, a);
#pragma unroll
        for (int k = 0; k < N; k++) {
            squares += a[k] * a[k];
        }
    }
    float r = 1.0f / sqrtf(sum_block(squares, scratch) / C + epsilon);
    if (threadIdx.x == 0) {
        *rstd = r;
    }
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float a[N], g[N];
        load<N>(x + c, a);
        load<N>(gain + c, g);
#pragma unroll
        for (int k = 0; k < N; k++) {
            a[k] *= r * (offset + g[k]);
        }
        store<N>(y + c, a);
    }
}

template <int N, typename T>
__device__ void rms_norm_backward_row(const T* dY, const T* x, const T* gain, float offset, float r, T* dX, T* gainProduct, int C,
                                      float* scratch) {
    float projection = 0; // Σ g ∘ x̂
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float d[N], a[N], g[N];
        load<N>(dY + c, d);
        load<N>(x + c, a);
        load<N>(gain + c, g);
#pragma unroll
        for (int k = 0; k < N; k++) {
            projection += d[k] * (offset + g[k]) * a[k] * r;
        }
    }
    float mean = sum_block(projection, scratch) / C;
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float d[N], a[N], g[N], sum[N];
        load<N>(dY + c, d);
        load<N>(x + c, a);
        load<N>(gain + c, g);
        load<N>(dX + c, sum);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float normalised = a[k] * r;
            sum[k] += r * ((offset + g[k]) * d[k] - normalised * mean);
            d[k] *= normalised;
        }
        store<N>(dX + c, sum);
        if (gainProduct != nullptr) {
            store<N>(gainProduct + c, d);
        }
    }
}

template <typename T>
__device__ void rms_norm(T* x, const T* residual, const T* gain, float offset, float epsilon, T* y, float* rstd, int C) {
    __shared__ float scratch[32];
    constexpr int W = kWide<T>;
    long long row = (long long)blockIdx.x * C;
    const T* added = residual == nullptr ? nullptr : residual + row;
    if (C % W == 0 && aligned16(x, residual, gain, y)) {
        rms_norm_row<W>(x + row, added, gain, offset, epsilon, y + row, rstd + blockIdx.x, C, scratch);
    } else {
        rms_norm_row<1>(x + row, added, gain, offset, epsilon, y + row, rstd + blockIdx.x, C, scratch);
    }
}

template <typename T>
__device__ void rms_norm_backward(const T* dY, const T* x, const T* gain, float offset, const float* rstd, T* dX, T* gainProduct, int C) {
    __shared__ float scratch[32];
    constexpr int W = kWide<T>;
    long long row = (long long)blockIdx.x * C;
    T* product = gainProduct == nullptr ? nullptr : gainProduct + row;
    if (C % W == 0 && aligned16(dY, x, gain, dX, gainProduct)) {
        rms_norm_backward_row<W>(dY + row, x + row, gain, offset, rstd[blockIdx.x], dX + row, product, C, scratch);
    } else {
        rms_norm_backward_row<1>(dY + row, x + row, gain, offset, rstd[blockIdx.x], dX + row, product, C, scratch);
    }
}

#define RMS_NORM(T, suffix) \
    KERNEL(rms_norm_##suffix, T* x, const T* residual, const T* gain, float offset, float epsilon, T* y, float* rstd, int C) { \
        rms_norm(x, residual, gain, offset, epsilon, y, rstd, C); \
    } \
    KERNEL(rms_norm_backward_##suffix, const T* dY, const T* x, const T* gain, float offset, const float* rstd, T* dX, T* gainProduct, \
           int C) { \
        rms_norm_backward(dY, x, gain, offset, rstd, dX, gainProduct, C); \
    }

RMS_NORM(float, f32)
RMS_NORM(bf16, bf16)

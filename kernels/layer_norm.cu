// Layer norm (arXiv 1607.06450), x, residual and y [T, C], gain and bias [1, C], statistics [T, 2] = mean and rstd of each row.
//
//   forward    x += residual, where that is not null, rounded to the storage type before it is normalised;
//              y = gain ∘ x̂ + bias with x̂ = (x − mean)·rstd, rstd = 1/√(mean((x − mean)²) + ε)
//   backward   dX += rstd·(g − mean(g) − x̂·mean(g ∘ x̂)) with g = gain ∘ dY;  gainProduct = dY ∘ x̂ where it is wanted
//
// One block a row; the variance is summed around the mean in a reading of its own (from cache), since E[x²] − E[x]² loses digits.
// Launch of both: T blocks of C / (elements in 16 bytes) threads, rounded up to a warp, between 32 and 512.
#include "include/pack.cuh"
#include "include/reduce.cuh"

template <int N, typename T>
__device__ void layer_norm_row(T* x, const T* residual, const T* gain, const T* bias, float epsilon, T* y, float* statistics, int C,
                               float* scratch) {
    float sum = 0;
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float a[N];
        load_sum<N>(x, residual, c, a);
#pragma unroll
        for (int k = 0; k < N; k++) {
            sum += a[k];
        }
    }
    float mean = sum_block(sum, scratch) / C;
    float squares = 0;
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float a[N];
        load<N>(x + c, a);
#pragma unroll
        for (int k = 0; k < N; k++) {
            squares += (a[k] - mean) * (a[k] - mean);
        }
    }
    float rstd = 1.0f / sqrtf(sum_block(squares, scratch) / C + epsilon);
    if (threadIdx.x == 0) {
        statistics[0] = mean;
        statistics[1] = rstd;
    }
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float a[N], g[N], b[N];
        load<N>(x + c, a);
        load<N>(gain + c, g);
        load<N>(bias + c, b);
#pragma unroll
        for (int k = 0; k < N; k++) {
            a[k] = (a[k] - mean) * rstd * g[k] + b[k];
        }
        store<N>(y + c, a);
    }
}

template <int N, typename T>
__device__ void layer_norm_backward_row(const T* dY, const T* x, const T* gain, const float* statistics, T* dX, T* gainProduct, int C,
                                        float* scratch) {
    float mean = statistics[0], rstd = statistics[1];
    float sum = 0, projection = 0; // Σ g and Σ g ∘ x̂
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float d[N], a[N], g[N];
        load<N>(dY + c, d);
        load<N>(x + c, a);
        load<N>(gain + c, g);
#pragma unroll
        for (int k = 0; k < N; k++) {
            sum += d[k] * g[k];
            projection += d[k] * g[k] * (a[k] - mean) * rstd;
        }
    }
    float meanGradient = sum_block(sum, scratch) / C;
    float meanProjection = sum_block(projection, scratch) / C;
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float d[N], a[N], g[N], total[N];
        load<N>(dY + c, d);
        load<N>(x + c, a);
        load<N>(gain + c, g);
        load<N>(dX + c, total);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float normalised = (a[k] - mean) * rstd;
            total[k] += rstd * (g[k] * d[k] - meanGradient - normalised * meanProjection);
            d[k] *= normalised;
        }
        store<N>(dX + c, total);
        if (gainProduct != nullptr) {
            store<N>(gainProduct + c, d);
        }
    }
}

template <typename T>
__device__ void layer_norm(T* x, const T* residual, const T* gain, const T* bias, float epsilon, T* y, float* statistics, int C) {
    __shared__ float scratch[32];
    constexpr int W = kWide<T>;
    long long row = (long long)blockIdx.x * C;
    float* s = statistics + 2LL * blockIdx.x;
    const T* added = residual == nullptr ? nullptr : residual + row;
    if (C % W == 0 && aligned16(x, residual, gain, bias, y)) {
        layer_norm_row<W>(x + row, added, gain, bias, epsilon, y + row, s, C, scratch);
    } else {
        layer_norm_row<1>(x + row, added, gain, bias, epsilon, y + row, s, C, scratch);
    }
}

template <typename T>
__device__ void layer_norm_backward(const T* dY, const T* x, const T* gain, const float* statistics, T* dX, T* gainProduct, int C) {
    __shared__ float scratch[32];
    constexpr int W = kWide<T>;
    long long row = (long long)blockIdx.x * C;
    const float* s = statistics + 2LL * blockIdx.x;
    T* product = gainProduct == nullptr ? nullptr : gainProduct + row;
    if (C % W == 0 && aligned16(dY, x, gain, dX, gainProduct)) {
        layer_norm_backward_row<W>(dY + row, x + row, gain, s, dX + row, product, C, scratch);
    } else {
        layer_norm_backward_row<1>(dY + row, x + row, gain, s, dX + row, product, C, scratch);
    }
}

KERNEL(layer_norm_f32, float* x, const float* residual, const float* gain, const float* bias, float epsilon, float* y, float* statistics,
       int C) {
    layer_norm(x, residual, gain, bias, epsilon, y, statistics, C);
}
KERNEL(layer_norm_bf16, bf16* x, const bf16* residual, const bf16* gain, const bf16* bias, float epsilon, bf16* y, float* statistics,
       int C) {
    layer_norm(x, residual, gain, bias, epsilon, y, statistics, C);
}
KERNEL(layer_norm_backward_f32, const float* dY, const float* x, const float* gain, const float* statistics, float* dX, float* gainProduct,
       int C) {
    layer_norm_backward(dY, x, gain, statistics, dX, gainProduct, C);
}
KERNEL(layer_norm_backward_bf16, const bf16* dY, const bf16* x, const bf16* gain, const float* statistics, bf16* dX, bf16* gainProduct,
       int C) {
    layer_norm_backward(dY, x, gain, statistics, dX, gainProduct, C);
}

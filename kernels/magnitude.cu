// Weights that are taken apart into a direction and a magnitude of each output (DoRA, arXiv 2402.09353): W' = m ∘ V / ‖V‖ by rows, with
// V = W + s·B·A.
//
//   magnitude_factors    n[j]² = squares[j] + Σ_k B[j, k]·(2s·cross[k, j] + s²·Σ_l gram[k, l]·B[j, l])
//                        factors[0, j] = 1 / n[j], factors[1, j] = m[j] / n[j]; 0 where n[j]² is not above 0
//   magnitude            unit[t, c] = y[t, c]·factors[0, c] where unit is given, y[t, c] *= factors[1, c]
//   magnitude_backward   unit[t, c] *= dY[t, c], dV[t, c] = dY[t, c]·factors[1, c]; dV may be dY
//
// squares [1, C], m [1, C], cross [r, C], gram [r, r] and factors [2, C] are Float32, B [C, r]; y, dY and dV [T, C] have rows `stride`
// (dV `target`) apart, unit [T, C] none.
//
// Launch of magnitude_factors: ⌈C / 256⌉ blocks of 256. Of the others: one block a row, a thread for each 16 bytes of it, rounded up to a
// warp, between 32 and 512.
#include "include/pack.cuh"

template <typename T>
__device__ void magnitude_factors(const float* squares, const float* m, const T* b, const float* cross, const float* gram, float scale,
                                  float* factors, int C, int r) {
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= C) {
        return;
    }
    const T* row = b + (long long)j * r;
    float sum = squares[j];
    for (int k = 0; k < r; k++) {
        float inner = 0;
        for (int l = 0; l < r; l++) {
            inner += gram[k * r + l] * to_float(row[l]);
        }
        sum += to_float(row[k]) * (2 * scale * cross[(long long)k * C + j] + scale * scale * inner);
    }
    float inverse = sum > 0 ? 1 / sqrtf(sum) : 0;
    factors[j] = inverse;
    factors[C + j] = m[j] * inverse;
}

template <int N, typename T> __device__ void magnitude_row(T* y, const float* factors, T* unit, int C) {
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float a[N], u[N];
        load<N>(y + c, a);
#pragma unroll
        for (int k = 0; k < N; k++) {
            u[k] = a[k] * factors[c + k];
            a[k] *= factors[C + c + k];
        }
        if (unit != nullptr) {
            store<N>(unit + c, u);
        }
        store<N>(y + c, a);
    }
}

template <typename T> __device__ void magnitude(T* y, const float* factors, T* unit, int C, int stride) {
    constexpr int W = kWide<T>;
    T* row = y + (long long)blockIdx.x * stride;
    T* kept = unit == nullptr ? nullptr : unit + (long long)blockIdx.x * C;
    if (C % W == 0 && stride % W == 0 && aligned16(y, unit)) {
        magnitude_row<W>(row, factors, kept, C);
    } else {
        magnitude_row<1>(row, factors, kept, C);
    }
}

template <int N, typename T> __device__ void magnitude_backward_row(const T* dY, const float* factors, T* unit, T* dV, int C) {
    for (int c = threadIdx.x * N; c < C; c += blockDim.x * N) {
        float a[N], u[N];
        load<N>(dY + c, a);
        load<N>(unit + c, u);
#pragma unroll
        for (int k = 0; k < N; k++) {
            u[k] *= a[k];
            a[k] *= factors[C + c + k];
        }
        store<N>(unit + c, u);
        store<N>(dV + c, a);
    }
}

template <typename T>
__device__ void magnitude_backward(const T* dY, const float* factors, T* unit, T* dV, int C, int stride, int target) {
    constexpr int W = kWide<T>;
    const T* row = dY + (long long)blockIdx.x * stride;
    T* kept = unit + (long long)blockIdx.x * C;
    T* result = dV + (long long)blockIdx.x * target;
    if (C % W == 0 && stride % W == 0 && target % W == 0 && aligned16(dY, unit, dV)) {
        magnitude_backward_row<W>(row, factors, kept, result, C);
    } else {
        magnitude_backward_row<1>(row, factors, kept, result, C);
    }
}

KERNEL(magnitude_factors_f32, const float* squares, const float* m, const float* b, const float* cross, const float* gram, float scale,
       float* factors, int C, int r) {
    magnitude_factors(squares, m, b, cross, gram, scale, factors, C, r);
}
KERNEL(magnitude_factors_bf16, const float* squares, const float* m, const bf16* b, const float* cross, const float* gram, float scale,
       float* factors, int C, int r) {
    magnitude_factors(squares, m, b, cross, gram, scale, factors, C, r);
}
KERNEL(magnitude_f32, float* y, const float* factors, float* unit, int C, int stride) { magnitude(y, factors, unit, C, stride); }
KERNEL(magnitude_bf16, bf16* y, const float* factors, bf16* unit, int C, int stride) { magnitude(y, factors, unit, C, stride); }
KERNEL(magnitude_backward_f32, const float* dY, const float* factors, float* unit, float* dV, int C, int stride, int target) {
    magnitude_backward(dY, factors, unit, dV, C, stride, target);
}
KERNEL(magnitude_backward_bf16, const bf16* dY, const float* factors, bf16* unit, bf16* dV, int C, int stride, int target) {
    magnitude_backward(dY, factors, unit, dV, C, stride, target);
}
